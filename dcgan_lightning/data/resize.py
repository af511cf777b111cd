"""Sets of uint8 images that came as arrays -> the size and the channels that are asked for."""

from collections.abc import Callable

import torch
from torch import Tensor
from torchvision.transforms.v2 import functional

from dcgan_lightning.data.decode import cover_size
from dcgan_lightning.errors import Refusal
from dcgan_lightning.machine import free_memory

CHUNK = 4096  # images worked on at once: bounds the temporaries
LUMA = (19595, 38470, 7471)  # of R, G, B, / 2**16: ITU-R 601, to the bit as Pillow has it


def fit(images: Tensor, height: int, width: int) -> Tensor:
    """Scale square images on black so that nothing is cut off or stretched (digits, clothes).

    Args:
        images: (N, C, S, S) uint8.
        height: of the result, pixels.
        width: of the result, pixels.

    Returns:
        (N, C, height, width) uint8; the same tensor where it has this size already. Bilinear with antialias; a
        non-square result has the images in its middle, black beside them.
    """
    side = min(height, width)

    def resize(part: Tensor) -> Tensor:
        left, top = (width - side) // 2, (height - side) // 2
        part = functional.resize(part, [side, side], antialias=True)
        return functional.pad(part, [left, top, width - side - left, height - side - top])

    return _in_chunks(images, height, width, resize)


def cover(images: Tensor, height: int, width: int) -> Tensor:
    """Scale photographs so that they just cover (height, width), then crop the centre; (N, C, H, W) uint8 both ways."""
    to_width, to_height = cover_size(images.shape[3], images.shape[2], width, height)

    def resize(part: Tensor) -> Tensor:
        part = functional.resize(part, [to_height, to_width], antialias=True)
        return functional.center_crop(part, [height, width])

    return _in_chunks(images, height, width, resize)


def with_channels(images: Tensor, channels: int) -> Tensor:
    """(N, 1 or 3, H, W) uint8 -> (N, channels, H, W): grey is repeated, RGB becomes ITU-R 601 luma."""
    if images.shape[1] == channels:
        return images
    if channels == 3:
        return images.repeat(1, 3, 1, 1)
    weights = torch.tensor(LUMA, dtype=torch.int32).view(3, 1, 1)
    return torch.cat([((part * weights).sum(1, keepdim=True) + 2**15 >> 16).byte() for part in images.split(CHUNK)])


def _in_chunks(images: Tensor, height: int, width: int, resize: Callable[[Tensor], Tensor]) -> Tensor:
    if images.shape[2:] == (height, width):
        return images
    needed, free = len(images) * images.shape[1] * height * width, free_memory()  # bytes
    try:
        if free is not None and needed > free:  # Linux may hand it out all the same
            raise MemoryError
        resized = torch.empty((*images.shape[:2], height, width), dtype=torch.uint8)
    except (RuntimeError, MemoryError):  # the former is what torch raises
        problem = f"{len(images)} images of {height}x{width} take {needed / 2**30:.0f} GiB, more memory than is free"
        raise Refusal("data.image_size", f"[{height},{width}]", problem, "choose a smaller data.image_size") from None
    for start in range(0, len(images), CHUNK):
        resized[start : start + CHUNK] = resize(images[start : start + CHUNK])
    return resized
