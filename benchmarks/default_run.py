"""The default run against the tutorial's loop in the same time on the same machine.

``python -m benchmarks.default_run --seeds 3`` runs, for each seed in turn, ``python train.py`` and then
``python -m benchmarks.tutorial_digits`` for as many seconds, from the command to the prompt. Both generators are judged
alike, by 10,000 samples against the 10,000 shipped digits at 32x32, and the table goes to docs/default_run.md.
"""

import argparse
import datetime
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
import torchvision
from omegaconf import OmegaConf
from torchmetrics.image.fid import FrechetInceptionDistance

from benchmarks.report import ROOT, hardware
from dcgan_lightning import checkpoints
from dcgan_lightning.data.mnist import SHIPPED, MNISTDataModule
from dcgan_lightning.generation import latents
from dcgan_lightning.metrics.digits import DigitFeatures
from dcgan_lightning.networks import Network
from dcgan_lightning.sampling import sample_images
from dcgan_lightning.weights import network_of_weights

SAMPLES = 10_000
Row = dict[str, Any]


def seconds(*command: str) -> float:
    """Wall-clock time of a command, from its start to its end."""
    began = time.monotonic()
    subprocess.run([sys.executable, *command], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - began


def digits(image_size: int = 32) -> torch.Tensor:
    """The shipped digits as the default run sees them, (10000, 1, 32, 32) uint8."""
    data = MNISTDataModule("mnist_mini", None, image_size, 1, 128, "shuffle", False, 0, None, 0, None)
    data.setup()
    return data.images


def judge(generator: Network, network: DigitFeatures) -> Row:
    """FID of 10,000 samples; of the first 1,000 the rarest digit's share and the mean top probability."""
    metric = FrechetInceptionDistance(network)
    for batch in digits().split(500):
        metric.update(batch, real=True)
    samples = torch.cat([sample_images(generator, z) for z in latents(0, SAMPLES, generator.latent_dim, 500)])
    for batch in samples.split(500):
        metric.update(batch, real=False)
    probabilities = network.probabilities(samples[:1000])
    shares = probabilities.argmax(1).bincount(minlength=10) / 1000
    return {
        "fid": float(metric.compute()),
        "rarest": float(shares.min()),
        "top": float(probabilities.max(1).values.mean()),
    }


def one_seed(seed: int, network: DigitFeatures) -> tuple[Row, Row]:
    """Train and judge the kit's default run, then the tutorial's loop for the same time."""
    with tempfile.TemporaryDirectory() as folder:
        ours, theirs = f"{folder}/run", f"{folder}/generator.pth"
        wall = seconds("train.py", f"seed={seed}", f"hydra.run.dir={ours}", f"data.cache_dir={folder}/cache")
        kit = judge(checkpoints.load_generator(checkpoints.find(ours, "best.ckpt", "last.ckpt")), network)
        kit |= {"seconds": wall, **settings(Path(ours))}
        spent = seconds(
            *("-m", "benchmarks.tutorial_digits", "--seed", str(seed), "--seconds", str(wall), "--out", theirs)
        )
        record = torch.load(theirs, weights_only=True)
        tutorial = judge(network_of_weights("Generator", "weights", theirs, "dcgan"), network)
        done = {"iterations": int(record["main.1.num_batches_tracked"]), "precision": "32-true", "lr": 2e-4}
        return kit, tutorial | {"seconds": spent, **done}


def settings(folder: Path) -> Row:
    """Length, precision and learning rate of the kit's run."""
    record = json.loads((folder / "run.json").read_text())
    lr = OmegaConf.load(folder / ".hydra" / "config.yaml").model.lr
    return {"iterations": record["iterations"], "precision": record["precision"], "lr": lr}


def table(results: list[tuple[Row, Row]]) -> str:
    lines = [
        "| seed | loop | precision | lr | seconds | iterations | FID | rarest digit | mean top probability |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for seed, pair in enumerate(results):
        for name, row in zip(("`python train.py`", "tutorial's loop"), pair, strict=True):
            settings = f"{row['precision']} | {row['lr']:g} | {row['seconds']:.0f} | {row['iterations']:.0f}"
            judged = f"{row['fid']:.1f} | {row['rarest']:.1%} | {row['top']:.3f}"
            lines.append(f"| {seed} | {name} | {settings} | {judged} |")
    ratio = statistics.median(kit["fid"] / tutorial["fid"] for kit, tutorial in results)
    return "\n".join([*lines, "", f"Median ratio of the FIDs, kit to tutorial's loop: {ratio:.2f}."])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    given = parser.parse_args()
    network, results = DigitFeatures(), []
    for seed in range(given.seeds):
        results.append(one_seed(seed, network))
        print(table(results), flush=True)
    versions = f"Python {platform.python_version()}, torch {torch.__version__}, torchvision {torchvision.__version__}"
    text = (
        "# The default run and the tutorial's loop in the same time\n\n"
        f"`python -m benchmarks.default_run --seeds {given.seeds}`, {hardware()}, {versions}, "
        f"{datetime.date.today()}.\n\n"
        "Both train the DCGAN of widths 32 on the shipped digits at 32x32 in batches of 128 with the tutorial's\n"
        "objective, from the command to the prompt: the kit at its defaults, the tutorial's loop as it was written.\n"
        f"FID (`fid/digits`) of {SAMPLES:,} samples against the 10,000 digits of {SHIPPED.name}; the rarest digit's\n"
        "share and the mean top probability are of 1,000 samples, by the shipped classifier. The kit's generator is\n"
        "that of best.ckpt, which generate.py takes; the tutorial's loop keeps only its last.\n\n"
    )
    (ROOT / "docs" / "default_run.md").write_text(text + table(results) + "\n")


if __name__ == "__main__":
    main()
