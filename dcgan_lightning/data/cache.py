"""Image files are decoded once, into one memory-mapped array in the cache folder."""

import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from multiprocessing import get_context
from pathlib import Path
from shutil import disk_usage
from typing import BinaryIO

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor

from dcgan_lightning.data.decode import BadImage, decode
from dcgan_lightning.data.sources import Source
from dcgan_lightning.errors import Refusal
from dcgan_lightning.machine import cores

CHUNK = 64  # files that a worker decodes between two messages: 0.8 MB of 64x64 RGB pixels
WORTH_A_POOL = 500  # files; fewer are decoded before worker processes would have started
QUIET = 1.5  # seconds before a progress bar appears


@dataclass(frozen=True)
class Recipe:
    """What to make of each file."""

    height: int  # pixels
    width: int  # pixels
    channels: int  # 1 or 3


@dataclass
class Report:
    """What decoding met; kept beside the array as JSON."""

    files: list[str] = field(default_factory=list)  # names of the images, in the array's order
    bad: list[tuple[str, str]] = field(default_factory=list)  # (name, reason)
    unread: list[str] = field(default_factory=list)  # those of the bad that the operating system would not hand over
    sizes: list[tuple[int, int]] = field(default_factory=list)  # (width, height) of each image before scaling, pixels


@dataclass(frozen=True)
class ImageCache:
    """A folder of arrays, each named by the fingerprint of its images.

    Args:
        folder: made when it is needed.
    """

    folder: Path

    def load(self, key: str, recipe: Recipe) -> tuple[Tensor, Report] | None:
        """Memory-mapped images, (N, C, H, W) uint8, and the report; None where they are not there, or not whole."""
        try:
            report = Report(**json.loads((self.folder / f"{key}.json").read_text()))
            array = np.load(self.folder / f"{key}.npy", mmap_mode="c")  # copy on write: torch wants it writable
        except (OSError, ValueError, TypeError):
            return None
        if array.shape != (len(report.files), recipe.channels, recipe.height, recipe.width):
            return None
        return torch.from_numpy(array), report

    def forget(self, key: str) -> None:
        """Have :meth:`load` find nothing, so that :meth:`build` builds anew."""
        with refuse_unwritable(self.folder):
            (self.folder / f"{key}.json").unlink(missing_ok=True)

    def build(self, key: str, recipe: Recipe, source: Source, names: list[str]) -> None:
        """Decode files into the cache, so that :meth:`load` finds them; files that cannot be decoded are only reported.

        Two processes may do so at once: each writes files of its own, and renames them when they are whole.

        Args:
            key: fingerprint of the images to be.
            recipe: what to make of each file.
            source: where the files are.
            names: of its files, in the order wanted.

        Raises:
            Refusal: the cache folder cannot be written, or its disk is too small.
        """
        needed = len(names) * recipe.channels * recipe.height * recipe.width  # bytes
        with refuse_unwritable(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            free = disk_usage(self.folder).free
            if free < needed:
                raise OSError(f"{needed / 2**20:,.0f} MiB are needed there, and {free / 2**20:,.0f} MiB are free")
            with tempfile.TemporaryDirectory(prefix=f"{key}.", dir=self.folder) as scratch:
                array, listing = Path(scratch) / "array", Path(scratch) / "listing"
                with array.open("wb") as file:
                    report = _write(file, recipe, _decoded(source, names, recipe), len(names))
                listing.write_text(json.dumps(asdict(report)))
                if self.load(key, recipe) is None:  # else another process was faster, and may have it open
                    os.replace(array, self.folder / f"{key}.npy")
                    os.replace(listing, self.folder / f"{key}.json")


@contextmanager
def refuse_unwritable(folder: Path) -> Iterator[None]:
    """Turn what the operating system says against writing into ``folder`` into a refusal of ``data.cache_dir``."""
    try:
        yield
    except OSError as error:
        raise Refusal(
            "data.cache_dir", folder, f"cannot be written: {error}", "name a folder with room in data.cache_dir"
        ) from error


def _write(file: BinaryIO, recipe: Recipe, chunks: Iterable[tuple[np.ndarray, Report]], total: int) -> Report:
    """Write a .npy file chunk by chunk. Not through a memory map, where a full disk is a bus error."""
    report = Report()
    _write_header(file, (total, recipe.channels, recipe.height, recipe.width))
    for pixels, part in _with_progress(chunks, total):
        file.write(pixels.tobytes())
        report.files += part.files
        report.bad += part.bad
        report.unread += part.unread
        report.sizes += part.sizes
    file.seek(0)  # numpy leaves room in its header: another count of images does not change its length
    _write_header(file, (len(report.files), recipe.channels, recipe.height, recipe.width))
    file.flush()
    os.fsync(file.fileno())
    return report


def _write_header(file: BinaryIO, shape: tuple[int, ...]) -> None:
    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})


def _decoded(source: Source, names: list[str], recipe: Recipe) -> Iterator[tuple[np.ndarray, Report]]:
    """Decode chunk after chunk, in order, on all cores where it is worth it."""
    chunks = [names[start : start + CHUNK] for start in range(0, len(names), CHUNK)]
    if len(names) < WORTH_A_POOL:
        yield from (decode_chunk(source, chunk, recipe) for chunk in chunks)
        return
    # A forked worker starts at once, a spawned one first imports torch. Forking is safe here, since the workers use
    # none of the threads that torch may have started; on a Mac system libraries make it unsafe.
    context = get_context("fork" if sys.platform == "linux" else None)
    pool = ProcessPoolExecutor(cores(), context, initializer=_ignore_interrupts)
    try:
        yield from pool.map(decode_chunk, [source] * len(chunks), chunks, [recipe] * len(chunks))
    finally:
        pool.shutdown(cancel_futures=True)


def decode_chunk(source: Source, names: list[str], recipe: Recipe) -> tuple[np.ndarray, Report]:
    """Decode some files.

    Returns:
        (n, C, H, W) uint8 of the n files that could be decoded, and the report on all.
    """
    pixels = np.empty((len(names), recipe.channels, recipe.height, recipe.width), dtype=np.uint8)
    report = Report()
    for name in names:
        try:
            image, size = decode(source.read(name), recipe.height, recipe.width, recipe.channels)
        except BadImage as bad:
            report.bad.append((name, str(bad)))
        except OSError as error:
            report.bad.append((name, error.strerror or str(error)))
            report.unread.append(name)
        except Exception as error:  # a damaged or encrypted member of an archive
            report.bad.append((name, str(error) or type(error).__name__))
        else:
            pixels[len(report.files)] = image
            report.files.append(name)
            report.sizes.append(size)
    return pixels[: len(report.files)], report


def _ignore_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends the workers, with one message instead of many


def _with_progress(chunks: Iterable[tuple[np.ndarray, Report]], total: int) -> Iterator[tuple[np.ndarray, Report]]:
    columns = TextColumn("Decoding images"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    progress = Progress(*columns, console=Console(stderr=True))
    task = progress.add_task("", total=total)
    began = time.monotonic()
    try:
        for pixels, report in chunks:
            yield pixels, report
            progress.advance(task, len(report.files) + len(report.bad))
            if not progress.live.is_started and time.monotonic() - began > QUIET:
                progress.start()
    finally:
        if progress.live.is_started:
            progress.stop()
