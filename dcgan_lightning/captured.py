"""Whole iterations replayed as CUDA graphs: the device is told of all of an iteration's kernels at once.

What follows holds to PyTorch's notes on CUDA graphs (docs.pytorch.org/docs/stable/notes/cuda.html, "Whole-network
capture" and "Constraints"). A replay repeats kernels on the same memory, and no Python: what an iteration reads from
outside lies in buffers of its own, and whatever Python decides has to be the same in every iteration of a kind.
"""

from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.optim import Optimizer

from dcgan_lightning.errors import Refusal
from dcgan_lightning.precision import on_cpu
from dcgan_lightning.schedule import Latents, Scalars, Turn

WARM_UP = 3  # iterations of a kind before it is captured: cuDNN, cuBLAS and Adam set themselves up in them

Update = Callable[[Turn, Tensor, dict[Latents, Tensor]], Scalars]


def refuse_unfit(on: bool, trainer: Mapping[str, Any], devices: int) -> None:
    """Refuse ``model.cuda_graph``, if it is ``on``, where the options of ``trainer.*`` leave nothing to capture.

    Raises:
        Refusal: no CUDA device trains, or several do, or something would read from the device within an iteration.
    """
    problem = ""
    if on_cpu(trainer["accelerator"]) or not torch.cuda.is_available():
        problem = "captures CUDA graphs, and no CUDA device trains here"
    elif devices > 1 or trainer["strategy"] != "auto":
        problem = "captures the iterations of a single device, without DDP"
    elif trainer["precision"] == "16-mixed":
        problem = "cannot capture trainer.precision=16-mixed, which looks at the gradients before it takes a step"
    elif trainer.get("detect_anomaly"):
        problem = "cannot capture trainer.detect_anomaly=true, which looks at every gradient"
    if on and problem:
        raise Refusal("model.cuda_graph", True, problem, "model.cuda_graph=false")


class Recorder(Protocol):
    """What records work on a device: :class:`CUDAGraphs`, or what tests put in its place."""

    def beside(self) -> AbstractContextManager[None]:
        """Where work runs that is not recorded, so that it leaves nothing behind that could not be recorded later."""

    def record(self, work: Callable[[], Tensor]) -> tuple[Callable[[], None], Tensor]:
        """Note what ``work`` does, without doing it.

        Returns:
            What does it, and the tensor that holds the result afterwards, always the same.
        """


class CUDAGraphs:
    """Records on a stream of its own, into memory that all graphs share.

    Sharing is safe here: graphs are replayed one after the other, each result is copied before the next replay, and
    nothing else lives in that memory from one replay to the next, since weights, BatchNorm's statistics and Adam's
    state are there before the first capture.
    """

    def __init__(self, device: torch.device) -> None:
        self.stream = torch.cuda.Stream(device)
        self.pool = torch.cuda.graph_pool_handle()

    @contextmanager
    def beside(self) -> Iterator[None]:
        # The stream of the capture, since cuBLAS has a handle for each stream, and since nodes of autograd that were
        # made on the default stream draw it into the capture, which fails (pytorch/pytorch#64339, #180090).
        usual = torch.cuda.current_stream(self.stream.device)
        self.stream.wait_stream(usual)
        with torch.cuda.stream(self.stream):
            yield
        usual.wait_stream(self.stream)

    def record(self, work: Callable[[], Tensor]) -> tuple[Callable[[], None], Tensor]:
        graph = torch.cuda.CUDAGraph()
        # thread_local: a data loader's thread may pin memory meanwhile, which a global capture forbids all threads.
        with torch.cuda.graph(graph, pool=self.pool, stream=self.stream, capture_error_mode="thread_local"):
            result = work()
        return graph.replay, result


class Captured:
    """An update that runs as it is for :data:`WARM_UP` iterations of each kind, and is replayed from then on.

    Iterations are of one kind if the same networks are due and their inputs have the same shapes; the last batch of an
    epoch may be a kind of its own. When a setting of an optimizer changes, such as its learning rate, which a graph
    holds as a number, all graphs are dropped and each kind starts anew. Hooks that Lightning calls within an update
    (``on_after_backward``, ``on_before_optimizer_step``) are not called in replays.

    Args:
        update: an iteration, given its turn, images and latents; reads nothing from the device.
        optimizers: those that it steps, with their step counters on the device (``capturable``).
        recorder: of graphs.
    """

    def __init__(self, update: Update, optimizers: Sequence[Optimizer], recorder: Recorder) -> None:
        self.update, self.optimizers, self.recorder = update, optimizers, recorder
        self.seen: Counter[Hashable] = Counter()
        self.recorded: dict[Hashable, Callable[..., Scalars]] = {}
        self._settings = self._settings_now()

    def __call__(self, turn: Turn, images: Tensor, latents: dict[Latents, Tensor]) -> Scalars:
        if self._settings != (settings := self._settings_now()):
            self._settings, self.recorded = settings, {}
            self.seen.clear()
        inputs = [images, *latents.values()]
        kind = (turn.d_due, turn.g_due, *(given.shape for given in inputs))
        if kind not in self.recorded:
            self.seen[kind] += 1
            if self.seen[kind] <= WARM_UP:
                with self.recorder.beside():
                    return self.update(turn, images, latents)
            self.recorded[kind] = self._record(turn, images, latents)
        return self.recorded[kind](*inputs)

    def _record(self, turn: Turn, images: Tensor, latents: dict[Latents, Tensor]) -> Callable[..., Scalars]:
        """What copies an iteration's images and latents to where they are looked for, and replays it."""
        real, buffers = images.clone(), {which: z.clone() for which, z in latents.items()}
        names: list[str] = []
        for optimizer in self.optimizers:
            optimizer.zero_grad()  # so that the gradients come to lie in the graphs' memory

        def work() -> Tensor:
            scalars = self.update(turn, real, buffers)
            names.extend(scalars)
            return torch.stack(list(scalars.values()))

        replay, values = self.recorder.record(work)

        def replayed(*inputs: Tensor) -> Scalars:
            for buffer, given in zip((real, *buffers.values()), inputs, strict=True):
                buffer.copy_(given)
            replay()
            # Callbacks may keep what they get, and the next replay overwrites the values.
            return dict(zip(names, values.clone().unbind(), strict=True))

        return replayed

    def _settings_now(self) -> list[dict[str, Any]]:
        groups = [group for optimizer in self.optimizers for group in optimizer.param_groups]
        return [{name: value for name, value in group.items() if name != "params"} for group in groups]
