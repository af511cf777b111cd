"""SIGTERM, SIGINT and SIGUSR1 to a process, to a rank, to all: while it trains, measures an FID, decodes, draws.

And kill -9 of one of several processes, after which none of the others may stay.
"""

import csv
import functools
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from benchmarks.reliability.kinds import ROOT
from benchmarks.reliability.runs import PATIENCE, Run, flaws, iterations_in
from benchmarks.reliability.trial import Result, Trial
from dcgan_lightning.errors import Refusal
from dcgan_lightning.weights import read

LIMIT = 10.0  # seconds from a signal to the end of the run
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
TARGETS = {"process": 1, "group": 1, "rank_0": 2, "rank_1": 2, "both_ranks": 2}  # processes that train
WORKERS = (0, 2)
LENGTH = 240  # iterations
SMALL = ("data.batch_size=64", "model.generator.width=4", "model.discriminator.width=4")
FIGURES = "callbacks.figures={_target_:dcgan_lightning.callbacks.figures.Figures}"


def trials() -> list[Trial]:
    """All signals, targets and numbers of loader workers while a run trains; some of them elsewhere."""
    listed = [
        (f"{signum.name}_{target}_{workers}_workers", functools.partial(_train, signum, target, workers))
        for signum in SIGNALS
        for target in TARGETS
        for workers in WORKERS
    ]
    for signum, target in zip(SIGNALS, ("process", "both_ranks", "rank_1"), strict=True):
        listed.append((f"{signum.name}_{target}_in_fid", functools.partial(_fid, signum, target)))
    for signum, target in zip(SIGNALS, ("group", "group", "process"), strict=True):
        listed.append((f"{signum.name}_{target}_in_decoding", functools.partial(_decoding, signum, target)))
        listed.append((f"{signum.name}_{target}_in_figures", functools.partial(_figures, signum, target)))
    for target in ("process", "rank_0", "rank_1"):
        listed.append((f"SIGKILL_{target}", functools.partial(_kill, target)))
    return [Trial(name, run) for name, run in listed]


def _train(signum: signal.Signals, target: str, workers: int, folder: Path) -> Result:
    options = [f"trainer.max_steps={LENGTH}", f"data.num_workers={workers}", "callbacks.fid.every=60"]
    with Run(folder / "run", folder, *SMALL, *options, _devices(target)) as run:
        if problem := wait_for(run, lambda: rows_of(run) >= 3):
            return Result(0, problem)
        time.sleep(random.Random(f"stop {signum} {target} {workers}").uniform(0, 0.5))
        loss = [*stop(run, signum, target), *left(run, signum, finished=rows_of(run) == LENGTH)]
    if loss or rows_of(run) == LENGTH:
        return Result(int(rows_of(run) < LENGTH), "; ".join(loss))
    with Run(folder / "resumed", folder, *SMALL, *options, _devices(target), f"ckpt_path={run.folder}") as going_on:
        if going_on.wait() != 0:
            return Result(1, f"going on ended with {going_on.process.returncode}: {going_on.words}")
    return Result(1, "; ".join(_differences(going_on.folder, _uninterrupted(TARGETS[target]))))


def _fid(signum: signal.Signals, target: str, folder: Path) -> Result:
    """A slow FID after iteration 9, in the middle of which the signal comes."""
    options = ["callbacks.fid.every=10", "callbacks.fid.num_samples=200000", "trainer.max_steps=1000"]
    with Run(folder / "run", folder, *SMALL, *options, _devices(target)) as run:
        if problem := wait_for(run, lambda: rows_of(run) >= 10):
            return Result(0, problem)
        time.sleep(1.0)
        if (run.folder / "fid.csv").exists():
            return Result(0, "the FID was too fast for the signal")
        loss = [*stop(run, signum, target), *left(run, signum)]
    if not loss and iterations_in(run.last) != 10:
        loss.append(f"the FID was not given up: the checkpoint has {iterations_in(run.last)} iterations")
    if (run.folder / "fid.csv").exists():
        loss.append("fid.csv has a row of an FID that was given up")
    return Result(1, "; ".join(loss))


def _decoding(signum: signal.Signals, target: str, folder: Path) -> Result:
    (folder / "images").mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (1200, 1200, 3), dtype=np.uint8)
    Image.fromarray(noise).save(folder / "images" / "0.jpg")
    for number in range(1, 1000):
        os.link(folder / "images" / "0.jpg", folder / "images" / f"{number}.jpg")
    data = ["data=image_folder", "data.digit=null", f"data.root={folder / 'images'}", "metrics=none"]
    options = [*SMALL, *data, "data.image_size=32", "callbacks.fid.num_samples=64", "trainer.max_steps=2"]
    with Run(folder / "run", folder, *options) as run:
        if problem := wait_for(run, lambda: any(folder.glob("cache/**/*.part"))):
            return Result(0, problem)
        time.sleep(0.5)
        loss = stop(run, signum, target)
    if "Traceback" in run.said:
        loss.append(f"it says more than a message: {run.words}")
    if not any(folder.glob("cache/**/*.part")):
        return Result(0, "the images were decoded before the signal")
    with Run(folder / "again", folder, *options) as again:
        if again.wait() != 0:
            loss.append(f"the next run ended with {again.process.returncode}: {again.words}")
    return Result(1, "; ".join(loss))


def _figures(signum: signal.Signals, target: str, folder: Path) -> Result:
    options = ["trainer.max_steps=30", "callbacks.grid.every=1", "callbacks.fid.every=30", FIGURES]
    with Run(folder / "run", folder, *SMALL, *options) as run:
        if problem := wait_for(run, lambda: run.last.is_file() and any(run.folder.glob("generator.*"))):
            return Result(0, problem)
        loss = stop(run, signum, target)
        if run.process.returncode == 0:
            return Result(0)  # it had ended before
        loss += left(run, signum, finished=True)
    rebuild = [sys.executable, str(ROOT / "rebuild.py"), f"run={run.folder}"]
    done = subprocess.run(rebuild, cwd=folder, capture_output=True, text=True, check=False)
    made = {path.name for path in run.folder.iterdir()}
    missing = {"losses.png", "progress.gif", "real_vs_fake.png", "generator.safetensors"} - made
    if done.returncode or missing:
        loss.append(f"rebuild.py ended with {done.returncode}, and without {sorted(missing)}: {done.stderr[-300:]}")
    return Result(1, "; ".join(loss))


def _kill(target: str, folder: Path) -> Result:
    options = ["trainer.max_steps=100000", "data.num_workers=2"]
    with Run(folder / "run", folder, *SMALL, *options, _devices(target)) as run:
        if problem := wait_for(run, lambda: rows_of(run) >= 3):
            return Result(0, problem)
        os.kill(_rank_1(run) if target == "rank_1" else run.process.pid, signal.SIGKILL)
        loss = [] if run.ended(LIMIT) else [f"rank 0 still ran after {LIMIT:.0f} s"]
        if run.process.returncode == 0:
            loss.append("it exits with 0")
        if there := _others(run, within=LIMIT):
            loss.append(f"{len(there)} processes of it still run after {LIMIT:.0f} s")
    return Result(1, "; ".join(loss))


def _devices(target: str) -> str:
    return f"trainer.devices={TARGETS[target]}"


def wait_for(run: Run, moment: Callable[[], bool]) -> str:
    """Wait until the moment has come; why it will not, if that is so."""
    until = time.monotonic() + PATIENCE
    while not moment():
        if run.process.poll() is not None or time.monotonic() > until:
            return f"the run ended with {run.process.returncode} before the signal, or took too long: {run.words}"
        time.sleep(0.005)
    return ""


def stop(run: Run, signum: signal.Signals, target: str) -> list[str]:
    """Send the signal; what went wrong with the end of the run."""
    began = time.monotonic()
    if target in ("group", "both_ranks"):
        os.killpg(run.process.pid, signum)
    else:
        os.kill(_rank_1(run) if target == "rank_1" else run.process.pid, signum)
    if not run.ended(3 * LIMIT):
        return [f"it still ran {3 * LIMIT:.0f} s after the signal"]
    problems, seconds = [], time.monotonic() - began
    if seconds > LIMIT:
        problems.append(f"it took {seconds:.1f} s to end")
    if run.process.returncode != 128 + signum:
        problems.append(f"it exits with {run.process.returncode}: {run.words}")
    if there := _others(run, within=0.5):
        problems.append(f"{len(there)} processes of it still run")
    if "rank 1 " in run.said:  # what it says of a rank that ended otherwise
        problems.append(f"another rank ended otherwise: {run.words}")
    return problems


def left(run: Run, signum: signal.Signals, finished: bool = False) -> Iterator[str]:
    """What is wrong with what a stopped run left; one that had finished training cannot be gone on with."""
    record = json.loads((run.folder / "run.json").read_text())
    if record["status"] != "stopped" or record["error"] != f"{signum.name} after {record['iterations']} iterations":
        yield f"run.json says {record['status']}: {record['error']}"
    yield from flaws(run.folder, record["iterations"])
    for words in ("ckpt_path=", "rebuild.py", "last.ckpt"):
        if words not in run.said and not (finished and words == "ckpt_path="):
            yield f"it does not say {words}"


def rows_of(run: Run) -> int:
    with suppress(OSError):
        return (run.folder / "metrics.csv").read_text().count("\n") - 1
    return 0


def _rank_1(run: Run) -> int:
    """The process that rank 0 started as another rank."""
    for process in _others(run):
        with suppress(OSError):
            environment = Path(f"/proc/{process}/environ").read_bytes().split(b"\0")
            if b"LOCAL_RANK=1" in environment and _status(process)[1] == run.process.pid:
                return process
    raise ProcessLookupError("there is no other rank")


def _others(run: Run, within: float = 0.0) -> list[int]:
    """The processes of the run's session besides the first, as they are after so many seconds; none: as soon as so."""
    until = time.monotonic() + within
    while True:
        there = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
        found = [process for process in there if process != run.process.pid and _is_of(run, process)]
        if not found or time.monotonic() >= until:
            return found
        time.sleep(0.05)


def _is_of(run: Run, process: int) -> bool:
    with suppress(OSError):
        state, _, session = _status(process)
        return session == run.process.pid and state != "Z"
    return False


def _status(process: int) -> tuple[str, int, int]:
    """State, parent and session of a process (Linux, proc(5)); OSError where it is gone."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return fields[0], int(fields[1]), int(fields[3])


@functools.cache
def _place() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory()  # goes with the process


@functools.cache
def _uninterrupted(devices: int) -> Path:
    """The folder of a run that nothing stopped."""
    folder = Path(_place().name) / str(devices)
    folder.mkdir()
    options = [f"trainer.max_steps={LENGTH}", f"trainer.devices={devices}", "callbacks.fid.every=60"]
    with Run(folder / "run", folder, *SMALL, *options) as run:
        if run.wait() != 0:
            raise RuntimeError(f"the run that nothing stops ended with {run.process.returncode}: {run.words}")
    return run.folder


def _differences(resumed: Path, uninterrupted: Path) -> Iterator[str]:
    """How the end of a run that was stopped differs from that of one that was not, in any bit."""
    for name in ("metrics.csv", "fid.csv"):
        ours, whole = (list(csv.reader((run / name).open(newline=""))) for run in (resumed, uninterrupted))
        if ours != whole:
            line = next((at for at, (one, other) in enumerate(zip(ours, whole, strict=False)) if one != other), None)
            yield f"{name} differs: {len(ours)} and {len(whole)} rows, first in row {line}"
    try:
        ours, whole = (
            read("ckpt_path", run / "checkpoints" / "last.ckpt")["state_dict"] for run in (resumed, uninterrupted)
        )
    except Refusal as refusal:
        yield str(refusal)
        return
    if other := [name for name in whole if not torch.equal(ours[name], whole[name])]:
        yield f"{len(other)} of {len(whole)} tensors differ, {other[0]} among them"
