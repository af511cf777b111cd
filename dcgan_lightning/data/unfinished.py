"""An array that is written chunk by chunk, so that whoever is interrupted can go on where it stopped."""

import io
import json
import os
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

KEEP_EVERY = 2.0  # seconds of decoding that are lost where the machine fails; an interruption loses no chunk


@dataclass(frozen=True)
class Recipe:
    """What to make of each file."""

    height: int  # pixels
    width: int  # pixels
    channels: int  # 1 or 3

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of an image in the array. Channels last, as convolutions want them: a gathered batch is not reordered."""
        return self.height, self.width, self.channels


@dataclass
class Report:
    """What decoding met; kept beside the array as JSON."""

    files: list[str] = field(default_factory=list)  # names of the images, in the array's order
    bad: list[tuple[str, str]] = field(default_factory=list)  # (name, reason)
    unread: list[str] = field(default_factory=list)  # those of the bad that the operating system would not hand over
    sizes: list[tuple[int, int]] = field(default_factory=list)  # (width, height) of each image before scaling, pixels

    def add(self, other: "Report") -> None:
        self.files += other.files
        self.bad += other.bad
        self.unread += other.unread
        self.sizes += other.sizes

    def follows(self, done: "Report", names: list[str]) -> bool:
        """Whether it tells of the files that come after ``done``."""
        told = {*self.files, *(name for name, _ in self.bad)}
        return told == set(names[done.seen : done.seen + self.seen])

    @property
    def seen(self) -> int:
        """How many files it tells of."""
        return len(self.files) + len(self.bad)


Chunk = tuple[np.ndarray, Report]  # (n, H, W, C) uint8 of the n files that could be decoded, and the report on all


@dataclass(frozen=True)
class Unfinished:
    """A .npy file under way, and a journal with the report of each chunk that is in it.

    A chunk's report is written after its pixels are on the disk: what the journal tells is there. Only one process may
    use it at a time.
    """

    array: Path
    journal: Path
    recipe: Recipe

    def size(self) -> int:
        """Bytes on the disk."""
        return self.array.stat().st_size if self.array.is_file() else 0

    def remove(self) -> None:
        """Leave nothing to go on with."""
        self.array.unlink(missing_ok=True)
        self.journal.unlink(missing_ok=True)

    def recover(self, names: list[str]) -> Report:
        """Cut off what is not whole, and all from the first chunk with files that could not be read, to try again.

        Args:
            names: of all files, in order.

        Returns:
            The report on all that is left, empty where nothing is.
        """
        done, whole = Report(), 0  # bytes of the journal
        for line in self.journal.read_bytes().splitlines(keepends=True) if self.journal.is_file() else []:
            chunk = _parsed(line)
            images = len(done.files) + (len(chunk.files) if chunk else 0)
            if chunk is None or chunk.unread or not chunk.follows(done, names) or self.size() < self._place(images):
                break
            done.add(chunk)
            whole += len(line)
        for path, length in ((self.journal, whole), (self.array, self._place(len(done.files)))):
            path.touch()
            os.truncate(path, length)
        return done

    def write(self, done: Report, chunks: Iterable[Chunk]) -> Report:
        """Go on after what :meth:`recover` found, to the end. Not through a memory map: a full disk is a bus error.

        Args:
            done: the report on what is there; what is written is added to it.
            chunks: of the other files, in order.

        Returns:
            ``done``, by then on all files.
        """
        new: list[Report] = []
        with self.array.open("r+b") as array, self.journal.open("a") as journal:

            def keep() -> None:
                array.flush()
                os.fsync(array.fileno())
                journal.write("".join(json.dumps(asdict(report)) + "\n" for report in new))
                journal.flush()
                new.clear()

            array.seek(self._place(len(done.files)))
            kept_at = time.monotonic()
            try:
                for pixels, report in chunks:
                    array.write(pixels.tobytes())
                    done.add(report)
                    new.append(report)
                    if time.monotonic() - kept_at > KEEP_EVERY:
                        keep()
                        kept_at = time.monotonic()
            finally:
                keep()
            array.seek(0)
            array.write(_header((len(done.files), *self.recipe.shape)))
            array.flush()
            os.fsync(array.fileno())
        return done

    def _place(self, images: int) -> int:
        """Where in the file that many images end. The header's length is the same for any count: numpy leaves room."""
        return len(_header((0, *self.recipe.shape))) + images * int(np.prod(self.recipe.shape))


def _parsed(line: bytes) -> Report | None:
    try:
        return Report(**json.loads(line)) if line.endswith(b"\n") else None
    except (ValueError, TypeError):
        return None


def _header(shape: tuple[int, ...]) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return file.getvalue()
