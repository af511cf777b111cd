"""A run's tables and grids, read back from its folder, and carried over into that of a run that goes on from it."""

import json
import os
import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dcgan_lightning.whole_files import written_whole

METRICS, SAMPLES, RESUMED_FROM = "metrics.csv", "samples.csv", "resumed_from.txt"
SCALARS = (  # of an iteration, in metrics.csv
    "loss_d",
    "loss_g",
    "loss_d_real",
    "loss_d_fake",
    "d_x",
    "d_gz_before",
    "d_gz_after",
    "acc_real",
    "acc_fake",
)
# Tables that a resumed run begins with, and how many iterations are done after what a row of each number tells of.
CARRIED_OVER = {METRICS: 1, "fid.csv": 0, SAMPLES: 0}
EMPTY = re.compile(r"(?:(?<=,)|^)(?=,|$)")  # a cell without anything in it
Curves = dict[str, NDArray[np.float64]]  # by column: (rows,), NaN where a cell is empty


class NotThere(Exception):
    """A run folder does not have what something is made from; the message says what is missing."""


def read_curves(folder: Path, most: int | None = None) -> Curves:
    """The columns of ``metrics.csv``, from the first iteration on, those of the runs that it goes on from included.

    Args:
        folder: of a run, finished or not.
        most: rows that are read; of more every second one, or third and so on, and the last. None: all.

    Returns:
        One array a column, all of the same length, by rising ``iteration``.

    Raises:
        NotThere: the run has no ``metrics.csv``, or no row in it.
        ValueError: a file holds something else than numbers.
    """
    return _columns(folder / METRICS, most=most)


def read_samples(folder: Path) -> Curves:
    """The numbers of ``samples.csv``, likewise; all of its columns but those of words."""
    return _columns(folder / SAMPLES, but=("network",))


def carry_over(parent: Path, folder: Path, iterations: int) -> str:
    """Begin a run's tables with the rows of the run that it goes on from, up to the iterations done in a checkpoint.

    Returns:
        Which rows of the scalars were not there, in words; empty where all were.
    """
    scalars: set[int] = set()
    for name, after in CARRIED_OVER.items():
        if (parent / name).is_file():
            lines = (parent / name).read_bytes().splitlines(keepends=True)
            numbered = [(number, line) for line in lines[1:] if (number := _number(line)) is not None]
            kept = [(number, line) for number, line in numbered if number + after <= iterations]
            with written_whole(folder / name) as path:
                path.write_bytes(b"".join([*lines[:1], *(line for _, line in kept)]))
            scalars |= {number for number, _ in kept} if name == METRICS else set()
    if not scalars:
        return f"there is no {parent / METRICS} to begin with: the curves begin here"
    lacking = sorted(set(range(iterations)) - scalars)
    return f"{parent / METRICS} lacks {len(lacking)} rows, the first of iteration {lacking[0]}" if lacking else ""


def rows_after(folder: Path, iterations: int) -> dict[str, list[str]]:
    """The rows of a run's tables, by file, that tell of what came after so many iterations."""
    rows: dict[str, list[str]] = {}
    for name, after in CARRIED_OVER.items():
        if (folder / name).is_file():
            lines = (folder / name).read_bytes().splitlines(keepends=True)[1:]
            later = [line for line in lines if (number := _number(line)) is not None and number + after > iterations]
            rows[name] = [line.decode(errors="replace").rstrip() for line in later]
    return rows


def _number(line: bytes) -> int | None:
    """The iteration that a row begins with; None for what was being written when a run was killed."""
    cell = line.partition(b",")[0]
    return int(cell) if line.endswith(b"\n") and cell.isdigit() else None


def is_stacked(curves: Curves) -> bool:
    """Whether D was trained on real and fake images stacked into one batch, as far as the numbers tell.

    There ``loss_d`` is the mean of ``loss_d_real`` and ``loss_d_fake``, otherwise their sum. It is stacked if the mean
    is nearer than the sum in most of the rows that have all three and tell the two apart.
    """
    if not {"loss_d", "loss_d_real", "loss_d_fake"} <= set(curves):
        return False
    total = curves["loss_d_real"] + curves["loss_d_fake"]
    to_mean, to_sum = np.abs(curves["loss_d"] - total / 2), np.abs(curves["loss_d"] - total)
    return int((to_mean < to_sum).sum()) > int((to_sum < to_mean).sum())  # NaN is neither


def grids(folder: Path) -> dict[int, Path]:
    """The pictures ``grids/iteration_NNNNNN.png`` by rising number of iterations done, earlier runs' included.

    Of an earlier run only those up to the checkpoint from which the next one went on.
    """
    found: dict[int, Path] = {}
    last = float("inf")  # iterations done at the checkpoint from which the next run went on
    for run in lineage(folder):
        numbered = ((re.fullmatch(r"iteration_(\d+)\.png", path.name), path) for path in (run / "grids").glob("*.png"))
        own = {int(name[1]): path for name, path in numbered if name is not None}
        found = {number: path for number, path in own.items() if number <= last} | found
        last = min(last, _start(run, own))
    return dict(sorted(found.items()))


def lineage(folder: Path) -> list[Path]:
    """The run, the one that it goes on from, and so on, as far as their folders are there."""
    runs = [folder.resolve()]
    while (parent := _parent(runs[-1])) is not None and parent not in runs:
        runs.append(parent)
    return runs


def _parent(folder: Path) -> Path | None:
    """The run folder ``<run>/checkpoints/x.ckpt`` of whose checkpoint this run went on from."""
    words = resumed_from(folder)
    if words is None:
        return None
    checkpoint = Path(os.path.expanduser(words))
    if checkpoint.parent.name != "checkpoints":
        return None
    # A relative path counts from where train.py ran: in general a folder around this one, which may have moved since.
    for base in (*folder.parents, Path.cwd()):
        if (run := base / checkpoint.parent.parent).is_dir():
            return run.resolve()
    return None


def resumed_from(folder: Path) -> str | None:
    """The checkpoint that a run went on from, in the words of ``resumed_from.txt``; None where there is none."""
    file = folder / RESUMED_FROM
    return file.read_text(errors="replace").strip() if file.is_file() else None


def _start(folder: Path, own: dict[int, Path]) -> float:
    """Iterations done when the run began."""
    try:
        return int(json.loads((folder / "run.json").read_text())["first_iteration"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return min(own, default=float("inf")) - 1


def _columns(file: Path, but: tuple[str, ...] = (), most: int | None = None) -> Curves:
    if not file.is_file():
        raise NotThere(f"there is no {file}")
    header, *rows = file.read_text(errors="replace").splitlines() or [""]
    names = header.split(",")
    if rows and rows[-1].count(",") < len(names) - 1:  # what was being written when the run was killed
        rows.pop()
    if not rows or "iteration" not in names:
        raise NotThere(f"there is no iteration in {file}")
    wanted = [index for index, name in enumerate(names) if name not in but]
    try:
        if any(row.count(",") != len(names) - 1 for row in rows):
            raise ValueError(f"rows of other than {len(names)} cells")
        rows = rows[:-1][:: -(-len(rows) // most)] + rows[-1:] if most is not None and len(rows) > most else rows
        # A converter would be called for each cell, ten times slower.
        filled = (EMPTY.sub("nan", row) if ",," in row or row[-1:] == "," else row for row in rows)
        table = np.loadtxt(filled, delimiter=",", ndmin=2, usecols=wanted)
        return dict(zip([names[index] for index in wanted], table.T, strict=True))
    except ValueError as error:
        raise ValueError(f"{file} is damaged: {error}") from error
