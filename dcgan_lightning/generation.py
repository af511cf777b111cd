"""Images from a checkpoint or from bare weights."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from torch import Tensor

from dcgan_lightning import checkpoints, noise
from dcgan_lightning.errors import Refusal, refuse_below
from dcgan_lightning.networks import Network, families
from dcgan_lightning.pictures import grid, save_png
from dcgan_lightning.sampling import sample_images
from dcgan_lightning.weights import network_of_weights


def generate(
    ckpt_path: str | None,
    weights: str | None,
    model: str | None,
    n: int,
    seed: int,
    save: Literal["grid", "images"],
    out: str | None,
    columns: int,
    batch_size: int,
    device: str,
) -> None:
    """Draw ``n`` latents, pass them through G, and save what comes out.

    The latents depend on the seed alone: the same bits at any batch size, the first ones the same at any ``n``.

    Args:
        ckpt_path: a run folder (its best checkpoint by FID, else its last), or a checkpoint.
        weights: instead of it, a generator's state dict.
        model: with ``weights``, the family of networks that they belong to.
        n: number of images.
        seed: of the latents.
        save: ``grid`` for one picture, ``images`` for a PNG each, numbered from 0.
        out: the picture's file, or the images' folder, which has to be empty.
        columns: images in a row of the grid.
        batch_size: images at a time.
        device: ``cpu``, ``cuda``, ``mps``, or ``auto`` for the fastest there is.

    Raises:
        Refusal: no generator can be made of what was given, or ``out`` is taken.
    """
    refuse_below(1, n=n, columns=columns, batch_size=batch_size)
    folder = _empty_folder(out) if save == "images" else None
    picture = _picture_file(out) if save == "grid" and out is not None else None
    generator, source = _load(ckpt_path, weights, model)
    generator.to(_device(device))
    print(f"generator  {source}")
    batches = (sample_images(generator, z) for z in latents(seed, n, generator.latent_dim, batch_size))
    if folder is None:
        file = picture or _beside(source) / f"samples_n{n}_seed{seed}.png"
        save_png(grid(torch.cat([images.cpu() for images in batches]), columns), file)
        print(f"grid       {file}")
    else:
        _save_numbered(batches, folder, n, batch_size)
        print(f"images     {folder}")


def latents(seed: int, n: int, latent_dim: int, batch_size: int) -> Iterator[Tensor]:
    """The latents of samples 0 to n - 1, in batches (<= batch_size, latent_dim); the same bits at any batch size."""
    stream = noise.generator(seed, "samples")
    for first in range(0, n, batch_size):
        size = (min(batch_size, n - first), latent_dim)
        yield torch.from_numpy(stream.standard_normal(size, dtype=np.float32))


def _load(ckpt_path: str | None, weights: str | None, model: str | None) -> tuple[Network, Path]:
    if (ckpt_path is None) == (weights is None):
        raise Refusal(
            "ckpt_path", ckpt_path, "one of ckpt_path and weights says what to sample", "ckpt_path=outputs/<run>"
        )
    if weights is not None:
        if model is None:
            raise Refusal("model", "null", "weights do not say what they belong to", f"model={' or '.join(families())}")
        return network_of_weights("Generator", "weights", weights, model), Path(weights)
    file = checkpoints.find(str(ckpt_path), "best.ckpt", "last.ckpt")
    return checkpoints.load_generator(file), file


def _device(name: str) -> torch.device:
    if name == "auto":
        there_is_one = torch.accelerator.is_available()
        return torch.accelerator.current_accelerator() if there_is_one else torch.device("cpu")  # type: ignore[return-value]
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        raise Refusal("device", name, str(error).partition("\n")[0], "device=auto or device=cpu") from error


def _beside(source: Path) -> Path:
    """The run folder of a checkpoint in one; the current directory for any other file."""
    return source.parent.parent if source.parent.name == "checkpoints" else Path()


def _empty_folder(out: str | None) -> Path:
    if out is None:
        raise Refusal("out", "null", "save=images needs a folder", "out=samples")
    folder = Path(out).expanduser()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise Refusal("out", out, "is not an empty folder, and would mix these images with others", "give another one")
    _refuse_unwritable(out, folder)
    return folder


def _picture_file(out: str) -> Path:
    file = Path(out).expanduser()
    if file.suffix.lower() != ".png" or file.is_dir():
        raise Refusal("out", out, "a grid is one PNG file", "for instance out=grid.png, or save=images for a folder")
    _refuse_unwritable(out, file.parent)
    return file


def _refuse_unwritable(out: str, folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Refusal("out", out, f"cannot be made: {error}", "give another place") from error


def _save_numbered(batches: Iterator[Tensor], folder: Path, n: int, batch_size: int) -> None:
    digits, number = max(5, len(str(n - 1))), 0
    total = -(-n // batch_size)
    for images in track(batches, "sampling", total=total, console=Console(stderr=True)):
        for image in images.cpu():
            save_png(image, folder / f"{number:0{digits}d}.png")
            number += 1
