"""The guide's four experiments, and one of them with BatchNorm, at full length: published and obtained last values.

``python -m benchmarks.guide --data-root DIR --seeds 3`` trains what is missing in ``outputs/guide/``, a run folder for
each experiment and seed (a stopped command goes on with the next run), and writes docs/guide.md and its figure. With
``--precision bf16-mixed`` it writes a section of that page instead.
"""

import argparse
import datetime
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from omegaconf import OmegaConf

from benchmarks.report import ROOT, circumstances, hardware, replace_section
from dcgan_lightning import checkpoints
from dcgan_lightning.curves import Curves, is_stacked, read_curves
from dcgan_lightning.generation import latents
from dcgan_lightning.sampling import sample_images
from dcgan_lightning.selection import mean_pairwise_distance

# What the guide prints or says, as (D on real, D on fake, G, accuracy on real and on fake).
RUNS = {
    "guide_stable": ([], "0.5 to 0.8", "0.5 to 0.8", "0.5 to 2.0", '"70 to 80%"; its last lines 39 to 89%'),
    "guide_mode_collapse": ([], "oscillating", "oscillating", "oscillating", "-"),
    "guide_stacked_batches": ([], "to 0", "to 0", "to 0", "100%"),
    "guide_stacked_batches_bn": (["model.batch_norm=true"], "to 0", "to 0", "to 0 (0.001)", "100%"),
    "guide_aggressive_adam": ([], "to 0", "to 0", "about 10.4 and rising", "-"),
}
ONE_SEED = {"guide_stacked_batches_bn"}  # both losses vanish within a hundred iterations
LAST = 50  # iterations that a median is of
SAMPLES = 200


def train(name: str, seed: int, data_root: str, precision: str, out: Path) -> Path:
    """The run folder of an experiment with a seed, which is trained where it is not there yet."""
    folder = out / f"{name}_s{seed}"
    record = folder / "run.json"
    if not record.is_file() or json.loads(record.read_text())["status"] != "finished":
        command = ["train.py", f"experiment={name.removesuffix('_bn')}", f"seed={seed}", f"data.root={data_root}"]
        command.append(f"trainer.precision={precision}")
        shutil.rmtree(folder, ignore_errors=True)  # what a stopped run left
        subprocess.run([sys.executable, *command, *RUNS[name][0], f"hydra.run.dir={folder}"], cwd=ROOT, check=True)
    return folder


def judge(folder: Path) -> dict[str, float]:
    """Medians of the last iterations, the diversity of samples next to that of real images, and the time."""
    curves = read_curves(folder)
    columns = ("loss_d", "loss_d_real", "loss_d_fake", "loss_g", "acc_real", "acc_fake")
    values = {name: float(np.nanmedian(curves[name][-LAST:])) for name in columns}
    generator = checkpoints.load_generator(folder / "checkpoints" / "last.ckpt")
    (z,) = latents(0, SAMPLES, generator.latent_dim, SAMPLES)
    samples = sample_images(generator, z)
    values["distance"] = mean_pairwise_distance(samples, torch.arange(SAMPLES))
    return values | {"seconds": json.loads((folder / "run.json").read_text())["seconds"]}


def real_distance(folder: Path) -> float:
    """Mean pairwise distance of as many real images of the run's data set."""
    from hydra.utils import instantiate

    data = instantiate(OmegaConf.load(folder / ".hydra" / "config.yaml").data)
    data.setup()
    return mean_pairwise_distance(data.real_images(SAMPLES), torch.arange(SAMPLES))


def table(results: dict[str, list[dict[str, float]]]) -> Iterator[str]:
    yield "| experiment | | D on real | D on fake | G | accuracy real / fake | distance of images |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for name, rows in results.items():
        settings, *published = RUNS[name]
        words = " ".join([f"`{name.removesuffix('_bn')}`", *(f"`{setting}`" for setting in settings)])
        yield f"| {words} | published | {' | '.join(published)} | - |"
        for seed, row in enumerate(rows):
            yield (
                f"| | seed {seed} | {row['loss_d_real']:.3f} | {row['loss_d_fake']:.3f} | {row['loss_g']:.3f} "
                f"| {row['acc_real']:.0%} / {row['acc_fake']:.0%} | {row['distance']:.1f} |"
            )


def figure(runs: dict[str, Path], target: Path) -> None:
    """Losses, accuracies and samples of one run of each experiment."""
    from matplotlib.figure import Figure
    from matplotlib.image import imread

    drawing = Figure(figsize=(12, 2.6 * len(runs)), dpi=90, layout="constrained")
    for row, (name, folder) in zip(drawing.subplots(len(runs), 3, width_ratios=[3, 3, 1.6]), runs.items(), strict=True):
        curves: Curves = read_curves(folder)
        apart = [("loss_d_real", "D on real"), ("loss_d_fake", "D on fake")]
        of_d = [("loss_d", "D")] if is_stacked(curves) else apart
        for column, words in (*of_d, ("loss_g", "G")):
            row[0].plot(curves["iteration"], curves[column], label=words, linewidth=0.8)
        for column, words in (("acc_real", "on real"), ("acc_fake", "on fake")):
            row[1].plot(curves["iteration"], curves[column], label=words, linewidth=0.8)
        row[0].set_title(f"{name}: losses [nats]", loc="left", fontsize=9)
        row[1].set_title("accuracy of D", loc="left", fontsize=9)
        row[2].set_title("samples at the end", fontsize=9)
        row[2].imshow(imread(sorted((folder / "grids").glob("*.png"))[-1]))
        row[2].axis("off")
        row[1].set_ylim(-0.05, 1.05)
        for axes in row[:2]:
            axes.legend(fontsize=7, loc="upper right")
            axes.grid(alpha=0.3)
    drawing.savefig(target)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-root", required=True, help="torchvision's root, with MNIST/raw in it")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--precision", choices=["32-true", "bf16-mixed"], default="32-true")
    parser.add_argument("--out", type=Path, help="default: outputs/guide, one for each precision")
    given = parser.parse_args()
    root = str(Path(given.data_root).absolute())
    out = given.out or ROOT / "outputs" / ("guide" if given.precision == "32-true" else f"guide_{given.precision}")
    results: dict[str, list[dict[str, float]]] = {name: [] for name in RUNS}
    for seed in range(given.seeds):
        for name in RUNS:
            if seed == 0 or name not in ONE_SEED:
                results[name].append(judge(train(name, seed, root, given.precision, out)))
    page = ROOT / "docs" / "guide.md"
    if given.precision != "32-true":
        command = f"python -m benchmarks.guide --data-root DIR --seeds {given.seeds} --precision {given.precision}"
        replace_section(page, given.precision, "\n".join([circumstances(command), "", *table(results)]))
        return
    first = {name: out / f"{name}_s0" for name in RUNS}
    figure(first, ROOT / "docs" / "guide.png")
    real = real_distance(first["guide_stable"])
    seconds = [row["seconds"] for rows in results.values() for row in rows]
    lines = [
        "# The guide to GAN failure modes, published and obtained",
        "",
        f"`python -m benchmarks.guide --data-root DIR --seeds {given.seeds}`, {hardware()}, torch {torch.__version__}, "
        f"float32, {datetime.date.today()}; 450 iterations each, {min(seconds):.0f} to {max(seconds):.0f} s.",
        "",
        f"Medians of the last {LAST} iterations. Distance of images: mean pairwise Euclidean distance of {SAMPLES}",
        f"samples in [-1, 1]; of {SAMPLES} real images it is {real:.1f}.",
        "",
        *table(results),
        "",
        "![Curves and samples of seed 0](guide.png)",
        "",
    ]
    words = page.read_text().partition("<!-- written by hand -->")[2] if page.is_file() else ""
    page.write_text("\n".join(lines) + ("\n<!-- written by hand -->" + words if words else ""))
    print("\n".join(table(results)))


if __name__ == "__main__":
    main()
