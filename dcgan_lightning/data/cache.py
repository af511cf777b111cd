"""Image files are decoded once, into one memory-mapped array in the cache folder."""

import json
import os
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from shutil import disk_usage

import numpy as np
import torch
from filelock import FileLock, Timeout
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor

from dcgan_lightning.data.decode import BadImage, decode
from dcgan_lightning.data.sources import Source
from dcgan_lightning.data.unfinished import Chunk, Recipe, Report, Unfinished
from dcgan_lightning.errors import Refusal
from dcgan_lightning.machine import cores
from dcgan_lightning.signals import Stopped, leave_to_parent
from dcgan_lightning.whole_files import written_whole

CHUNK = 64  # files that a worker decodes between two messages: 0.8 MB of 64x64 RGB pixels
WORTH_A_POOL = 500  # files; fewer are decoded before worker processes would have started
QUIET = 1.5  # seconds before a progress bar appears


@dataclass(frozen=True)
class ImageCache:
    """A folder of arrays, each named by the fingerprint of its images.

    Args:
        folder: made when it is needed.
    """

    folder: Path

    def load(self, key: str, recipe: Recipe) -> tuple[Tensor, Report] | None:
        """Memory-mapped images, (N, C, H, W) uint8 in channels_last memory, and the report.

        None where they are not there, not whole, or were written to since: size, time of modification, and what the
        array's header says are compared. Not the content, which would take reading all of it.
        """
        path = self.folder / f"{key}.npy"
        try:
            listing = json.loads((self.folder / f"{key}.json").read_text())
            as_left = listing.pop("array") == _size_and_time(path)
            report = Report(**listing)
            array = np.lib.format.open_memmap(path, mode="c")  # copy on write: torch wants it writable
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return None
        if not as_left or array.dtype != np.uint8 or array.shape != (len(report.files), *recipe.shape):
            return None
        return torch.from_numpy(array).permute(0, 3, 1, 2), report

    def forget(self, key: str) -> None:
        """Have :meth:`load` find nothing, so that :meth:`build` builds anew."""
        with refuse_unwritable(self.folder):
            (self.folder / f"{key}.json").unlink(missing_ok=True)

    def build(self, key: str, recipe: Recipe, source: Source, names: list[str]) -> None:
        """Decode files into the cache, so that :meth:`load` finds them; files that cannot be decoded are only reported.

        Of two processes at once the second waits for the first. A build that was interrupted is gone on with.

        Args:
            key: fingerprint of the images to be.
            recipe: what to make of each file.
            source: where the files are.
            names: of its files, in the order wanted.

        Raises:
            Refusal: the cache folder cannot be written, or its disk is too small.
        """
        unfinished = Unfinished(self.folder / f"{key}.part", self.folder / f"{key}.journal", recipe)
        with refuse_unwritable(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            with _one_at_a_time(self.folder / f"{key}.lock"):
                if self.load(key, recipe) is None:  # else another process has just made it
                    for left in self.folder.glob(f".unfinished_*_{key}.json"):  # by a process that was killed
                        left.unlink()
                    self._build(key, unfinished, source, names)

    def _build(self, key: str, unfinished: Unfinished, source: Source, names: list[str]) -> None:
        needed = len(names) * int(np.prod(unfinished.recipe.shape)) - unfinished.size()  # bytes
        free = disk_usage(self.folder).free
        if free < needed:
            raise OSError(f"{needed / 2**20:,.0f} MiB are needed there, and {free / 2**20:,.0f} MiB are free")
        done = unfinished.recover(names)
        rest = _decoded(source, names[done.seen :], unfinished.recipe)
        try:
            report = unfinished.write(done, _with_progress(rest, done.seen, len(names)))
        except OSError:
            unfinished.remove()
            raise
        except (KeyboardInterrupt, Stopped):
            print(f"{done.seen:,} of {len(names):,} images are decoded; the next run goes on there", file=sys.stderr)
            raise
        os.utime(unfinished.array, (finished := int(time.time()) // 2 * 2, finished))  # as coarse as any disk has it
        told = asdict(report) | {"array": _size_and_time(unfinished.array)}
        with written_whole(self.folder / f"{key}.json") as path:
            with path.open("w") as listing:
                listing.write(json.dumps(told))
                listing.flush()
                os.fsync(listing.fileno())
            os.replace(unfinished.array, self.folder / f"{key}.npy")
        unfinished.remove()


def _size_and_time(path: Path) -> list[int]:
    about = path.stat()
    return [about.st_size, about.st_mtime_ns]


@contextmanager
def _one_at_a_time(path: Path) -> Iterator[None]:
    """Wait while another process is in here, and say so where that takes a while."""
    lock = FileLock(path)
    try:
        lock.acquire(timeout=QUIET)
    except Timeout:
        print("another process is decoding these images; waiting for it", file=sys.stderr)
        lock.acquire()
    try:
        yield
    finally:
        with suppress(OSError):  # Windows keeps a file that is open
            path.unlink(missing_ok=True)  # whoever waits for it finds that it is gone, and makes a new one
        lock.release()


@contextmanager
def refuse_unwritable(folder: Path) -> Iterator[None]:
    """Turn what the operating system says against writing into ``folder`` into a refusal of ``data.cache_dir``."""
    try:
        yield
    except OSError as error:
        raise Refusal(
            "data.cache_dir", folder, f"cannot be written: {error}", "name a folder with room in data.cache_dir"
        ) from error


def _decoded(source: Source, names: list[str], recipe: Recipe) -> Iterator[Chunk]:
    """Decode chunk after chunk, in order, on all cores where it is worth it."""
    chunks = [names[start : start + CHUNK] for start in range(0, len(names), CHUNK)]
    if len(names) < WORTH_A_POOL:
        yield from (decode_chunk(source, chunk, recipe) for chunk in chunks)
        return
    # A forked worker starts at once, a spawned one first imports torch. Forking is safe here, since the workers use
    # none of the threads that torch may have started; on a Mac system libraries make it unsafe.
    context = get_context("fork" if sys.platform == "linux" else None)
    pool = ProcessPoolExecutor(cores(), context, initializer=leave_to_parent)
    done = 0
    try:
        for chunk in pool.map(decode_chunk, [source] * len(chunks), chunks, [recipe] * len(chunks)):
            yield chunk
            done += chunk[1].seen
    except BrokenProcessPool as error:
        problem = (
            f"a process that decoded images was killed, as it is where memory runs out, at or after {names[done]!r}"
        )
        remedy = "try again, it goes on there; if it ends there again, free memory, or remove the largest images"
        raise Refusal("data.root", source.path, problem, remedy) from error
    finally:
        pool.shutdown(cancel_futures=True)


def decode_chunk(source: Source, names: list[str], recipe: Recipe) -> Chunk:
    """Decode some files."""
    pixels = np.empty((len(names), *recipe.shape), dtype=np.uint8)
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
            pixels[len(report.files)] = image.transpose(1, 2, 0)  # (H, W, C)
            report.files.append(name)
            report.sizes.append(size)
    return pixels[: len(report.files)], report


def _with_progress(chunks: Iterable[Chunk], done: int, total: int) -> Iterator[Chunk]:
    columns = TextColumn("Decoding images"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    progress = Progress(*columns, console=Console(stderr=True))
    task = progress.add_task("", total=total, completed=done)
    began = time.monotonic()
    try:
        for pixels, report in chunks:
            yield pixels, report
            progress.advance(task, report.seen)
            if not progress.live.is_started and time.monotonic() - began > QUIET:
                progress.start()
    finally:
        if progress.live.is_started:
            progress.stop()
