"""A run's scalars and grids, read back from its folder; those of the runs that it goes on from come first."""

import csv
import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

METRICS, RESUMED_FROM = "metrics.csv", "resumed_from.txt"
Curves = dict[str, NDArray[np.float64]]  # by column: (rows,), NaN where a cell is empty


class NotThere(Exception):
    """A run folder does not have what something is made from; the message says what is missing."""


def read_curves(folder: Path) -> Curves:
    """The columns of ``metrics.csv``, from the first iteration that is known.

    A resumed run's file starts where its checkpoint was saved. The rows before that are taken from the run that it goes
    on from, where that one's file is still there; rows that both have are taken from the newer one.

    Args:
        folder: of a run, finished or not.

    Returns:
        One array a column, all of the same length, by rising ``iteration``.

    Raises:
        NotThere: the run has no ``metrics.csv``, or no row in it.
        ValueError: a file holds something else than numbers.
    """
    own, *earlier = [run / METRICS for run in lineage(folder)]
    curves = _columns(own)
    for file in earlier:
        try:
            older = _columns(file)
        except NotThere:
            continue
        before = older["iteration"] < curves["iteration"][0]
        unknown = np.full(before.sum(), np.nan), np.full(len(curves["iteration"]), np.nan)
        curves = {
            name: np.concatenate([older[name][before] if name in older else unknown[0], curves.get(name, unknown[1])])
            for name in older | curves
        }
    return curves


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
    if not (folder / RESUMED_FROM).is_file():
        return None
    checkpoint = Path((folder / RESUMED_FROM).read_text().strip()).expanduser()
    if checkpoint.parent.name != "checkpoints":
        return None
    # A relative path counts from where train.py ran: in general a folder around this one, which may have moved since.
    for base in (*folder.parents, Path.cwd()):
        if (run := base / checkpoint.parent.parent).is_dir():
            return run.resolve()
    return None


def _start(folder: Path, own: dict[int, Path]) -> float:
    """Iterations done when the run began: by its first row, or by its first grid where that row is an earlier run's."""
    try:
        with (folder / METRICS).open(newline="") as file:
            first = int(next(csv.DictReader(file))["iteration"])
    except (OSError, StopIteration, ValueError, KeyError):
        first = 0
    return first or min(own, default=float("inf")) - 1


def _columns(file: Path) -> Curves:
    if not file.is_file():
        raise NotThere(f"there is no {file}")
    header, *rows = file.read_text().splitlines() or [""]
    names = header.split(",")
    if rows and rows[-1].count(",") < len(names) - 1:  # what was being written when the run was killed
        rows.pop()
    if not rows or "iteration" not in names:
        raise NotThere(f"there is no iteration in {file}")
    try:
        table = np.loadtxt(rows, delimiter=",", converters=lambda cell: float(cell or "nan"), ndmin=2)
        return dict(zip(names, table.T, strict=True))
    except ValueError as error:
        raise ValueError(f"{file} is damaged: {error}") from error
