"""The folder of one run: claimed before anything is written, and described at the start and at the end."""

import shlex
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from lightning.pytorch import Trainer
from lightning.pytorch.utilities import rank_zero_only
from omegaconf import DictConfig, OmegaConf

from dcgan_lightning.callbacks.fid import FID
from dcgan_lightning.data.module import ImageDataModule
from dcgan_lightning.errors import Refusal
from dcgan_lightning.trainer import total_iterations


@contextmanager
def claimed(cfg: DictConfig) -> Iterator[Path]:
    """Make the run folder, which no other run has, with the composed config and the overrides in ``.hydra/``.

    A run whose name is taken, by one that started in the same second, gets a number after it. If an exception passes
    while nothing but ``.hydra/`` is there, the folder goes again. ``cfg.run_dir`` is set to the folder.
    """
    hydra = HydraConfig.get()
    if any(override.startswith("run_dir=") for override in hydra.overrides.task):
        raise Refusal("run_dir", cfg.run_dir, "train.py sets it", "hydra.run.dir=<a new folder> says where a run goes")
    if hydra.job.chdir:
        raise Refusal("hydra.job.chdir", True, "paths that are given would lead elsewhere", "leave it out")
    folder = Path(hydra.runtime.output_dir)
    records = {}
    if rank_zero_only.rank == 0:  # type: ignore[attr-defined]
        folder = _claim(folder, chosen=any(o.startswith("hydra.run.dir=") for o in hydra.overrides.hydra))
        records = {"config.yaml": cfg, "overrides.yaml": hydra.overrides.task, "hydra.yaml": {"hydra": hydra}}
    cfg.run_dir = str(folder)
    for name, record in records.items():
        (folder / ".hydra" / name).write_text(OmegaConf.to_yaml(record))
    try:
        yield folder
    except BaseException:
        if records and [entry.name for entry in folder.iterdir()] == [".hydra"]:
            for name in records:
                (folder / ".hydra" / name).unlink()
            (folder / ".hydra").rmdir()
            if folder != Path(hydra.runtime.output_dir):
                folder.rmdir()
        raise


def _claim(wanted: Path, chosen: bool) -> Path:
    """Make ``wanted``, or ``wanted_2`` and so on; whoever makes ``.hydra`` in it has claimed it."""
    if chosen and any(wanted.iterdir()):
        raise Refusal("hydra.run.dir", wanted, "there is something in it", "give a new folder, or leave the option out")
    for attempt in range(1, 1000):
        folder = wanted if attempt == 1 else wanted.with_name(f"{wanted.name}_{attempt}")
        folder.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            (folder / ".hydra").mkdir()
            return folder
    raise Refusal("hydra.run.dir", wanted, "taken, and so are a thousand names after it", "give another folder")


def opening_words(trainer: Trainer, data: ImageDataModule, folder: Path, checkpoint: Path | None) -> None:
    """Say what is about to be trained, on what, where it goes, and from where it goes on (kept in a file, too)."""
    if not trainer.is_global_zero:
        return
    count, *shape = data.images.shape
    batch, devices = data.batch_size, trainer.world_size
    hardware = type(trainer.accelerator).__name__.removesuffix("Accelerator")
    print(f"run folder    {_shown(folder)}")
    if checkpoint is not None:
        (folder / "resumed_from.txt").write_text(f"{checkpoint}\n")
        print(f"goes on from  {checkpoint} (an epoch under way begins its order of images anew)")
    print(f"images        {count:,} of {'x'.join(map(str, shape))} (channels x height x width)")
    print(f"global batch  {batch * devices} = {batch} images x {devices} device(s)")
    print(f"trained on    {hardware}, precision {trainer.precision}", flush=True)


def closing_words(trainer: Trainer, folder: Path) -> None:
    """Say where everything is, the best FID, and what to type next."""
    if not trainer.is_global_zero:
        return
    here = _shown(folder)
    print(f"\nrun folder    {here}")
    for fid in (callback for callback in trainer.callbacks if isinstance(callback, FID)):  # type: ignore[attr-defined]
        if fid.features is not None and fid.best is not None and (folder / "checkpoints" / "best.ckpt").is_file():
            value, iteration = fid.best
            print(f"best FID      {value:.2f} ({fid.features.tag}) after {iteration} iterations: checkpoints/best.ckpt")
    longer = (f"ckpt_path={here}", f"trainer.max_steps={2 * total_iterations(trainer)}")
    commands = {
        "curves": ["tensorboard", "--logdir", here],
        "samples": ["python", "generate.py", f"ckpt_path={here}", "n=64", "seed=0"],
        "go on": ["python", "train.py", *_overrides_to_go_on(folder), *longer],
    }
    for name, command in commands.items():
        print(f"{name:13} {shlex.join(command)}", flush=True)


def _overrides_to_go_on(folder: Path) -> list[str]:
    overrides = OmegaConf.create((folder / ".hydra" / "overrides.yaml").read_text())
    replaced = ("ckpt_path=", "trainer.max_steps=", "trainer.max_epochs=")
    return [override for override in map(str, overrides) if not override.startswith(replaced)]


def _shown(folder: Path) -> str:
    """As short as it can be typed from the current directory."""
    return str(folder.relative_to(Path.cwd())) if folder.is_relative_to(Path.cwd()) else str(folder)
