"""Whether bfloat16 costs FID: ``python -m benchmarks.precision --seeds 3 --data-root ../shared/data``.

Trains each case in float32 and in bfloat16 with every seed, everything else alike, and writes the table of FIDs into
docs/performance.md. A run that is there already, in --out, is not trained again.
"""

import argparse
import csv
import statistics
import subprocess
import sys
from pathlib import Path

from benchmarks.report import PERFORMANCE, ROOT, circumstances, replace_section

PRECISIONS = ("32-true", "bf16-mixed")
FACES = ["model.lr=2e-4", "data=celeba", "metrics=fid_random", "callbacks.fid.num_samples=10000"]
# What differs from `python train.py`: the tutorial's learning rate, and 10,000 samples an evaluation, so that the value
# has little noise of its own.
CASES = {
    "digits": ["trainer.max_epochs=24", "model.lr=2e-4", "callbacks.fid.num_samples=10000"],
    "faces32": [*FACES, "data.image_size=32", "trainer.max_steps=1500", "callbacks.fid.every=500"],
    "faces": [*FACES, "trainer.max_steps=300", "callbacks.fid.every=100"],
}


def train(case: str, precision: str, seed: int, data_root: str, out: Path) -> tuple[float, float]:
    """Train once; the lowest FID of the run, and the last one."""
    folder = out / f"{case}_{precision}_{seed}"
    if not (folder / "run.json").exists():
        place = [f"data.root={data_root}/celeba"] if case.startswith("faces") else []
        overrides = [f"trainer.precision={precision}", f"seed={seed}", f"hydra.run.dir={folder.absolute()}"]
        command = [sys.executable, "train.py", *CASES[case], *place, *overrides]
        subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with (folder / "fid.csv").open() as file:
        values = [float(row["value"]) for row in csv.DictReader(file)]
    return min(values), values[-1]


def table(results: dict[str, dict[str, list[tuple[float, float]]]]) -> str:
    lines = [
        "| case | precision | lowest FID of each seed | mean | last FID of each seed | mean |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for case, by_precision in results.items():
        for precision, runs in by_precision.items():
            lowest, last = zip(*runs, strict=True)
            cells = [case, precision, _each(lowest), _mean(lowest), _each(last), _mean(last)]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def verdict(results: dict[str, dict[str, list[tuple[float, float]]]]) -> str:
    """Whether bfloat16's mean lies within float32's spread over the seeds, or below it, for each case."""
    lines = []
    for case, by_precision in results.items():
        exact, half = (list(zip(*by_precision[precision], strict=True)) for precision in PRECISIONS)
        for which, of_exact, of_half in zip(("lowest", "last"), exact, half, strict=True):
            good = statistics.mean(of_half) <= max(of_exact)
            lines.append(
                f"- {case}: bfloat16's mean of the {which} FIDs, {statistics.mean(of_half):.4g}, is "
                f"{'not above' if good else 'above'} float32's spread, {min(of_exact):.4g} to {max(of_exact):.4g}."
            )
    return "\n".join(lines)


def _each(values: tuple[float, ...]) -> str:
    return " / ".join(f"{value:.4g}" for value in values)


def _mean(values: tuple[float, ...]) -> str:
    return f"{statistics.mean(values):.4g}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--data-root", required=True, help="the folder with celeba/ in it")
    parser.add_argument("--out", type=Path, default=ROOT / "outputs" / "precision", help="where the runs go")
    given = parser.parse_args()
    root = str(Path(given.data_root).resolve())
    results: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for case in CASES:
        runs: dict[str, list[tuple[float, float]]] = {precision: [] for precision in PRECISIONS}
        for seed in range(given.seeds):
            for precision in PRECISIONS:
                runs[precision].append(train(case, precision, seed, root, given.out))
                print(case, precision, seed, runs[precision][-1], flush=True)
        results[case] = runs
    command = f"python -m benchmarks.precision --seeds {given.seeds} --data-root {given.data_root}"
    text = f"{circumstances(command)}\n\n{table(results)}\n\n{verdict(results)}"
    replace_section(PERFORMANCE, "benchmarks.precision", text)
    print(text)


if __name__ == "__main__":
    main()
