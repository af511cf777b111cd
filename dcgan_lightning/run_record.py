"""``run.json``: that a run is under way, how it ended, how long it took, and where and on what it ran."""

import json
import math
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.utilities.exceptions import SIGTERMException
from omegaconf import OmegaConf

from dcgan_lightning import resuming, signals, surroundings
from dcgan_lightning.callbacks.diagnosis import GivenUp, RolledBack
from dcgan_lightning.callbacks.report import Report
from dcgan_lightning.checkpoint_io import FULL, NoSpaceError
from dcgan_lightning.data.module import ImageDataModule
from dcgan_lightning.errors import Refusal
from dcgan_lightning.finding import LAST
from dcgan_lightning.run_words import words_of_a_stop
from dcgan_lightning.signals import Stopped
from dcgan_lightning.trainer import total_iterations
from dcgan_lightning.whole_files import written_whole


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
    ``trained_iterations`` (those taken back included), ``seconds`` and ``images_per_s`` are those of this run alone,
    with all that it did besides training. What :mod:`dcgan_lightning.surroundings` knows stands there too. The report
    comes last, since it tells of the end.

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
                words_of_a_stop(now.trainer, now.iterations, folder, problem)
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
        "trained_iterations": trained,
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
