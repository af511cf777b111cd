"""What a run folder's files say, read so that a damaged or hostile one costs nothing but its own part of the report."""

import csv
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeGuard, TypeVar

import yaml

from dcgan_lightning.curves import METRICS, SAMPLES, Curves, NotThere, read_curves, read_samples
from dcgan_lightning.errors import shortened
from dcgan_lightning.sweep_table import MEASURED_BY

LARGEST_TEXT = 200_000  # characters of a config that is shown
MOST = 200_000  # rows of metrics.csv
LARGEST_JSON = 64 * 2**20  # bytes; diagnosis.json keeps rows of a run that was rolled back
Content = TypeVar("Content")


@dataclass(frozen=True)
class Part(Generic[Content]):
    """A part of the report: its content, or in words why there is none."""

    content: Content | None
    problem: str = ""


def part(folder: Path, make: Callable[[], Content]) -> Part[Content]:
    """What ``make`` returns, or what went wrong, whatever that is: the other parts are worth having without it."""
    try:
        return Part(make())
    except NotThere as error:
        words = str(error)
    except FileNotFoundError as error:
        words = f"there is no {error.filename}"
    except (Exception, RecursionError) as error:
        words = f"this cannot be shown: {type(error).__name__}: {error}"
    words = shortened(words.replace(f"{folder}/", "")).partition("\\n")[0]
    return Part(None, f"{words[:1].upper()}{words[1:].rstrip('.')}.")


class Measured(NamedTuple):
    """One FID."""

    iteration: int
    value: float
    tag: str
    by: tuple[str, ...]


class Run:
    """A run folder. Every property raises for itself alone: NotThere where a file is missing, others for damage."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()

    @cached_property
    def record(self) -> dict[str, Any]:
        """``run.json``."""
        return _object(self.folder / "run.json")

    @cached_property
    def known(self) -> dict[str, Any]:
        """``run.json``, empty where there is none that can be read."""
        return part(self.folder, lambda: self.record).content or {}

    @cached_property
    def diagnosis(self) -> dict[str, Any]:
        """``diagnosis.json``."""
        return _object(self.folder / "diagnosis.json")

    @cached_property
    def curves(self) -> Curves:
        """``metrics.csv``, thinned where it is so long that a run that is stopped has no time for all of it."""
        return read_curves(self.folder, MOST)

    @cached_property
    def samples(self) -> Curves:
        """The numbers of ``samples.csv``."""
        return read_samples(self.folder)

    @cached_property
    def fids(self) -> list[Measured]:
        """The rows of ``fid.csv`` that were measured as its last one was, by rising iteration."""
        file = self.folder / "fid.csv"
        if not file.is_file():
            raise NotThere("there is no fid.csv")
        with file.open(newline="", errors="replace") as opened:
            whole = [row for row in csv.DictReader(opened) if None not in row.values()]  # not what a kill cut off
        rows = [
            Measured(int(row["iteration"]), float(row["value"]), row["tag"], tuple(row[name] for name in MEASURED_BY))
            for row in whole
        ]
        if not rows:
            raise NotThere("there is no row in fid.csv")
        return [row for row in rows if (row.tag, row.by) == (rows[-1].tag, rows[-1].by)]

    @cached_property
    def best(self) -> Measured | None:
        """The lowest FID, the first of equal ones."""
        fids = part(self.folder, lambda: self.fids).content or []
        return min((fid for fid in fids if math.isfinite(fid.value)), key=lambda fid: fid.value, default=None)

    @cached_property
    def config(self) -> str:
        """The composed config as it is written, or its beginning."""
        return _text(self.folder / ".hydra" / "config.yaml")

    @cached_property
    def settings(self) -> dict[str, Any]:
        """The same as plain values, nothing resolved."""
        return dict(yaml.safe_load(self.config))

    @cached_property
    def choices(self) -> dict[str, str]:
        """What was chosen of each group, as in ``{"model": "dcgan"}``; empty where nothing tells."""

        def read() -> dict[str, str]:
            hydra = yaml.safe_load(_text(self.folder / ".hydra" / "hydra.yaml"))["hydra"]
            chosen = hydra["runtime"]["choices"]
            return {name: value for name, value in chosen.items() if isinstance(name, str) and isinstance(value, str)}

        return part(self.folder, read).content or {}

    @property
    def iterations(self) -> int:
        """How many were done, as far as anything tells."""
        told = self.known.get("iterations")
        rows = part(self.folder, lambda: self.curves["iteration"]).content
        last = 0 if rows is None or not len(rows) or not math.isfinite(rows[-1]) else int(rows[-1]) + 1
        return told if is_count(told) else last

    def seen(self) -> bool:
        """Whether anything of a run is there."""
        names = ("run.json", METRICS, SAMPLES, "fid.csv", "grids", "real.png", "diagnosis.json", ".hydra")
        return any((self.folder / name).exists() for name in names)


def is_count(value: Any) -> TypeGuard[int]:
    """Whether a value from a file is a whole number that a run could count to."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**15


def is_number(value: Any) -> TypeGuard[float]:
    """Whether a value from a file is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300


def _object(file: Path) -> dict[str, Any]:
    if not file.is_file():
        raise NotThere(f"there is no {file.name}")
    if file.stat().st_size > LARGEST_JSON:
        raise ValueError(f"{file.name} has more than {LARGEST_JSON:,} bytes")
    try:
        value = json.loads(file.read_text(errors="replace"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{file.name} is damaged: {error}") from error
    if not isinstance(value, dict):
        raise ValueError(f"{file.name} is damaged: it holds no object")
    return value


def _text(file: Path) -> str:
    if not file.is_file():
        raise NotThere(f"there is no {file.parent.name}/{file.name}")
    with file.open(errors="replace") as opened:
        words = opened.read(LARGEST_TEXT + 1)
    return words if len(words) <= LARGEST_TEXT else f"{words[:LARGEST_TEXT]}\n... (the rest is left out)"
