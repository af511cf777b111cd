"""The CSV files of a run, which grow while it trains and lose no row."""

import csv
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from lightning.pytorch.utilities import rank_zero_warn

Row = Sequence[object]


class Table:
    """A CSV file to append to; for rank 0.

    Rows that cannot be written, since the disk is full, wait in memory for the next time: an error would keep the run
    from its checkpoints, and other ranks waiting for this one.

    Args:
        columns: written where the file is not there yet.

    Attributes:
        problem: why rows wait; None where none do.
    """

    def __init__(self, columns: Sequence[str]) -> None:
        self.columns = columns
        self.waiting: list[Row] = []
        self.problem: OSError | None = None

    def append(self, path: Path, rows: Sequence[Row] = ()) -> None:
        """Write those that wait, and these."""
        self.waiting += rows
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _append(path, self.waiting if path.exists() else [self.columns, *self.waiting])
        except OSError as error:
            if self.problem is None:
                rank_zero_warn(f"{path}: {error}. Its rows wait in memory until there is room; training goes on.")
            self.problem = error
        else:
            self.waiting, self.problem = [], None

    def sync(self, path: Path) -> None:
        """Have what is written on the disk, so that no checkpoint is there without the rows before it."""
        with suppress(OSError), path.open("rb") as file:
            os.fsync(file.fileno())


def _append(path: Path, rows: Sequence[Row]) -> None:
    """Append rows; where that fails, the file is as it was."""
    size = path.stat().st_size if path.exists() else None
    try:
        with path.open("a", newline="") as file:
            csv.writer(file).writerows(rows)
    except BaseException:
        if size is None:
            path.unlink(missing_ok=True)
        else:
            os.truncate(path, size)
        raise
