"""The sides of a comparison, each a process of its own: the kit's real run, the tutorial's loop, the bare loop."""

import importlib
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import cycle
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

from benchmarks import bare_loop, bursts, tutorial_loop
from benchmarks.bursts import Burst, Pace, paced
from benchmarks.report import ROOT

PAUSE = 0.2  # seconds between bursts: threads stop spinning, loader workers fill their queues and rest
# Each process is forked from one that has imported what they need and done nothing else.
METHOD = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
LOG = "log.txt"  # what a process says, in its working directory
READY = 8  # float batches that the tutorial's loop is given ready-made, in turn


@dataclass(frozen=True)
class Side:
    """What runs in a process of its own.

    Args:
        loop: called there with the process's pace, then the arguments; trains until the process ends.
        arguments: of the loop.
        device: ``cpu`` or ``cuda``.
    """

    loop: Callable[..., None]
    arguments: tuple[Any, ...]
    device: str = "cpu"


def kit(pace: Pace, overrides: Sequence[str]) -> None:
    """``python train.py`` with these overrides, all its callbacks on, and one more that keeps the pace."""
    from dcgan_lightning import cli

    verb = importlib.import_module("train").train  # from the repository's root, which is no package
    bursts.PACE[:] = [pace]
    own = ["hydra.run.dir=run", "trainer.max_steps=1000000", "trainer.max_epochs=null"]
    sys.argv = ["train.py", *own, "+callbacks.bursts._target_=benchmarks.bursts.Bursts", *overrides]
    cli.run(verb, "train")


def tutorial(pace: Pace, shape: tuple[int, int, int], batch: int, width: int) -> None:
    """The tutorial's loop on ready-made float batches."""
    batches = [torch.rand(batch, *shape).mul_(2).sub_(1) for _ in range(READY)]
    tutorial_loop.train(paced(cycle(batches), pace), shape, width, device="cuda" if pace.on_gpu else "cpu")


def tutorial_with_data(pace: Pace, image_size: int, width: int) -> None:
    """The tutorial's loop on the shipped digits, by PIL and two loader workers."""
    from dcgan_lightning.data.mnist import SHIPPED

    with np.load(SHIPPED) as arrays:
        dataset = tutorial_loop.PILImages(torch.from_numpy(arrays["images"]), image_size)
    batches = tutorial_loop.repeated(tutorial_loop.loader(dataset))
    tutorial_loop.train(paced(batches, pace), (1, image_size, image_size), width)


def guide(pace: Pace, batch: int) -> None:
    """The guide's loop on ready-made float batches."""
    batches = [torch.rand(batch, 1, 28, 28).mul_(2).sub_(1) for _ in range(READY)]
    tutorial_loop.train_guide(paced(cycle(batches), pace))


def bare(pace: Pace, overrides: Sequence[str], bf16: bool) -> None:
    """The loop without Lightning, over the networks and the images that the overrides name."""
    from dcgan_lightning.machine import keep_freed_memory

    keep_freed_memory()
    torch.manual_seed(0)
    cfg = composed(overrides)
    module, data = instantiate(cfg.model), instantiate(cfg.data)
    data.setup()
    bare_loop.train(module, paced(bare_loop.batches(data.images, data.batch_size), pace), bf16)


def images_alone(pace: Pace, overrides: Sequence[str]) -> None:
    """The kit's batches, brought to the device that trains, and nothing else."""
    cfg = composed(overrides)
    data = instantiate(cfg.data)
    data.setup()
    data.trainer = instantiate(cfg.trainer, batches=1, logger=False, default_root_dir=".", enable_checkpointing=False)
    device = data.trainer.strategy.root_device
    for batch in paced(tutorial_loop.repeated(data.train_dataloader()), pace):
        batch.to(device, non_blocking=True)


def composed(overrides: Sequence[str]) -> Any:
    """The config of ``train.py``, composed outside a run."""
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return compose("train", list(overrides))


def alternate(sides: Sequence[Side], iterations: Sequence[int], rounds: int, warm_up: int) -> list[list[Burst]]:
    """Bursts of all sides in turn, round after round.

    Args:
        sides: are started together, and live until all rounds are done; the idle ones are blocked.
        iterations: in a burst of each side.
        rounds: bursts of each side.
        warm_up: iterations of each side before the first.

    Returns:
        Of each round the burst of each side.
    """
    if METHOD == "forkserver":
        multiprocessing.set_forkserver_preload(["benchmarks.preloaded"])
    with ExitStack() as stack:
        started = [stack.enter_context(_started(side)) for side in sides]
        for warming in started:
            warming(warm_up)
        return [[run(count) for run, count in zip(started, iterations, strict=True)] for _ in range(rounds)]


@contextmanager
def _started(side: Side) -> Iterator[Callable[[int], Burst]]:
    context: Any = multiprocessing.get_context(METHOD)
    ours, theirs = context.Pipe()
    with tempfile.TemporaryDirectory(prefix="benchmark_") as folder:
        process = context.Process(target=_in_process, args=(side, theirs, folder))
        process.start()
        theirs.close()

        def run(count: int) -> Burst:
            time.sleep(PAUSE)
            try:
                ours.send(count)
                return ours.recv()
            except (EOFError, OSError) as error:
                said = Path(folder, LOG).read_text(errors="replace")[-4000:]
                raise RuntimeError(f"{side.loop.__name__}{side.arguments} ended early:\n{said}") from error

        try:
            yield run
        finally:
            ours.close()
            process.join(20)  # seconds
            if process.is_alive():
                process.kill()
                process.join()


def _in_process(side: Side, connection: Connection, folder: str) -> None:
    os.chdir(folder)
    with open(LOG, "ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    side.loop(Pace(connection, side.device), *side.arguments)
