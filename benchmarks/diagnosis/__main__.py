"""Labelled runs: trained, their truth read from curves and images, their verdicts compared with it.

``python -m benchmarks.diagnosis --data-root DIR`` trains what is missing in ``outputs/diagnosis/`` (a stopped command
goes on with the next run).
"""

import argparse
from pathlib import Path

from rich.console import Console
from rich.progress import track

from benchmarks.diagnosis.runs import CALIBRATION, TEST
from benchmarks.diagnosis.train import keep_curves, missing, train
from benchmarks.report import ROOT


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-root", type=Path, required=True, help="with MNIST/raw, celeba and anime/faces in it")
    parser.add_argument("--only", choices=["calibration", "test"], help="default: both")
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time")
    parser.add_argument("--out", type=Path, default=ROOT / "outputs" / "diagnosis")
    given = parser.parse_args()
    parts = {"calibration": CALIBRATION, "test": TEST}
    runs = [run for name, part in parts.items() if given.only in (None, name) for run in part]
    left = len(missing(runs, given.out))
    trained = train(runs, given.data_root.absolute(), given.out, given.jobs)
    for run in track(trained, "training", total=left, console=Console(stderr=True)):
        keep_curves(run, given.out)
        print(run.name, flush=True)


if __name__ == "__main__":
    main()
