"""A run before and after a change: ``python -m benchmarks.before --commit c02f214 --pairs 2``.

Runs the same command on the files of a commit and on those of the working tree, alternately, from the command to the
prompt, and writes the times into docs/performance.md. The command is the default run's with everything spelt out that
its defaults have changed since.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.report import PERFORMANCE, ROOT, circumstances, replace_section

SAME = ("trainer.max_epochs=24", "model.lr=2e-4")


def seconds(tree: Path, cache: str) -> float:
    """Wall-clock time of the run with a tree's own package, from the command to the prompt."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "train.py", *SAME, f"hydra.run.dir={folder}/run", f"data.cache_dir={cache}"]
        began = time.monotonic()
        subprocess.run(command, cwd=tree, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return time.monotonic() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--commit", required=True, help="the tree to compare with")
    parser.add_argument("--pairs", type=int, default=2)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        old = Path(folder, "tree")
        subprocess.run(["git", "worktree", "add", "--detach", str(old), given.commit], cwd=ROOT, check=True)
        try:
            pairs = []
            for _ in range(given.pairs):
                pairs.append((seconds(old, f"{folder}/old"), seconds(ROOT, f"{folder}/new")))
                print(f"before {pairs[-1][0]:.0f} s, now {pairs[-1][1]:.0f} s", flush=True)
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", str(old)], cwd=ROOT, check=True)
    ratios = [now / before for before, now in pairs]
    each = "; ".join(f"{before:.0f} s and {now:.0f} s" for before, now in pairs)
    text = (
        f"{circumstances(f'python -m benchmarks.before --commit {given.commit} --pairs {given.pairs}')}\n\n"
        f"`python train.py {' '.join(SAME)}` (config, seed and iterations alike) before this work and now: {each}; "
        f"median ratio {statistics.median(ratios):.2f}."
    )
    replace_section(PERFORMANCE, "benchmarks.before", text)
    print(text)


if __name__ == "__main__":
    main()
