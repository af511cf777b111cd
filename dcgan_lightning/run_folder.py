"""The folder of one run: claimed before anything is written, and begun with what an earlier run leaves it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from lightning.pytorch import Trainer
from lightning.pytorch.utilities import rank_zero_only
from omegaconf import DictConfig, OmegaConf

from dcgan_lightning import resuming
from dcgan_lightning.curves import RESUMED_FROM, carry_over
from dcgan_lightning.data.module import ImageDataModule
from dcgan_lightning.errors import Refusal


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
    in_it = Refusal("hydra.run.dir", wanted, "there is something in it", "give a new folder, or leave the option out")
    if chosen and wanted.is_dir() and any(wanted.iterdir()):
        raise in_it
    for attempt in range(1, 1000):
        folder = wanted if attempt == 1 else wanted.with_name(f"{wanted.name}_{attempt}")
        try:
            _make(folder / ".hydra")
        except FileExistsError:
            if chosen:  # by two runs at once
                raise in_it from None
            continue
        return folder
    raise Refusal("hydra.run.dir", wanted, "taken, and so are a thousand names after it", "give another folder")


def _make(folder: Path) -> None:
    """Make a folder and what is above it; FileExistsError where another process was first."""
    for _ in range(100):
        # A run that is refused in the same second removes the empty folder above, also just before this one is made.
        with suppress(FileNotFoundError):
            return folder.mkdir(parents=True)
    folder.mkdir(parents=True)


def take_over(
    resumed: resuming.Resumed, told: Mapping[str, Any], trainer: Trainer, data: ImageDataModule, folder: Path
) -> None:
    """Begin a resumed run's folder: where it comes from, in a file and in words, and the earlier rows of its tables."""
    if not trainer.is_global_zero:
        return
    (folder / RESUMED_FROM).write_text(f"{resumed.file}\n")
    print(f"goes on from  {resumed.file}, {resumed.iteration} iterations")
    for sentence in resuming.words(resumed, told, data):
        print(f"              {sentence}")
    run = resumed.folder
    lacking = carry_over(run, folder, resumed.iteration) if run else "it lies in no run folder: the curves begin here"
    if lacking:
        print(f"              {lacking}", flush=True)
