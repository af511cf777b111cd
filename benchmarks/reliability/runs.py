"""Real runs of train.py that save all the time, and what has to hold of what they leave."""

import csv
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from benchmarks.reliability.kinds import ROOT
from dcgan_lightning import checkpoints
from dcgan_lightning.digests import recorded
from dcgan_lightning.errors import Refusal
from dcgan_lightning.weights import read

# One class of the shipped digits, in small batches through wide networks, so that saving takes most of the time.
SETTINGS = (
    "data.digit=8",
    "data.batch_size=8",
    "model.generator.width=64",
    "model.discriminator.width=64",
    "trainer.accelerator=cpu",
    "callbacks.fid.num_samples=64",
    "callbacks.scalars.fetch_every=1",
    "callbacks.figures=null",
    "callbacks.grid.every=1000",
)
PATIENCE = 300.0  # seconds in which a run has to get somewhere
LAST = "last.ckpt"


class Run:
    """A run of train.py in a process group of its own.

    Args:
        folder: the run folder, which is not there yet.
        beside: where the cache of images is, and a file with all that the run prints.
        overrides: beside :data:`SETTINGS`.
    """

    def __init__(self, folder: Path, beside: Path, *overrides: str) -> None:
        self.folder = folder
        self.last = folder / "checkpoints" / LAST
        self._said = beside / f"{folder.name}.txt"
        command = [sys.executable, str(ROOT / "train.py"), *SETTINGS, *overrides]
        where = [f"hydra.run.dir={folder}", f"data.cache_dir={beside / 'cache'}"]
        with self._said.open("wb") as said:
            self.process = subprocess.Popen(
                [*command, *where],
                cwd=beside,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def __enter__(self) -> "Run":
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def kill(self) -> int:
        """kill -9 to its process group; what it ended with, now or before."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        return self.process.wait()

    @property
    def said(self) -> str:
        """All that it printed so far."""
        return self._said.read_text(errors="replace")

    @property
    def words(self) -> str:
        """The end of what it said, in one line."""
        return " / ".join(line.strip() for line in self.said.splitlines()[-5:] if line.strip())[-600:]

    def wait_for_checkpoint(self) -> str:
        """Wait until there is a checkpoint; why there will be none, if that is so."""
        until = time.monotonic() + PATIENCE
        while not self.last.is_file():
            if self.process.poll() is not None:
                return f"the run ended before its first checkpoint, with {self.process.returncode}: {self.words}"
            if time.monotonic() > until:
                return f"no checkpoint after {PATIENCE:.0f} s: {self.words}"
            time.sleep(0.001)
        return ""

    def saving(self) -> bool:
        """Whether a save is under way, or was when the run was killed."""
        return any(self.last.parent.glob(".unfinished_*.ckpt"))

    def ended(self, within: float) -> bool:
        """Whether it ended within so many seconds."""
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(within)
        return self.process.poll() is not None

    def wait(self) -> int | None:
        """Its exit code; None where it did not end in time."""
        return self.process.returncode if self.ended(PATIENCE) else None


class Watch:
    """Keeps a hard link to the newest ``last.ckpt`` that was in its place, so that it can be read afterwards."""

    def __init__(self, last: Path) -> None:
        self.last = last
        self.kept = last.parent.parent.with_name("seen.ckpt")
        self.saves = 0
        self._inode = 0

    def look(self) -> None:
        """To be called often."""
        with suppress(FileNotFoundError):
            if (inode := self.last.stat().st_ino) != self._inode:
                fresh = self.kept.with_suffix(".fresh")
                os.link(self.last, fresh)
                os.replace(fresh, self.kept)
                self._inode = inode
                self.saves += 1

    def iteration(self) -> int:
        """Iterations done in the newest one; raises Refusal where what was in its place cannot be read."""
        return iterations_in(self.kept)


def rows(folder: Path) -> dict[int, dict[str, str]]:
    """The whole rows of a run's ``metrics.csv`` by iteration.

    Raises:
        ValueError: an iteration is left out or comes twice.
    """
    text = (folder / "metrics.csv").read_text()
    whole = text[: text.rfind("\n") + 1].splitlines()
    found = [*csv.DictReader(whole)]
    numbers = [int(row["iteration"]) for row in found]
    if numbers != [*range(len(found))]:
        wrong = next(number for number, expected in zip(numbers, range(len(found)), strict=True) if number != expected)
        raise ValueError(f"metrics.csv has a gap or a repeat at iteration {wrong}")
    return dict(zip(numbers, found, strict=True))


def newest(folder: Path) -> int:
    """Iterations done in the checkpoint from which a run would go on; raises Refusal where there is none."""
    return iterations_in(checkpoints.find(str(folder), LAST))


def iterations_in(checkpoint: Path) -> int:
    """Iterations done in it; raises Refusal where it cannot be read."""
    return int(read("ckpt_path", checkpoint)["global_step"])


def flaws(folder: Path, least: int) -> Iterator[str]:
    """What is wrong with what a run left, in words.

    Args:
        folder: of the run.
        least: iterations that had been saved for sure.
    """
    try:
        taken = checkpoints.find(str(folder), LAST)
        iteration = iterations_in(taken)
        if recorded(taken) is None:
            yield f"{taken.name} has no sha256 beside it"
        if iteration < least:
            yield f"the newest valid checkpoint has {iteration} iterations, though {least} had been saved"
        if (folder / "checkpoints" / "best.ckpt").is_file():
            read("ckpt_path", checkpoints.find(str(folder), "best.ckpt"))
        if (known := len(rows(folder))) < iteration:
            yield f"metrics.csv ends after {known} iterations, the checkpoint has {iteration}"
    except (Refusal, ValueError, OSError) as error:
        yield f"{type(error).__name__}: {error}"


def flaws_of_going_on(folder: Path, beside: Path, more: int) -> Iterator[str]:
    """Go on from what a run left, for some iterations; what is wrong with that.

    Rows that the run had written after its newest checkpoint have to come out the same. ``beside`` is as for a
    :class:`Run`.
    """
    iteration, before = newest(folder), rows(folder)
    length = f"trainer.max_steps={iteration + more}"
    with Run(folder.with_name(f"{folder.name}_on"), beside, f"ckpt_path={folder}", length) as run:
        code = run.wait()
    if code != 0:
        yield f"going on from it ended with {code}: {run.words}"
        return
    try:
        after = rows(run.folder)
        if len(after) != iteration + more:
            yield f"after going on to {iteration + more} iterations metrics.csv has {len(after)} rows"
        other = [number for number in before.keys() & after.keys() if before[number] != after[number]]
        if other:
            yield f"the numbers of iteration {min(other)} are others, after going on from iteration {iteration}"
        if (reached := newest(run.folder)) != iteration + more:
            yield f"its last checkpoint has {reached} iterations instead of {iteration + more}"
    except (Refusal, ValueError, OSError) as error:
        yield f"after going on: {type(error).__name__}: {error}"
