"""Grids of images, and the files that pictures and animations are written to."""

import zlib
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path
from typing import Any

import torchvision
from PIL.Image import Image
from torch import Tensor
from torchvision.transforms.v2.functional import to_pil_image

from dcgan_lightning.whole_files import written_whole

# Pillow's settings of each type of picture: PNG and WebP keep every pixel, JPEG nearly.
SETTINGS: dict[str, dict[str, Any]] = {
    ".png": {"format": "PNG"},
    ".jpg": {"format": "JPEG", "quality": 95, "subsampling": 0},
    ".webp": {"format": "WebP", "lossless": True, "exact": True},
}
# Of single samples, small and full of detail, deflate finds little more than runs: files of faces come out as large as
# with a search for repetitions, digits 3% larger, in four fifths of the time.
SAMPLE_SETTINGS = SETTINGS | {".png": {"format": "PNG", "compress_type": zlib.Z_RLE}}
LONGEST = {".jpg": 65_500, ".webp": 16_383}  # the longest side, in pixels, that a type can have
PADDING = 2  # pixels of black around the images of a grid


def grid(images: Tensor, columns: int) -> Tensor:
    """Lay images out row by row.

    Args:
        images: (N, C, H, W) uint8.
        columns: images in a row.

    Returns:
        (3, height, width) uint8 on the CPU, with two pixels of black between the images.
    """
    return torchvision.utils.make_grid(images.cpu(), nrow=columns, padding=PADDING)


def save_picture(image: Tensor, path: Path) -> None:
    """Write a picture, (1 or 3, H, W) uint8, as the type that its ending names, one of SETTINGS."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(path) as file:
        to_pil_image(image).save(file, **SETTINGS[path.suffix.lower()])


def save_sample(image: Tensor, path: Path) -> None:
    """:func:`save_picture` for one of many small ones, in a folder that is there: the same pixels in less time."""
    held = BytesIO()  # Pillow writes to a file piece by piece
    to_pil_image(image).save(held, **SAMPLE_SETTINGS[path.suffix.lower()])
    with written_whole(path) as file:
        file.write_bytes(held.getbuffer())


def save_gif(frames: Iterable[Tensor], path: Path, milliseconds: int) -> None:
    """Write an animation that repeats for ever.

    Grey images keep every pixel; colours are brought down to the 256 that a frame of a GIF can have.

    Args:
        frames: at least one, (1 or 3, H, W) uint8.
        path: of the file, whose folder is made if need be.
        milliseconds: that each frame is shown.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    pictures = map(to_pil_image, frames)
    first: Image = next(pictures)
    first.save(path, format="GIF", save_all=True, append_images=pictures, duration=milliseconds, loop=0)
