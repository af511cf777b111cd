"""How checkpoints get to the disk: at every moment one is there that is as it was written, and its SHA-256 says so."""

import errno
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from torch.serialization import skip_data

from dcgan_lightning.digests import digest_of, line, recorded, sidecar
from dcgan_lightning.finding import LAST, PREVIOUS
from dcgan_lightning.weights import read
from dcgan_lightning.whole_files import remove_unfinished, sync_folder, unfinished_name

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}  # no space, a quota, a limit on the size of files
SPARE = 2**20  # bytes that are to be free beyond the checkpoint itself, for digests and the file system's own records


class NoSpaceError(RuntimeError):
    """A checkpoint was not saved since it did not fit on the disk; those that were there are as before."""


class WholeCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint beside its target, with its SHA-256, has both on the disk, and only then changes names.

    Beside ``last.ckpt`` then lie ``last.ckpt.sha256`` and ``previous.ckpt``, what it held before, with its own. In
    whichever moment the process is killed, or the machine fails, the newest checkpoint that was completely saved or the
    one before it is there and agrees with its digest. A damaged file never takes the place of ``previous.ckpt``.

    What an interrupted process leaves, a later save removes.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Save.

        Args:
            checkpoint: tensors and plain values.
            path: on a local disk; folders on the way are made.
            storage_options: has to be None.

        Raises:
            NoSpaceError: it does not fit, on the disk or into a quota.
            OSError: it cannot be written for another reason.
        """
        if storage_options is not None:
            raise TypeError("a local file has no storage_options")
        target = Path(path)
        needed = size_of(checkpoint) + SPARE
        with _shortage_named(target, needed):
            target.parent.mkdir(parents=True, exist_ok=True)
            remove_unfinished(target.parent)
            if (free := shutil.disk_usage(target.parent).free) < needed:
                raise _shortage(target, needed, free, "asked for before writing")
            try:
                new = unfinished_name(target)
                _rename(_moves(new, write_synced(checkpoint, new), target))
            finally:
                remove_unfinished(target.parent)

    def load_checkpoint(self, path: str | Path, map_location: Any = None, weights_only: Any = None) -> dict[str, Any]:
        """Read a file of this machine onto the CPU: tensors and plain values, whatever is asked for.

        Lightning's own takes a path that begins with ``http`` for a URL, also a relative one.

        Raises:
            Refusal: it cannot be read so.
        """
        return read("ckpt_path", Path(path))

    def remove_checkpoint(self, path: str | Path) -> None:
        """Remove a checkpoint and its digest."""
        super().remove_checkpoint(path)
        sidecar(Path(path)).unlink(missing_ok=True)


def copy_checkpoint(source: Path, target: Path) -> None:
    """Copy a checkpoint, with its SHA-256, whole or not at all; where it has one beside it, it has to agree with it.

    Raises:
        NoSpaceError: it does not fit.
        OSError: it cannot be read or written, or was changed meanwhile.
    """
    with _shortage_named(target, source.stat().st_size + SPARE):
        target.parent.mkdir(parents=True, exist_ok=True)
        new = unfinished_name(target)
        try:
            with source.open("rb") as original, new.open("wb") as file:
                copied = _Hashed(file)
                shutil.copyfileobj(original, copied, 2**20)
                _sync(file)
            if copied.digest not in (recorded(source) or [copied.digest]):
                raise OSError(errno.EIO, "differs from its sha256", str(source))
            _rename(_moves(new, copied.digest, target))
        finally:
            remove_unfinished(target.parent)


def size_of(checkpoint: dict[str, Any]) -> int:
    """Bytes of the file that ``torch.save`` makes, without copying a tensor."""
    counted = _Counted()
    with skip_data():
        torch.save(checkpoint, counted)  # type: ignore[arg-type]
    return counted.size


def write_synced(checkpoint: dict[str, Any], path: Path) -> str:
    """Write a checkpoint and have it on the disk; returns its SHA-256."""
    with path.open("wb") as file:
        hashed = _Hashed(file)
        try:
            torch.save(checkpoint, hashed)  # type: ignore[arg-type]
        except RuntimeError:
            if hashed.problem is None:
                raise
            raise hashed.problem from None  # in the place of which torch has an error of its own
        _sync(file)
    return hashed.digest


def _moves(new: Path, digest: str, target: Path) -> list[tuple[Path, Path]]:
    """Write all else that has to be there, and say which file then takes which name, in this order."""
    moves, previous, known = [], target.with_name(PREVIOUS), recorded(target)
    held = digest_of(target) if target.name == LAST and target.is_file() else None
    if held is not None and (not _agrees(previous) if known is None else held in known):  # else it is damaged
        moves += _swapped(_second_name(target, previous), held, previous)
    return moves + _swapped(new, digest, target)


def _swapped(new: Path, digest: str, target: Path) -> list[tuple[Path, Path]]:
    """Moves by which the target agrees with its digests at every moment: while it changes, there are two of them."""
    before = recorded(target)
    if before is None:
        before = [digest_of(target)] if target.is_file() else []
    moves = [(_digests([digest, *before], target), sidecar(target)), (new, target)]
    if before:
        moves.append((_digests([digest], target, "only_"), sidecar(target)))
    return moves


def _rename(moves: list[tuple[Path, Path]]) -> None:
    for file, name in moves:
        os.replace(file, name)
        if name.suffix == ".ckpt":
            sync_folder(name.parent)  # so that a failing machine cannot undo this and keep what follows


def _agrees(path: Path) -> bool:
    return path.is_file() and digest_of(path) in (recorded(path) or [])


def _digests(digests: list[str], path: Path, tag: str = "") -> Path:
    """Write a digest file under a name that is not yet its own."""
    beside = sidecar(path)
    unfinished = unfinished_name(beside.with_name(tag + beside.name))
    with unfinished.open("wb") as file:
        file.write("".join(line(digest, path.name) for digest in digests).encode())
        _sync(file)
    return unfinished


def _second_name(target: Path, previous: Path) -> Path:
    """A further name of the target, to become ``previous.ckpt``, so that the target need not be away."""
    link = unfinished_name(previous)
    try:
        os.link(target, link)
    except OSError:  # a file system without links: the target itself is renamed
        return target
    return link


def _sync(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())


@contextmanager
def _shortage_named(target: Path, needed: int) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        folder = next(folder for folder in target.parents if folder.is_dir())
        raise _shortage(target, needed, shutil.disk_usage(folder).free, str(error.strerror)) from error


def _shortage(target: Path, needed: int, free: int, why: str) -> NoSpaceError:
    """In words; more is free than needed where a quota or another limit is the reason."""
    there_is = f"{free / 1e6:,.1f} MB are free on its disk ({why})"
    return NoSpaceError(f"{target} was not saved: it needs {needed / 1e6:,.1f} MB, and {there_is}")


class _Hashed:
    """A file to write to, of which the SHA-256 is known at the end."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file, self.sha256 = file, hashlib.sha256()
        self.problem: BaseException | None = None

    def write(self, data: bytes | memoryview) -> int:
        try:
            self.sha256.update(data)
            return self.file.write(data)
        except BaseException as error:
            self.problem = error
            raise

    def flush(self) -> None:
        self.file.flush()

    @property
    def digest(self) -> str:
        return self.sha256.hexdigest()


class _Counted:
    """Stands for a file, and counts the bytes that would be in it."""

    size = 0

    def write(self, data: bytes) -> int:
        self.size += len(data)
        return len(data)

    def seek(self, by: int, whence: int = os.SEEK_SET) -> int:
        assert whence == os.SEEK_CUR  # over a tensor that is left out
        self.size += by
        return self.size

    def flush(self) -> None:
        pass
