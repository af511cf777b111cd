"""The tables that a diagnosis is made of: columns by our names, with what is not finite told from what is not there."""

import csv
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from dcgan_lightning.course import Columns
from dcgan_lightning.curves import METRICS, SAMPLES, SCALARS
from dcgan_lightning.errors import Refusal
from dcgan_lightning.symptoms import OF_IMAGES

PARTS = {"acc_real", "acc_fake", "d_x", "d_gz_before", "d_gz_after"}  # of one
KNOWN = {"iteration", *SCALARS, *OF_IMAGES}


def read_run(folder: Path) -> tuple[Columns, Columns | None]:
    """A run's curves and sample statistics; None where it has none of the latter.

    Raises:
        Refusal: it has no curves, or a table that is damaged.
    """
    if not (folder / METRICS).is_file():
        raise Refusal("run", folder, f"there is no {METRICS} in it", "give a run folder, or a CSV file of losses")
    curves = read_table(folder / METRICS, {}, torn=True)
    with_rows = (folder / SAMPLES).is_file() and (folder / SAMPLES).read_bytes().count(b"\n") > 1
    return curves, read_table(folder / SAMPLES, {}, torn=True) if with_rows else None


def read_table(file: Path, names: Mapping[str, str], torn: bool = False) -> Columns:
    """The columns of a CSV file that can be judged, by rising iteration; rows are numbered where it has no iterations.

    Of rows with the same iteration the last one counts, which a run that went back wrote. Accuracies above 1 are taken
    for percentages.

    Args:
        file: with a header; its cells end with commas, semicolons or tabs.
        names: other names than ours, theirs to ours or ours to theirs.
        torn: whether a last line without an end is what was being written when a run was killed.

    Returns:
        Columns by our names, NaN for an empty cell, infinite for one that is NaN or infinite.

    Raises:
        Refusal: it cannot be read, or has nothing to judge.
    """
    try:
        text = file.read_text(encoding="utf-8-sig", errors="replace")
        separator = max(",;\t", key=text.partition("\n")[0].count)
        header, *rows = [row for row in csv.reader(text.splitlines(), delimiter=separator) if row] or [[]]
    except (OSError, csv.Error) as error:
        raise Refusal("run", file, f"cannot be read as a CSV file: {error}", "give a file with a header") from error
    if rows and (len(rows[-1]) < len(header) or (torn and not text.endswith("\n"))):
        rows.pop()
    if not rows:
        raise Refusal("run", file, "there is no row in it", "wait for the run's first rows, or give another file")
    table = _columns(_ours([cell.strip() for cell in header], names, file), rows, file, line=2)
    numbers = table.setdefault("iteration", np.arange(len(rows), dtype=np.float64))
    if not np.isfinite(numbers).all():
        raise Refusal("run", file, "a row has no iteration", "mend the file, or leave that column out")
    for name in PARTS & set(table):
        finite = table[name][np.isfinite(table[name])]
        if len(finite) and finite.max() > 1:
            if not name.startswith("acc_") or finite.max() > 100:
                problem = f"{name} is a part or a probability, 0 to 1, and comes to {finite.max():g}"
                raise Refusal("run", file, problem, "leave that column out, or mend it")
            table[name] = table[name] / 100
    newest = {iteration: row for row, iteration in enumerate(numbers)}
    order = [newest[iteration] for iteration in sorted(newest)]
    return {name: column[order] for name, column in table.items()}


class Growing:
    """A table that a run writes, read as it grows.

    Args:
        file: which need not be there yet.
    """

    def __init__(self, file: Path) -> None:
        self.file, self._read, self._lines = file, 0, 0
        self._ours: list[tuple[str, int]] = []

    def new_rows(self) -> Columns:
        """The rows since the last call, empty where there are none."""
        if not self.file.is_file():
            return {}
        with self.file.open("rb") as file:
            file.seek(self._read)
            data = file.read()
        whole = data[: data.rfind(b"\n") + 1]  # the last line may still be written
        self._read += len(whole)
        rows = list(csv.reader(whole.decode(errors="replace").splitlines()))
        if rows and not self._ours:
            self._ours = _ours(rows.pop(0), {}, self.file)
        first, self._lines = self._lines + 2, self._lines + len(rows)
        return _columns(self._ours, rows, self.file, first) if rows else {}


def _columns(ours: list[tuple[str, int]], rows: list[list[str]], file: Path, line: int) -> dict[str, np.ndarray]:
    return {name: np.array([_number(row, at, file, line + k) for k, row in enumerate(rows)]) for name, at in ours}


def _ours(header: list[str], names: Mapping[str, str], file: Path) -> list[tuple[str, int]]:
    """Our name and the place of each column that can be judged."""
    theirs = {str(a): str(b) for a, b in names.items()}
    if theirs and set(theirs) <= KNOWN and not set(theirs) <= set(header):
        theirs = {b: a for a, b in theirs.items()}
    for name, known in theirs.items():
        if name not in header:
            problem = f"{file} has no column {name!r}; it has {', '.join(header)}"
            raise Refusal("columns", dict(names), problem, "columns={their_name:loss_d,other_name:loss_g}")
        if known not in KNOWN:
            problem = f"{known!r} is none of the columns that are judged: {', '.join(sorted(KNOWN))}"
            raise Refusal("columns", dict(names), problem, "columns={their_name:loss_d,other_name:loss_g}")
    taken = set(theirs.values())  # one that is named comes before one that happens to be called so
    named = [(theirs.get(name, "" if name in taken else name), place) for place, name in enumerate(header)]
    found = {name: place for name, place in named if name in KNOWN}
    if len(found) < sum(name in KNOWN for name, _ in named):
        twice = ", ".join(sorted({name for name in found if [n for n, _ in named].count(name) > 1}))
        problem = f"more than one column is to be {twice}"
        raise Refusal(
            "columns" if names else "run", dict(names) if names else file, problem, "give each but one other name"
        )
    if not set(found) - {"iteration"}:
        problem = f"it has none of the columns that are judged: it has {', '.join(header)}"
        remedy = (
            f"say which is which: columns={{their_name:loss_d,other_name:loss_g}}; ours: {', '.join(sorted(KNOWN))}"
        )
        raise Refusal("run", file, problem, remedy)
    return list(found.items())


def _number(row: list[str], place: int, file: Path, line: int) -> float:
    cell = row[place].strip() if place < len(row) else ""
    try:
        value = float(cell) if cell else math.nan
    except ValueError:
        raise Refusal("run", file, f"line {line} has {cell!r}, which is no number", "mend the file") from None
    return math.inf if cell and not math.isfinite(value) else value
