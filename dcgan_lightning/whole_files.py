"""Files that are whole or not there."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """The name to write to instead of ``path``, beside it and of the same ending; it takes its place at the end.

    Should an exception pass, what was begun goes, and what ``path`` held before stays.
    """
    unfinished = path.with_name(f".unfinished_{os.getpid()}_{path.name}")
    try:
        yield unfinished
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
