"""Images per second into a batch, against the tutorial's transforms in PIL: ``python -m benchmarks.data_rates``.

A batch is 128 images as the networks get them: float32 in [-1, 1]. The kit's are those of its data loader, made float
as GANModule does, from the second epoch on. Both sides take turns in one process; freed memory is kept, as in a run.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Subset
from torchvision import datasets, transforms

from benchmarks.report import PERFORMANCE, ROOT, circumstances, replace_section
from dcgan_lightning.data.cache import decode_chunk
from dcgan_lightning.data.sources import Folder
from dcgan_lightning.images import to_float
from dcgan_lightning.machine import keep_freed_memory

BATCH = 128
EPOCHS = 3  # of the kit's in one turn
SYNTHETIC = 2000  # JPEG files where no CelebA is at hand
Side = Callable[[], float]  # images per second


class Digits(Dataset[tuple[Tensor, int]]):
    """What torchvision's MNIST does for an item, whichever digits are at hand; (N, 28, 28) uint8."""

    def __init__(self, arrays: Tensor, transform: Callable[[Image.Image], Tensor]) -> None:
        self.arrays, self.transform = arrays, transform

    def __len__(self) -> int:
        return len(self.arrays)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(Image.fromarray(self.arrays[index].numpy())), 0


def data_module(data: str, *overrides: str) -> Any:
    """A data set as the command line makes it."""
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return instantiate(compose("train", [f"data={data}", *overrides]).data)


def faces(data_dir: str | None, scratch: Path) -> Path:
    """A folder with CelebA in it; where there is none, one with JPEG files of its size, of smooth noise."""
    if data_dir:
        return Path(data_dir).resolve() / "celeba"
    folder = scratch / "faces" / "img_align_celeba"
    if not folder.is_dir():
        folder.mkdir(parents=True)
        random = np.random.default_rng(0)
        for number in range(SYNTHETIC):
            coarse = Image.fromarray(random.integers(0, 256, (27, 22, 3), dtype=np.uint8))
            coarse.resize((178, 218), Image.Resampling.BICUBIC).save(folder / f"{number:06d}.jpg", quality=90)
    return folder.parent


def tutorial(side: int | tuple[int, int], channels: int, crop: bool) -> Callable[[Image.Image], Tensor]:
    """The tutorial's transforms."""
    half = (0.5,) * channels
    steps = [transforms.Resize(side), *([transforms.CenterCrop(side)] if crop else [])]
    return transforms.Compose([*steps, transforms.ToTensor(), transforms.Normalize(half, half)])


def in_pil(dataset: Dataset[Any], images: int, workers: int) -> Side:
    """The tutorial's loader over some of the images, its workers' start included."""
    some = Subset(dataset, range(min(images, len(dataset))))  # type: ignore[arg-type]
    loader = DataLoader(some, batch_size=BATCH, shuffle=True, num_workers=workers)
    return lambda: rate(loader, len(some), lambda batch: batch[0])


def in_kit(data: Any, convert: Callable[[Tensor], Tensor]) -> Side:
    """The kit's loader, some epochs at a time."""
    loader, epochs = data.train_dataloader(), iter(range(1, 10**9))

    def side() -> float:
        rates = []
        for _ in range(EPOCHS):
            loader.sampler.set_epoch(next(epochs))
            rates.append(rate(loader, len(data.images), convert))
        return statistics.median(rates)

    rate(loader, len(data.images), convert)  # the first epoch
    return side


def as_networks_get_them(batch: Tensor) -> Tensor:
    """As in GANModule.training_step."""
    return to_float(batch).contiguous(memory_format=torch.channels_last)


def rate(batches: Iterable[Any], images: int, convert: Callable[[Any], Tensor]) -> float:
    """Images per second."""
    began = time.perf_counter()
    for batch in batches:
        convert(batch)
    return images / (time.perf_counter() - began)


def in_turn(sides: dict[str, Side], turns: int) -> dict[str, list[float]]:
    """Each side's rate in each turn."""
    rates: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(turns):
        for name, side in sides.items():
            rates[name].append(side())
    return rates


def decoding(root: Path, cache: Path) -> tuple[str, Any]:
    """How fast one process decodes, and how fast the cache is made; and the data set."""
    folder = Folder(root)
    names = [entry.name for entry in folder.entries()]
    data = data_module("celeba", f"data.root={root}", f"data.cache_dir={cache}")
    some = names[:1000]
    began = time.perf_counter()
    decode_chunk(folder, some, data.recipe)
    alone = len(some) / (time.perf_counter() - began)
    began = time.perf_counter()
    data.setup()
    whole = len(names) / (time.perf_counter() - began)
    return f"Decoding into the cache: {alone:,.0f} images/s in one process, {whole:,.0f} on all cores.", data


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--data-dir", default=os.environ.get("DCGAN_DATA_DIR"), help="with celeba and MNIST in it")
    parser.add_argument("--print", action="store_true", help="leave docs/performance.md alone")
    options = parser.parse_args()
    keep_freed_memory()
    with tempfile.TemporaryDirectory() as name:
        root = faces(options.data_dir, Path(name))
        words, celeba = decoding(root, Path(name) / "cache")
        pil = datasets.ImageFolder(str(root), tutorial(64, 3, crop=True))
        of_faces = in_turn(
            {
                "PIL, no workers": in_pil(pil, 6 * BATCH, workers=0),
                "PIL, two workers": in_pil(pil, 30 * BATCH, workers=2),
                "float": in_kit(celeba, as_networks_get_them),
                "uint8": in_kit(celeba, lambda batch: batch),
            },
            options.turns,
        )
        digits = data_module(*(["mnist", f"data.root={options.data_dir}"] if options.data_dir else ["mnist_mini"]))
        digits.setup()
        arrays, _ = digits._source()  # (N, 28, 28)
        of_digits = in_turn(
            {
                "PIL, no workers": in_pil(Digits(arrays, tutorial((32, 32), 1, crop=False)), 24 * BATCH, workers=0),
                "float": in_kit(digits, as_networks_get_them),
                "uint8": in_kit(digits, lambda batch: batch),
            },
            options.turns,
        )
    made = "" if options.data_dir else " of JPEG files of noise"
    tables = table(f"{len(celeba.images):,} images{made} to 64x64x3", of_faces)
    tables += table(f"{len(digits.images):,} digits ({digits.variant}) to 32x32x1", of_digits)
    text = "\n".join([*HEAD, circumstances("python -m benchmarks.data_rates"), "", words, "", *COLUMNS, *tables])
    print(text)
    if not options.print:
        replace_section(PERFORMANCE, "data", text)


HEAD = [
    "### Images into a batch",
    "",
    "A batch is 128 float32 images in [-1, 1] in channels_last memory; below it, uint8 as the loader hands them over.",
    "The other side: the tutorial's `Resize`, `CenterCrop`, `ToTensor` and `Normalize` on PIL images, in each epoch.",
    "Medians of alternating turns in one process, with the ratios' spread; the kit's from the second epoch on.",
    "",
]
COLUMNS = ["| | images/s | x PIL without workers | x PIL with two workers |", "| --- | --- | --- | --- |"]


def table(title: str, rates: dict[str, list[float]]) -> list[str]:
    """A row for each side; ratios are those of one turn."""
    rows = []
    for name, ours in rates.items():
        cells = [f"{title}, {name}", f"{statistics.median(ours):,.0f}"]
        for base in ("PIL, no workers", "PIL, two workers"):
            ratios = [a / b for a, b in zip(ours, rates.get(base, []), strict=False)]
            spread = f"{statistics.median(ratios):.1f} ({min(ratios):.1f} to {max(ratios):.1f})" if ratios else ""
            cells.append(spread if not name.startswith("PIL") else "")
        rows.append("| " + " | ".join(cells) + " |")
    return rows


if __name__ == "__main__":
    main()
