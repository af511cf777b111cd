"""Where image files lie: a folder on disk, or a zip archive that is read without being unpacked."""

import functools
import os
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple, Protocol

from dcgan_lightning.data.decode import SUFFIXES

LARGEST_MEMBER = 256 * 2**20  # bytes; a zip member that claims more when unpacked is no photograph


class Entry(NamedTuple):
    """One image file: its name below the source (with ``/``), and what changes when its content does."""

    name: str
    size: int  # bytes
    stamp: int  # time of modification in ns, or the CRC-32 in an archive


class Source(Protocol):
    """A place with image files; picklable, so that worker processes can read from it."""

    @property
    def path(self) -> Path:
        """The folder or the archive."""

    def entries(self) -> list[Entry]:
        """All image files, sorted by name. Hidden files and folders, and other suffixes, are left out."""

    def read(self, name: str) -> bytes:
        """The content of one of the entries."""


@dataclass(frozen=True)
class Folder:
    """Image files below a folder, at any depth."""

    path: Path

    def entries(self) -> list[Entry]:
        """See :class:`Source`.

        Raises:
            OSError: the folder, or one below it, cannot be listed.
        """
        return sorted(_walk(self.path, "", frozenset()), key=attrgetter("name"))

    def has_images(self) -> bool:
        """Whether there is any entry; stops at the first."""
        return any(_walk(self.path, "", frozenset()))

    def read(self, name: str) -> bytes:
        return (self.path / name).read_bytes()


@dataclass(frozen=True)
class Archive:
    """Image files in a zip archive. Member names are only ever looked up, never used as paths."""

    path: Path

    def entries(self) -> list[Entry]:
        """See :class:`Source`.

        Raises:
            OSError: the archive cannot be read.
            zipfile.BadZipFile: it is not a zip archive, or not a whole one.
        """
        members = [
            m
            for m in _open(self.path, self.path.stat().st_mtime_ns, os.getpid()).infolist()
            if not m.is_dir() and is_image(m.filename)
        ]
        return sorted((Entry(m.filename, m.file_size, m.CRC) for m in members), key=attrgetter("name"))

    def read(self, name: str) -> bytes:
        archive = _open(self.path, self.path.stat().st_mtime_ns, os.getpid())
        if archive.getinfo(name).file_size > LARGEST_MEMBER:
            raise ValueError(f"larger than {LARGEST_MEMBER // 2**20} MiB when unpacked")
        return archive.read(name)


def is_image(name: str) -> bool:
    """Whether a name, with ``/`` between folders, has one of the suffixes and nothing in it is hidden."""
    return name.lower().endswith(SUFFIXES) and not any(part.startswith(".") for part in name.split("/"))


@functools.lru_cache(maxsize=2)
def _open(path: Path, stamp: int, pid: int) -> zipfile.ZipFile:
    """Opened once, since listing 200,000 members takes seconds; anew after a change, and anew in each process, since a
    fork would share the position in the file."""
    return zipfile.ZipFile(path)


def _walk(folder: Path, prefix: str, above: frozenset[str]) -> Iterator[Entry]:
    """Image files below ``folder``, symbolic links followed; ``above`` stops a link that leads back upwards."""
    real = os.path.realpath(folder)
    if real in above:
        return
    with os.scandir(folder) as found:
        for item in found:
            name = prefix + item.name
            if item.name.startswith("."):
                continue
            if item.is_dir():
                yield from _walk(folder / item.name, name + "/", above | {real})
            elif not item.name.lower().endswith(SUFFIXES):
                continue
            elif item.is_file():
                stat = item.stat()
                yield Entry(name, stat.st_size, stat.st_mtime_ns)
            elif item.is_symlink():  # to nothing: listed, so that it is reported with the bad files
                yield Entry(name, -1, 0)
