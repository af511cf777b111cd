"""Training the labelled runs, and keeping their curves."""

import csv
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.diagnosis.runs import Labelled
from benchmarks.diagnosis.truth import ending
from benchmarks.report import ROOT
from dcgan_lightning.whole_files import written_whole

CURVES = Path(__file__).parent / "curves"
TABLES = ("metrics.csv", "samples.csv")
ENDING = "ending.json"
DIGITS = 5  # significant ones that are kept: no threshold is finer


def missing(runs: Sequence[Labelled], out: Path) -> list[Labelled]:
    """Those that have not come to their end, well or not."""
    return [run for run in runs if not ended(out / run.name)]


def ended(folder: Path) -> bool:
    try:
        return json.loads((folder / "run.json").read_text())["status"] in ("finished", "failed")
    except (OSError, ValueError, KeyError):
        return False


def train(runs: Sequence[Labelled], data_root: Path, out: Path, jobs: int) -> Iterator[Labelled]:
    """Train what is missing, so many at a time with a share of the cores each, and yield each as it ends.

    One that is refused, or does not come to an end, is said, and stays missing.
    """
    threads = str(max(1, (os.cpu_count() or 1) // jobs))

    def one(run: Labelled) -> Labelled:
        folder = out / run.name
        shutil.rmtree(folder, ignore_errors=True)  # what a stopped command left
        command = [sys.executable, "train.py", *run.command(data_root, folder)]
        environment = os.environ | {"OMP_NUM_THREADS": threads}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        if not ended(folder):
            print(f"{run.name} did not come to an end:\n{done.stderr[-2000:]}", file=sys.stderr, flush=True)
        return run

    with ThreadPoolExecutor(jobs) as pool:
        yield from pool.map(one, missing(runs, out))


def keep(run: Labelled, out: Path) -> None:
    """Copy a run's tables to where they are committed, with fewer digits, and note what it came to."""
    (CURVES / run.name).mkdir(parents=True, exist_ok=True)
    came_to = {name: value for name, value in ending(out / run.name, run.bce)._asdict().items() if value == value}
    with written_whole(CURVES / run.name / ENDING) as path:
        path.write_text(json.dumps(came_to, indent=1) + "\n")
    for name in filter(lambda name: (out / run.name / name).is_file(), TABLES):  # some diverge before the first samples
        with (out / run.name / name).open(newline="") as file:
            header, *rows = csv.reader(file)
        with written_whole(CURVES / run.name / name) as path, path.open("w", newline="") as file:
            csv.writer(file).writerows([header, *([_shorter(cell) for cell in row] for row in rows)])


def _shorter(cell: str) -> str:
    try:
        return cell if cell.isdigit() else f"{float(cell):.{DIGITS}g}"
    except ValueError:
        return cell
