"""From the command to the first iteration, and the memory of a run: ``python -m benchmarks.start_up``.

Times are those of whole commands, on the clock of the wall, against ``import torch, lightning.pytorch``, in turn. The
large set has the names of as many files as CelebA has, all empty, and a cache made of a hole in a file: neither the
start nor the memory depends on what images show.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback

ROOT = Path(__file__).parent.parent
IMPORTS = "import json, time, torch, lightning.pytorch; print(json.dumps({'began': time.time()}))"
CELEBA = 202_599  # files
ITERATIONS = 3  # that a run makes before it is left
RUN = ("hydra.run.dir=FOLDER", "data.cache_dir=CACHE", "+callbacks.first._target_=benchmarks.start_up.First")


class First(Callback):
    """Says when the first iteration began and ended, and the memory some iterations later, and leaves."""

    def __init__(self) -> None:
        self.said: dict[str, float] = {}

    def on_train_batch_start(self, *args: Any) -> None:
        self.said.setdefault("began", time.time())

    def on_train_batch_end(self, trainer: Any, *args: Any) -> None:
        self.said.setdefault("ended", time.time())
        if trainer.global_step == ITERATIONS:
            print(json.dumps(self.said | {"anonymous": anonymous_memory()}), flush=True)
            os._exit(0)


def anonymous_memory() -> float:
    """MiB of this process that no file backs; nan where the system does not tell."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.is_file() else []
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("RssAnon")), float("nan"))


def measured(command: list[str], scratch: Path) -> dict[str, float]:
    """Run a command; seconds from its start to when its first iteration began and ended, and MiB."""
    folder = tempfile.mkdtemp(dir=scratch)
    words = [word.replace("FOLDER", folder).replace("CACHE", str(scratch / "cache")) for word in command]
    began = time.time()
    done = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)} failed:\n{done.stdout}{done.stderr}")
    said = json.loads(done.stdout.strip().splitlines()[-1])
    return {name: value - began if name in ("began", "ended") else value for name, value in said.items()}


def large_set(scratch: Path) -> Path:
    """A folder of empty files, and in the cache what decoding them is said to have made."""
    import numpy as np

    from benchmarks.data_rates import data_module
    from dcgan_lightning.data.sources import Folder
    from dcgan_lightning.data.unfinished import Report

    folder = scratch / "large"
    folder.mkdir()
    for number in range(1, CELEBA + 1):
        os.mknod(folder / f"{number:06d}.jpg")
    entries = Folder(folder).entries()
    data = data_module("image_folder", f"data.root={folder}", f"data.cache_dir={scratch / 'cache'}")
    key = data.fingerprint_of(str(folder.resolve()), entries)
    images = scratch / "cache" / "images"
    images.mkdir(parents=True, exist_ok=True)
    shape = (CELEBA, *data.recipe.shape)
    np.lib.format.open_memmap(images / f"{key}.npy", "w+", np.uint8, shape).flush()
    report = Report([entry.name for entry in entries], sizes=[(178, 218)] * CELEBA)
    (images / f"{key}.json").write_text(json.dumps(asdict(report)))
    return folder


def main() -> None:
    from benchmarks.data_rates import faces
    from benchmarks.report import PERFORMANCE, circumstances, replace_section

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=5, help="of each command")
    parser.add_argument("--data-dir", default=os.environ.get("DCGAN_DATA_DIR"), help="with celeba in it")
    parser.add_argument("--print", action="store_true", help="leave docs/performance.md alone")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        small, large = faces(options.data_dir, scratch), large_set(scratch)
        of_faces = ["train.py", *RUN, "model=dcgan", "data=image_folder"]
        commands = {
            "`import torch, lightning.pytorch`": ["-c", IMPORTS],
            "`python train.py`": ["train.py", *RUN],
            "`python train.py model=dcgan data=image_folder metrics=fid_random`": [
                *of_faces,
                f"data.root={small}",
                "metrics=fid_random",
            ],
            f"the same, {CELEBA:,} files, `metrics=none`": [*of_faces, f"data.root={large}", "metrics=none"],
        }
        for command in commands.values():  # fills the cache, and the system's of files
            measured(command, scratch)
        times: dict[str, list[dict[str, float]]] = {name: [] for name in commands}
        for _ in range(options.repetitions):
            for name, command in commands.items():
                times[name].append(measured(command, scratch))
                print(name, {what: round(value, 2) for what, value in times[name][-1].items()}, flush=True)
    text = table(times, circumstances("python -m benchmarks.start_up"))
    print(text)
    if not options.print:
        replace_section(PERFORMANCE, "start-up", text)


def table(times: dict[str, list[dict[str, float]]], circumstances: str) -> str:
    """Medians; differences are those of one turn, to the first of the commands."""
    imports = next(iter(times.values()))
    rows = []
    for name, said in times.items():
        began = statistics.median(turn["began"] for turn in said)
        cells = [f"{began:.2f} s"]
        for what in ("began", "ended"):
            extra = [turn[what] - base["began"] for turn, base in zip(said, imports, strict=True) if what in turn]
            cells.append(f"{statistics.median(extra):+.2f} s ({min(extra):+.2f} to {max(extra):+.2f})" if extra else "")
        memory = [turn["anonymous"] for turn in said if "anonymous" in turn]
        cells.append(f"{max(memory):,.0f} MiB" if memory else "")
        rows.append("| " + " | ".join([name, *cells]) + " |")
    columns = [
        "command, with a warm cache",
        "to the first iteration's start",
        "over the imports alone",
        "to its end, over them",
        f"anonymous memory after {ITERATIONS} iterations",
    ]
    head = f"| {' | '.join(columns)} |\n|{' --- |' * len(columns)}"
    return "\n".join([circumstances, "", head, *rows])


if __name__ == "__main__":
    main()
