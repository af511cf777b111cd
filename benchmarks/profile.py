"""Where the time of an iteration goes: ``python -m benchmarks.profile model=dcgan data.image_size=64 data.channels=3``.

Runs ``train.py`` with these overrides for a few iterations under torch.profiler, then prints the operators by the CPU
time that they take themselves, and the shares of what belongs together. The profiler makes Python slower, so that the
share outside of operators is an upper bound; ``--rows lightning`` of :mod:`benchmarks.run` measures it without.
"""

import importlib
import sys
import tempfile
import time
from collections.abc import Iterable
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from torch.profiler import ProfilerActivity, profile

ROWS = 25  # of the table
OUTSIDE = "Python, Lightning, callbacks"
# By what an operator's name contains; the first that fits.
KINDS = {
    "convolutions and matrix products": ("convolution", "conv2d", "conv_transpose", "mm", "matmul", "mkldnn", "linear"),
    "BatchNorm": ("batch_norm",),
    "copies and changes of layout": ("copy_", "contiguous", "clone", "cat", "pad", "stack", "index_select"),
}


class Profiled(Callback):
    """Profiles iterations of a run, prints what they cost, and ends it.

    Args:
        warm_up: iterations before.
        iterations: that are profiled.
    """

    def __init__(self, warm_up: int, iterations: int) -> None:
        self.warm_up, self.iterations = warm_up, iterations
        self._profile = profile(activities=[ProfilerActivity.CPU])

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        if trainer.global_step == self.warm_up:
            self._profile.__enter__()
            self._began = time.perf_counter()
        elif trainer.global_step == self.warm_up + self.iterations:
            seconds = time.perf_counter() - self._began
            self._profile.__exit__(None, None, None)
            print(self._profile.key_averages().table(sort_by="self_cpu_time_total", row_limit=ROWS))
            print(f"{self.iterations} iterations of {1000 * seconds / self.iterations:.1f} ms")
            found = shares(self._profile.events() or [], seconds)
            for kind in sorted(found, key=lambda kind: -found[kind]):
                print(f"{found[kind]:6.1%}  {kind}")
            raise SystemExit(0)  # before the FID and the pictures of a run's end


def shares(events: Iterable[Any], seconds: float) -> dict[str, float]:
    """What part of the time each kind of work takes by itself; the rest is spent outside of operators."""
    found: dict[str, float] = {}
    for event in events:
        if event.name.startswith("aten::"):
            kind = kind_of(event)
            found[kind] = found.get(kind, 0.0) + event.self_cpu_time_total / 1e6 / seconds
    found[OUTSIDE] = max(0.0, 1 - sum(found.values()))
    return found


def kind_of(event: Any) -> str:
    """The kind of an operator, by the ranges around it and by its name."""
    around = event.cpu_parent
    while around is not None:
        if around.name.startswith("Optimizer."):
            return "optimizers"
        around = around.cpu_parent
    return next((kind for kind, parts in KINDS.items() if any(part in event.name for part in parts)), "pointwise, sums")


def main() -> None:
    from dcgan_lightning import cli

    verb = importlib.import_module("train").train  # from the repository's root, which is no package
    with tempfile.TemporaryDirectory(prefix="benchmark_") as folder:
        callback = "+callbacks.profile={_target_:benchmarks.profile.Profiled,warm_up:5,iterations:5}"
        sys.argv = ["train.py", f"hydra.run.dir={folder}/run", "trainer.max_steps=1000", callback, *sys.argv[1:]]
        cli.run(verb, "train")


if __name__ == "__main__":
    main()
