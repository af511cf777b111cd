"""Where image files lie: a folder on disk, or a zip archive that is read without being unpacked."""

import errno
import functools
import os
import stat
import struct
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple, Protocol

from dcgan_lightning.data.decode import SUFFIXES

LARGEST_FILE = 256 * 2**20  # bytes, of a zip member when unpacked; what is larger is no photograph
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # zipfile bounds what these unpack into, not the others
NOT_BLOCKING = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)  # a pipe's end that nobody holds would wait
GONE = -1  # size of a file that was listed and cannot be looked at


class Entry(NamedTuple):
    """One image file: its name below the source (with ``/``), and what changes when its content does."""

    name: str
    size: int  # bytes; GONE where it cannot be looked at
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
        return sorted(_walk(self.path), key=attrgetter("name"))

    def has_images(self) -> bool:
        """Whether there is any entry; stops at the first."""
        return any(_walk(self.path))

    def read(self, name: str) -> bytes:
        """See :class:`Source`.

        Raises:
            OSError: it cannot be read, is no regular file by now, or was changed meanwhile.
            ValueError: it is larger than any photograph.
        """
        file = os.open(self.path / name, os.O_RDONLY | NOT_BLOCKING)
        try:
            before = os.fstat(file)
            if not stat.S_ISREG(before.st_mode):
                raise OSError("not a regular file")
            _refuse_large(before.st_size, "")
            data = _read_all(file, before.st_size)
            after = os.fstat(file)
        finally:
            os.close(file)
        if len(data) != before.st_size or (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
            raise OSError("it was changed while it was read")
        return data


@dataclass(frozen=True)
class Archive:
    """Image files in a zip archive. Member names are only ever looked up, never used as paths."""

    path: Path

    def entries(self) -> list[Entry]:
        """See :class:`Source`. Of members with the same name the last counts, as when unpacking.

        Raises:
            OSError: the archive cannot be read.
            zipfile.BadZipFile: it is not a zip archive, or not a whole one.
        """
        try:
            listed = _open(self.path, self.path.stat().st_mtime_ns, os.getpid()).infolist()
        except (zipfile.BadZipFile, NotImplementedError, ValueError, EOFError, struct.error) as error:
            raise zipfile.BadZipFile(self._damage() or str(error)) from error
        members = {m.filename: m for m in listed if not m.is_dir() and is_image(m.filename)}
        return sorted((Entry(name, m.file_size, m.CRC) for name, m in members.items()), key=attrgetter("name"))

    def read(self, name: str) -> bytes:
        """See :class:`Source`.

        Raises:
            OSError: the archive cannot be read.
            ValueError: the member claims to unpack into more than any photograph.
            Exception: whatever zipfile raises on damaged or encrypted members.
        """
        archive = _open(self.path, self.path.stat().st_mtime_ns, os.getpid())
        member = archive.getinfo(name)
        _refuse_large(member.file_size, " when unpacked")
        if member.compress_type not in METHODS:
            raise ValueError("compressed by another method than deflate")
        with archive.open(member) as file:
            return file.read(member.file_size)  # without a number, a member that lies about its size fills the memory

    def _damage(self) -> str:
        """Why an archive's list of members, at its end, cannot be read; empty where that is unknown."""
        with self.path.open("rb") as file:
            if file.read(4) != b"PK\3\4":
                return ""
        return "it is a zip archive that was cut short: its end, with the list of its files, is not there"


def _refuse_large(size: int, when: str) -> None:
    if size > LARGEST_FILE:
        raise ValueError(f"larger than {LARGEST_FILE // 2**20} MiB{when}")


def _read_all(file: int, size: int) -> bytes:
    """A file's content; one byte more than ``size`` where it has grown, so that whoever compares will see."""
    data = os.read(file, size + 1)
    while 0 < len(data) <= size and (more := os.read(file, size + 1 - len(data))):  # a network's file comes in parts
        data += more
    return data


def is_image(name: str) -> bool:
    """Whether a name, with ``/`` between folders, has one of the suffixes and nothing in it is hidden."""
    return name.lower().endswith(SUFFIXES) and not any(part.startswith(".") for part in name.split("/"))


@functools.lru_cache(maxsize=2)
def _open(path: Path, stamp: int, pid: int) -> zipfile.ZipFile:
    """Opened once, since listing 200,000 members takes seconds; anew after a change, and anew in each process, since a
    fork would share the position in the file."""
    return zipfile.ZipFile(path)


def _walk(root: Path) -> Iterator[Entry]:
    """Image files below ``root``, symbolic links followed, but for those that lead back upwards."""
    waiting: list[tuple[str, str, frozenset[object]]] = [(str(root), "", frozenset())]  # a loop: folders may lie deep
    while waiting:
        folder, prefix, above = waiting.pop()
        about = os.stat(folder)
        real = about.st_dev, about.st_ino
        if real in above:
            continue
        with os.scandir(folder) as found:
            for item in found:
                if item.name.startswith("."):
                    continue
                if _is_folder(item):
                    waiting.append((item.path, f"{prefix}{item.name}/", above | {real}))
                elif item.name.lower().endswith(SUFFIXES):
                    yield from _as_entry(item, prefix + item.name)


def _is_folder(item: os.DirEntry[str]) -> bool:
    try:
        return item.is_dir()
    except OSError as error:
        if error.errno == errno.ELOOP:  # links that lead to each other
            return False
        raise


def _as_entry(item: os.DirEntry[str], name: str) -> Iterator[Entry]:
    """The entry of a file, or of a link to nothing, so that it is reported with the bad ones; no pipes, no devices."""
    try:
        about = item.stat()
    except OSError:
        yield Entry(name, GONE, 0)
        return
    if stat.S_ISREG(about.st_mode):
        yield Entry(name, about.st_size, about.st_mtime_ns)
