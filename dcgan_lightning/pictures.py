"""Grids of images, and PNG files."""

from pathlib import Path

import torchvision
from torch import Tensor
from torchvision.transforms.v2.functional import to_pil_image


def grid(images: Tensor, columns: int) -> Tensor:
    """Lay images out row by row.

    Args:
        images: (N, C, H, W) uint8.
        columns: images in a row.

    Returns:
        (3, height, width) uint8 on the CPU, with two pixels of black between the images.
    """
    return torchvision.utils.make_grid(images.cpu(), nrow=columns, padding=2)


def save_png(image: Tensor, path: Path) -> None:
    """Write a picture, (1 or 3, H, W) uint8, making its folder if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    to_pil_image(image).save(path)
