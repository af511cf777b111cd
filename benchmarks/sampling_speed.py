"""Sampling into files against G's forward pass alone: ``python -m benchmarks.sampling_speed``.

In turn: G over the latents in batches, its layers shared by all cores, images as uint8 and nothing else; and what
``generate.py save=images`` does with them, PNG files and all; likewise G and D alone and ``select_from``'s drawing.
Networks are untrained, the statistics of BatchNorm those of a few batches, so that images are as noise: the hardest to
compress. Writes its section of docs/performance.md.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks.report import PERFORMANCE, circumstances, replace_section
from dcgan_lightning.generation import latents, samples
from dcgan_lightning.machine import keep_freed_memory
from dcgan_lightning.networks.convolution import as_products
from dcgan_lightning.networks.dcgan import Discriminator, Generator
from dcgan_lightning.sample_files import Numbered
from dcgan_lightning.sampling import sample_floats, sample_images
from dcgan_lightning.selection import draw, score

BATCH = 256  # conf/generate.yaml's
NETWORKS = {"`dcgan_small` 32x32x1": (32, 1, 32, 10_000), "`dcgan` 64x64x3": (64, 3, 64, 2_500)}  # size to images


def networks(size: int, channels: int, width: int) -> tuple[Generator, Discriminator]:
    """G and D as they are loaded to be sampled."""
    generator, discriminator = Generator(size, channels, 100, width), Discriminator(size, channels, width)
    with torch.no_grad():
        for _ in range(5):
            discriminator(generator(torch.randn(64, 100)))
    for network in (generator, discriminator):
        network.eval().to(memory_format=torch.channels_last)
        as_products(network, True)
    return generator, discriminator


def ways(size: int, channels: int, width: int, n: int, folder: Path) -> dict[str, list[Callable[[], object]]]:
    """What is compared: the forward pass alone, and with all that the command does."""
    generator, discriminator = networks(size, channels, width)

    def batches() -> list[torch.Tensor]:
        return list(latents(0, n, 100, BATCH))

    def forward() -> None:
        for z in batches():
            sample_images(generator, z)

    def files() -> None:
        # Folders stay until the end: ext4 is slow to make files just after others were deleted.
        place = Path(tempfile.mkdtemp(dir=folder))
        Numbered(place, ".png", n).write(samples(generator, latents(0, n, 100, BATCH)))

    def both() -> None:
        for z in batches():
            score(discriminator, sample_floats(generator, z))

    def choice() -> None:
        with draw(generator, discriminator, batches(), n) as drawn:
            drawn.best(64)

    return {"`save=images`, G alone": [forward, files], "`select_from`, G and D alone": [both, choice]}


def timed(work: Callable[[], object]) -> float:
    """Seconds that it takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure sampling against G's forward pass alone.")
    parser.add_argument("--rounds", type=int, default=3, help="of each way, in turn, after one that does not count")
    parser.add_argument("--page", type=Path, default=PERFORMANCE)
    args = parser.parse_args()
    keep_freed_memory(in_one_heap=True)
    torch.manual_seed(0)
    rows = ["| | forward pass alone, images/s | whole, images/s | whole / alone |", "| --- | --- | --- | --- |"]
    with tempfile.TemporaryDirectory(prefix="benchmark_") as folder:
        for name, (size, channels, width, n) in NETWORKS.items():
            for what, pair in ways(size, channels, width, n, Path(folder)).items():
                found = [[timed(way) for way in pair] for _ in range(args.rounds + 1)][1:]
                alone, whole = (n / statistics.median(seconds) for seconds in zip(*found, strict=True))
                ratios = [forward / together for forward, together in found]  # of speeds
                spread = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
                rows.append(f"| {name}, {n:,} images: {what} | {alone:,.0f} | {whole:,.0f} | {spread} |")
                print(rows[-1], flush=True)
    heading = f"## Sampling\n\n{circumstances('python -m benchmarks.sampling_speed')}"
    replace_section(args.page, "sampling", heading + "\n\n" + "\n".join(rows))


if __name__ == "__main__":
    main()
