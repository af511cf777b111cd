"""The only place that knows both forms of an image: uint8 in [0, 255] and float in [-1, 1], the range of Tanh."""

import torch
from torch import Tensor


def to_float(images: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Turn stored images into what the networks see.

    Args:
        images: uint8, any shape, [0, 255].
        dtype: floating-point type of the result.

    Returns:
        The same shape, 0 -> -1 and 255 -> 1.

    Raises:
        TypeError: ``images`` is not uint8, so its range is unknown.
    """
    if images.dtype != torch.uint8:
        raise TypeError(f"images have to be uint8 in [0, 255], not {images.dtype}")
    return images.to(dtype).div_(127.5).sub_(1)


def to_uint8(images: Tensor) -> Tensor:
    """Turn what a generator emits into what a user saves: float in [-1, 1] to uint8, rounded, clipped; any shape.

    ``to_uint8(to_float(x))`` is ``x``. NaN has no grey level: see :func:`dcgan_lightning.sampling.sample_images`.
    """
    return images.float().add(1).mul_(127.5).round_().clamp_(0, 255).to(torch.uint8)
