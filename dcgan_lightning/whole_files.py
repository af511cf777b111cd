"""Files that are whole or not there."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """The name to write to instead of ``path``, beside it and of the same ending; it takes its place at the end.

    Should an exception pass, what was begun goes, and what ``path`` held before stays.
    """
    unfinished = unfinished_name(path)
    unfinished.unlink(missing_ok=True)  # in a stranger's folder it may be a link to somewhere else
    try:
        yield unfinished
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def unfinished_name(path: Path) -> Path:
    """A hidden name beside ``path``, of the same ending, which says which process writes to it."""
    return path.with_name(f".unfinished_{os.getpid()}_{path.name}")


def remove_unfinished(folder: Path) -> None:
    """Remove what processes left that are gone, and what this one left."""
    for file in folder.glob(".unfinished_*"):
        named = re.match(r"\.unfinished_(\d+)_", file.name)
        if named and (int(named[1]) == os.getpid() or not _lives(int(named[1]))):
            with suppress(OSError):
                file.unlink()


def sync_folder(folder: Path) -> None:
    """Have the names in a folder on the disk; Windows does that by itself."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _lives(process: int) -> bool:
    if os.name == "nt":  # there, asking like this is a signal
        return True
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # somebody else's
        return True
    return True
