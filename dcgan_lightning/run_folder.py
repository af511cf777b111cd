"""The folder of one run: claimed before anything is written, and described at the start and at the end."""

import json
import math
import shlex
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from lightning.pytorch import Trainer
from lightning.pytorch.utilities import rank_zero_only
from lightning.pytorch.utilities.exceptions import SIGTERMException
from omegaconf import DictConfig, OmegaConf

from dcgan_lightning import next_steps, resuming, signals, surroundings
from dcgan_lightning.callbacks.diagnosis import GivenUp, RolledBack
from dcgan_lightning.callbacks.fid import FID
from dcgan_lightning.callbacks.report import Report
from dcgan_lightning.checkpoint_io import FULL, NoSpaceError
from dcgan_lightning.curves import RESUMED_FROM, carry_over
from dcgan_lightning.data.module import ImageDataModule
from dcgan_lightning.errors import Refusal
from dcgan_lightning.finding import LAST
from dcgan_lightning.next_steps import shown
from dcgan_lightning.signals import Stopped
from dcgan_lightning.trainer import total_iterations
from dcgan_lightning.whole_files import written_whole


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


@dataclass
class UnderWay:
    """What is trained now.

    Attributes:
        trainer: which is another one since the run went back.
        first: the iteration that the run began at.
        given_back: iterations that were trained and taken back.
        reached: iterations done where training began anew.
    """

    trainer: Trainer
    first: int
    given_back: int = 0
    reached: int = 0

    def goes_back(self, trainer: Trainer, back: RolledBack) -> None:
        """Note that another trainer goes on from an earlier iteration."""
        self.trainer, self.reached = trainer, back.to
        self.first, self.given_back = min(self.first, back.to), self.given_back + back.at - back.to

    @property
    def iterations(self) -> int:
        """How many are done."""
        return max(self.trainer.global_step, self.reached)


@contextmanager
def recorded(
    trainer: Trainer, data: ImageDataModule, folder: Path, resumed: resuming.Resumed | None
) -> Iterator[UnderWay]:
    """Keep ``run.json``: that a run is under way, and when it ends, however it ends, how. Rank 0 writes.

    What is refused leaves none.

    ``iterations`` and ``epochs`` count from the very first iteration, ``first_iteration`` is where this run began;
    ``seconds`` and ``images_per_s`` are those of this run alone, with all that it did besides training. What
    :mod:`dcgan_lightning.surroundings` knows stands there too. The report comes last, since it tells of the end.

    Whoever has the run go back says so to what this yields.
    """
    now = UnderWay(trainer, resumed.iteration if resumed is not None else 0)
    began, problem = time.monotonic(), None
    about: dict[str, Any] = {}
    if trainer.is_global_zero:
        about = surroundings.surroundings(trainer, data)
        _write_json(folder, {"status": "running", "error": None, "first_iteration": now.first, **about})
    try:
        with signals.named_as_cause(), _shortage_in_words(folder):
            yield now
    except BaseException as error:
        problem = error
        if isinstance(error, Stopped):
            error.iterations = now.iterations
        raise
    finally:
        if trainer.is_global_zero and isinstance(problem, Refusal):
            (folder / "run.json").unlink(missing_ok=True)
        elif trainer.is_global_zero:
            record = _lengths(now, data, time.monotonic() - began)
            _write_record(folder, problem, record | {"precision": trainer.precision} | about)
            if isinstance(problem, Stopped | GivenUp):
                words_of_a_stop(now, folder, problem)
            with suppress(*([Stopped] if isinstance(problem, Stopped) else [])):  # whoever is impatient leaves it out
                _report(trainer, folder)


@contextmanager
def _shortage_in_words(folder: Path) -> Iterator[None]:
    """Say, where a disk is so full that a run cannot go on, what of it is there, and what to do."""
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        last = folder / "checkpoints" / LAST
        there = f"{last} or the one before it is whole" if last.is_file() else "no checkpoint is there yet"
        remedy = f"make space, then python train.py {f'ckpt_path={folder}' if last.is_file() else '...'}"
        raise NoSpaceError(f"{error}: a file of this run does not fit; {there}\n  Remedy: {remedy}") from error


def _lengths(now: UnderWay, data: ImageDataModule, seconds: float) -> dict[str, int | float | None]:
    trainer, done, first = now.trainer, now.iterations, now.first
    trained, an_epoch = max(0, done - first) + now.given_back, trainer.num_training_batches  # infinite before it begins
    images = min(len(data.images), an_epoch * data.batch_size * trainer.world_size)  # in an epoch
    return {
        "first_iteration": first,
        "iterations": done,
        "epochs": round(done / an_epoch, 4),
        "planned_iterations": planned if (planned := total_iterations(trainer)) < sys.maxsize else None,
        "iterations_per_epoch": int(an_epoch) if math.isfinite(an_epoch) else None,
        "seconds": round(seconds, 3),
        "images_per_s": round(trained * images / an_epoch / seconds, 3),
    }


def _report(trainer: Trainer, folder: Path) -> None:
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, Report):
            callback.write(folder)


def _write_record(folder: Path, problem: BaseException | None, known: Mapping[str, Any]) -> None:
    # Hydra's own config is out of reach while ranks are started.
    hydra = OmegaConf.load(folder / ".hydra" / "hydra.yaml").hydra
    record = {
        "status": "finished" if problem is None else ended_as(problem),
        "error": None if problem is None else in_words(problem),
        **known,
        "experiment": hydra.runtime.choices.get("experiment"),
    }
    _write_json(folder, record)


def _write_json(folder: Path, record: Mapping[str, Any]) -> None:
    with written_whole(folder / "run.json") as path:
        path.write_text(json.dumps(record, indent=2) + "\n")


def interrupted(error: BaseException) -> bool:
    """Whether somebody stopped this process; Lightning turns Ctrl+C into a ``SystemExit``."""
    stops = (Stopped, KeyboardInterrupt, SIGTERMException)
    return isinstance(error, stops) or (isinstance(error, SystemExit) and isinstance(error.__context__, stops))


def ended_as(error: BaseException) -> str:
    """The status of a run that an error ended: ``stopped`` where that is not the run's own fault, or its own choice."""
    return "stopped" if isinstance(error, Stopped | GivenUp) else "failed"


def in_words(error: BaseException) -> str:
    """What ended a run, as its records say it."""
    if isinstance(error, Stopped):
        return error.reason
    if isinstance(error, GivenUp):
        return str(error)
    if interrupted(error):
        return "interrupted"
    name = "Refused" if isinstance(error, Refusal) else type(error).__name__
    return f"{name}: {error}" if str(error) else name


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


def words_of_a_stop(now: UnderWay, folder: Path, problem: Stopped | GivenUp) -> None:
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
    if now.iterations < total_iterations(now.trainer):
        print(f"go on         {shlex.join(next_steps.finish(folder))}", flush=True)
        if isinstance(problem, GivenUp):
            print("              with what is to be another way, such as a lower model.lr=..., at its end", flush=True)
