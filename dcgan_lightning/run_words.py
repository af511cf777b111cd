"""What a run says on the console at its start and at its end."""

import shlex
from pathlib import Path

from lightning.pytorch import Trainer

from dcgan_lightning import next_steps, signals
from dcgan_lightning.callbacks.diagnosis import GivenUp
from dcgan_lightning.callbacks.fid import FID
from dcgan_lightning.data.module import ImageDataModule
from dcgan_lightning.next_steps import shown
from dcgan_lightning.signals import Stopped
from dcgan_lightning.trainer import total_iterations


def opening_words(trainer: Trainer, data: ImageDataModule, folder: Path, why: str) -> None:
    """Say what is about to be trained, on what, and where it goes; ``why`` is the reason for the precision, if any."""
    if not trainer.is_global_zero:
        return
    count, *shape = data.images.shape
    batch, devices = data.batch_size, trainer.world_size
    hardware = type(trainer.accelerator).__name__.removesuffix("Accelerator")
    print(f"run folder    {shown(folder)}")
    print(f"images        {count:,} of {'x'.join(map(str, shape))} (channels x height x width)")
    print(f"global batch  {batch * devices} = {batch} images x {devices} device(s)")
    print(f"trained on    {hardware}, precision {trainer.precision}{f' ({why})' if why else ''}", flush=True)


def closing_words(trainer: Trainer, folder: Path) -> None:
    """Say where everything is, the best FID, and what to type next."""
    if not trainer.is_global_zero:
        return
    here = shown(folder)
    print(f"\nrun folder    {here}")
    for fid in (callback for callback in trainer.callbacks if isinstance(callback, FID)):  # type: ignore[attr-defined]
        if fid.features is not None and fid.best is not None and (folder / "checkpoints" / "best.ckpt").is_file():
            value, iteration = fid.best
            print(f"best FID      {value:.2f} ({fid.features.tag}) after {iteration} iterations: checkpoints/best.ckpt")
    commands = {
        "curves": next_steps.curves(folder),
        "samples": next_steps.sample(folder),
        "go on": next_steps.lengthen(folder, 2 * total_iterations(trainer)),
    }
    for name, command in commands.items():
        print(f"{name:13} {shlex.join(command)}", flush=True)


def words_of_a_stop(trainer: Trainer, iterations: int, folder: Path, problem: Stopped | GivenUp) -> None:
    """Say where the checkpoint of a run is that was stopped, and what to type to go on, and for its pictures.

    One that was stopped for its verdict has pictures, and was told what else to try.
    """
    signals.leave_broken_pipes()
    here = shown(folder)
    print(f"\nrun folder    {here}")
    if (folder / "checkpoints" / "last.ckpt").is_file():
        print(f"checkpoint    {here}/checkpoints/last.ckpt")
        if isinstance(problem, Stopped):
            print(f"pictures      {shlex.join(next_steps.rebuild(folder))}", flush=True)
    if iterations < total_iterations(trainer):
        print(f"go on         {shlex.join(next_steps.finish(folder))}", flush=True)
        if isinstance(problem, GivenUp):
            print("              with what is to be another way, such as a lower model.lr=..., at its end", flush=True)
