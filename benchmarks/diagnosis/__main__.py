"""Labelled runs: trained, their truth read from curves and images, their verdicts compared with it.

``python -m benchmarks.diagnosis --data-root DIR`` trains what is missing in ``outputs/diagnosis/`` (a stopped command
goes on with the next run), keeps their curves in ``benchmarks/diagnosis/curves/``, and writes the tables of
docs/diagnosis.md. With ``--tables`` it writes them from the curves that are there.
"""

import argparse
from pathlib import Path

from rich.console import Console
from rich.progress import track

from benchmarks.diagnosis.page import write_page
from benchmarks.diagnosis.runs import PARTS
from benchmarks.diagnosis.train import CURVES, ENDING, ended, keep, missing, train
from benchmarks.report import ROOT


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-root", type=Path, help="with MNIST/raw, celeba and anime/faces in it")
    parser.add_argument("--only", choices=list(PARTS), help="default: all")
    parser.add_argument("--tables", action="store_true", help="train nothing")
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time")
    parser.add_argument("--out", type=Path, default=ROOT / "outputs" / "diagnosis")
    given = parser.parse_args()
    if not given.tables and given.data_root is None:
        parser.error("--data-root says where the images are, unless --tables is given")
    runs = [run for name, part in PARTS.items() if given.only in (None, name) for run in part]
    if not given.tables:
        left = len(missing(runs, given.out))
        trained = train(runs, given.data_root.absolute(), given.out, given.jobs)
        for run in track(trained, "training", total=left, console=Console(stderr=True)):
            print(run.name, flush=True)
        for run in runs:
            if ended(given.out / run.name) and not (CURVES / run.name / ENDING).is_file():
                keep(run, given.out)
    write_page("python -m benchmarks.diagnosis --data-root DIR")


if __name__ == "__main__":
    main()
