"""The disk full from a random moment on: for good, or until there is room again before the run ends.

Where the machine lets one mount it, the run writes to a small disk in memory, whose size is lowered to what is used and
a random number of bytes, and raised again. Every fourth trial, and elsewhere all, lowers the limit on the size of files
instead, at which the system fails a write in the same manner, after a random byte.
"""

import functools
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from benchmarks.reliability.kinds import ROOT
from benchmarks.reliability.runs import PATIENCE, Run, Watch, flaws, flaws_of_going_on, iterations_in, newest
from benchmarks.reliability.trial import Result, Trial
from dcgan_lightning.errors import Refusal

LENGTH = 40  # iterations
ROOMY = 2**30  # bytes of the disk in memory while nothing is wrong
GO_ON_EVERY = 2  # trials
WORDS = 2**16  # bytes that the file may have that keeps what a run says, where the limit is on every file
MOUNT = 'mount -t tmpfs -o size="$1" none "$2" && shift 2 && exec "$@"'


class Disk(Protocol):
    """A place that can be made full."""

    def fill(self, run: Run, left: int) -> None:
        """Leave so many bytes."""

    def free(self, run: Run) -> None:
        """Have room again."""


class InMemory:
    """A tmpfs that this process may mount anew with another size."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def fill(self, run: Run, left: int) -> None:
        while (there := shutil.disk_usage(self.folder)).free > left + 2**12:  # a page
            self._resize(there.used + left)  # fails where more was written meanwhile

    def free(self, run: Run) -> None:
        self._resize(ROOMY)

    def _resize(self, size: int) -> None:
        command = ["mount", "-o", f"remount,size={size}", str(self.folder)]
        subprocess.run(command, capture_output=True, check=False)


class ByLimit:
    """No file may become larger than what is left."""

    def fill(self, run: Run, left: int) -> None:
        if run.process.poll() is None:
            limit = max(left, WORDS), resource.RLIM_INFINITY
            resource.prlimit(run.process.pid, resource.RLIMIT_FSIZE, limit)

    def free(self, run: Run) -> None:
        if run.process.poll() is None:
            both = resource.RLIM_INFINITY, resource.RLIM_INFINITY
            resource.prlimit(run.process.pid, resource.RLIMIT_FSIZE, both)


def trials(seed: int, count: int) -> list[Trial]:
    """As many; after every other the run goes on once there is room."""
    return [
        Trial(f"full_disk_{number:02d}", functools.partial(_full_disk, seed=seed, number=number))
        for number in range(count)
    ]


def _full_disk(folder: Path, seed: int, number: int) -> Result:
    """The trial in a process of its own, which may mount."""
    disk = folder / "disk"
    disk.mkdir()
    flags = next((flags for flags in ("-Urm", "-m") if number % 4 != 3 and _may_mount(flags, disk)), None)
    mounted = ["unshare", flags, "sh", "-c", MOUNT, "sh", str(ROOMY), str(disk)] if flags else []
    command = [*mounted, sys.executable, "-m", __name__, str(folder), str(seed), str(number), str(bool(flags))]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    lines = done.stdout.splitlines()
    if done.returncode or not lines:
        return Result(0, f"the trial's own process ended with {done.returncode}")
    return Result(**json.loads(lines[-1]))


def _may_mount(flags: str, disk: Path) -> bool:
    command = ["unshare", flags, "sh", "-c", MOUNT, "sh", "1m", str(disk), "true"]
    return shutil.which("unshare") is not None and subprocess.run(command, capture_output=True).returncode == 0


def _tried(folder: Path, seed: int, number: int, disk: Disk) -> Result:
    drawn = random.Random(f"full disk {seed} {number}")
    every, fid = drawn.choice([1, 2]), drawn.choice([3, 5])
    intervals = [f"callbacks.checkpoints.every={every}", f"callbacks.fid.every={fid}", f"trainer.max_steps={LENGTH}"]
    with Run(folder / "disk" / "run", folder, *intervals) as run:
        if problem := run.wait_for_checkpoint():
            return Result(0, problem)
        watch = Watch(run.last)
        _reach(run, watch, drawn.randint(1, 6), halfway=drawn.random() < 0.7)
        time.sleep(drawn.uniform(0, 0.03))
        least, size = watch.iteration(), watch.kept.stat().st_size
        watch.kept.unlink()  # it takes room
        left = int(drawn.uniform(0, drawn.choice([2**14, size])))  # not even a row of a table, or part of a checkpoint
        for_good, moment = drawn.random() < 0.6, drawn.uniform(0.3, 1.5)
        if run.process.poll() is not None:
            return Result(0, f"the run had ended before the disk was full: {run.words}")
        _keep_full(run, disk, left, PATIENCE if for_good else moment)
        disk.free(run)
        code = run.wait()
    problems = [*_flaws(run, code, least)]
    if number % GO_ON_EVERY == 0 and not problems:
        problems += flaws_of_going_on(run.folder, folder, more=4)
    how = f"{type(disk).__name__}, {left} of {size} bytes left {'for good' if for_good else 'for a while'}"
    print(f"{how}: code {code}, {least} saved before, {newest(run.folder)} after", file=sys.stderr)
    return Result(int("was not saved" in run.said), f"{how}: {'; '.join(problems)}" if problems else "")


def _keep_full(run: Run, disk: Disk, left: int, seconds: float) -> None:
    """Have no more than so many bytes left, also after some were freed, while the run runs or for so long."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        disk.fill(run, left)
        if run.ended(within=0.02):
            break


def _reach(run: Run, watch: Watch, saves: int, halfway: bool) -> None:
    """Wait until so many saves were seen, and, if asked, until one more is under way."""
    watch.look()
    while run.process.poll() is None and watch.saves < saves:
        time.sleep(0.001)
        watch.look()
    while halfway and run.process.poll() is None and not run.saving():
        time.sleep(0.0005)


def _flaws(run: Run, code: int | None, least: int) -> Iterator[str]:
    """What is wrong with how a run took it: its exit code, its words, what it left."""
    yield from flaws(run.folder, least)
    if left := [str(file.relative_to(run.folder)) for file in run.folder.rglob(".unfinished_*")]:
        yield f"left behind: {', '.join(left)}"
    if "Traceback" in run.said:
        yield f"a traceback: {run.words}"
    try:
        complete = iterations_in(run.last) == LENGTH
    except Refusal as refusal:
        yield f"last.ckpt cannot be read: {refusal}"
        return
    if code != (0 if complete else 1):
        yield f"ended with {code}, the last save {'done' if complete else 'not done'}: {run.words}"
    if not complete and "was not saved" not in run.said:
        yield f"did not say that the disk is full: {run.words}"


def main() -> None:
    folder, seed, number, mounted = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4] == "True"
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    result = _tried(folder, seed, number, InMemory(folder / "disk") if mounted else ByLimit())
    print(json.dumps({"faults": result.faults, "loss": result.loss}), file=answers)


if __name__ == "__main__":
    main()
