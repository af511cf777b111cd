"""What the diagnosis costs while a run trains, for docs/diagnosis.md: ``python -m benchmarks.diagnosis_cost``.

Each recipe trains on synthetic images with the scalars, the samples and the diagnosis; the time inside the last two is
taken as a share of the time of all iterations. The first interval is left out: it computes the real images' features,
once a run.
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from hydra.utils import instantiate
from lightning.pytorch import Callback, LightningModule, Trainer

from benchmarks.report import ROOT, circumstances, replace_section
from benchmarks.sides import composed
from benchmarks.synthetic import SyntheticImages
from dcgan_lightning.callbacks.diagnosis import Diagnosis
from dcgan_lightning.callbacks.samples import Samples
from dcgan_lightning.callbacks.scalars import Scalars
from dcgan_lightning.machine import keep_freed_memory

PAGE = ROOT / "docs" / "diagnosis.md"
RECIPES = {  # choices of the command, and intervals measured after the first
    "dcgan_small, 32x32x1": (["data=mnist"], 6),
    "guide, 28x28x1": (["experiment=guide_stable"], 3),
    "mlp, 28x28x1": (["experiment=mlp_gan_mnist"], 6),
    "dcgan, 64x64x3": (["model=dcgan", "data=celeba"], 1),
    "anime, 96x96x3": (["experiment=dcgan_anime"], 1),
}


class Timed(Callback):
    """Hands one hook on to another callback, and takes its time."""

    def __init__(self, callback: Callback) -> None:
        self.callback, self.seconds = callback, 0.0

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.callback.on_fit_start(trainer, pl_module)

    def on_train_batch_end(self, *arguments: Any) -> None:
        began = time.perf_counter()
        self.callback.on_train_batch_end(*arguments)
        self.seconds += time.perf_counter() - began


class Clock(Callback):
    """Forgets what was before the first interval had ended, and stops the whole time."""

    def __init__(self, every: int, timed: list[Timed]) -> None:
        self.every, self.timed, self.began = every, timed, 0.0
        self.seconds = 0.0

    def on_train_batch_end(self, trainer: Trainer, *arguments: Any) -> None:
        if trainer.global_step == self.every:
            self.began = time.perf_counter()
            for timed in self.timed:
                timed.seconds = 0.0
        self.seconds = time.perf_counter() - self.began


def measure(name: str, folder: Path) -> str:
    """A row of the table."""
    overrides, intervals = RECIPES[name]
    cfg = composed(overrides)
    common = ("image_size", "channels", "batch_size", "sampling", "drop_last", "num_workers", "seed")
    options = {key: cfg.data[key] for key in common} | {"root": None, "cache_dir": str(folder), "digit": None}
    data = SyntheticImages(4096, **options)
    callbacks = [instantiate(cfg.callbacks[kind]) for kind in ("samples", "diagnosis")]
    assert isinstance(callbacks[0], Samples)
    assert isinstance(callbacks[1], Diagnosis)
    every = callbacks[0].every
    timed = [Timed(callback) for callback in callbacks]
    scalars = Scalars(cfg.callbacks.scalars.fetch_every)
    cfg.trainer.default_root_dir = str(folder)
    cfg.trainer.max_steps, cfg.trainer.max_epochs = every * (intervals + 1), None
    clock = Clock(every, timed)
    trainer = instantiate(cfg.trainer, batches=32, callbacks=[scalars, *timed, clock], logger=False)
    trainer.fit(instantiate(cfg.model), datamodule=data)
    per_iteration = clock.seconds / (every * intervals)
    shares = [one.seconds / clock.seconds for one in timed]
    return (
        f"| `{name}`, batch {cfg.data.batch_size} | {per_iteration * 1e3:.0f} ms | {every} "
        f"| {timed[0].seconds / intervals * 1e3:.0f} ms | {timed[1].seconds / intervals * 1e3:.1f} ms "
        f"| {sum(shares):.2%} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=RECIPES, default=list(RECIPES))
    parser.add_argument("--page", type=Path, default=PAGE)
    given = parser.parse_args()
    keep_freed_memory()
    torch.manual_seed(0)
    rows = [
        "| recipe | an iteration | iterations between | samples | judging | share of training |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name in given.only:
        with tempfile.TemporaryDirectory() as folder:
            rows.append(measure(name, Path(folder)))
        print(rows[-1], flush=True)
    heading = f"## What it costs\n\n{circumstances('python -m benchmarks.diagnosis_cost')}"
    replace_section(given.page, "cost", heading + "\n\n" + "\n".join(rows))


if __name__ == "__main__":
    main()
