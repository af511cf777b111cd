"""Images from a generator, as they would be saved (eval mode, float32, uint8), and what D would be given."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import torch
from torch import Tensor, nn

from dcgan_lightning.finite import NonFiniteError
from dcgan_lightning.images import to_uint8
from dcgan_lightning.precision import float32_as


class NonFiniteImagesError(NonFiniteError):
    """The generator emitted NaN or infinity, of which there is no picture and no FID."""


@contextmanager
def eval_mode(network: nn.Module) -> Iterator[nn.Module]:
    """The network in eval mode, every submodule's own mode restored afterwards, also after an exception."""
    modes = {module: module.training for module in network.modules()}
    network.eval()
    try:
        yield network
    finally:
        for module, training in modes.items():
            module.training = training


def full_float32() -> AbstractContextManager[None]:
    """No TF32: a GPU's convolutions use it unless they are told not to."""
    return float32_as("32-true")


@contextmanager
def as_drawn(network: nn.Module) -> Iterator[nn.Module]:
    """How a network is asked for what a user sees: eval mode, float32 throughout, no gradients."""
    device = next(network.parameters()).device.type
    with torch.no_grad(), eval_mode(network), full_float32(), torch.autocast(device, enabled=False):
        yield network


def sample_floats(generator: nn.Module, z: Tensor) -> Tensor:
    """G(z) as D sees it.

    Args:
        generator: any generator of this package; its mode and its BatchNorm statistics stay untouched.
        z: (N, latent_dim), on any device.

    Returns:
        (N, C, H, W) in [-1, 1] on the generator's device, in its dtype.

    Raises:
        NonFiniteImagesError: an image has NaN or infinity in it.
    """
    with as_drawn(generator):
        images = generator(z.to(next(generator.parameters())))
    finite = images.isfinite().flatten(1).all(dim=1)
    if not finite.all():
        raise NonFiniteImagesError(
            f"{int((~finite).sum())} of {len(finite)} generated images are not finite (NaN or infinity): "
            "training has diverged. Go back to an earlier checkpoint, or lower model.lr."
        )
    return images


def sample_images(generator: nn.Module, z: Tensor) -> Tensor:
    """G(z) as a user would save it: :func:`sample_floats` as (N, C, H, W) uint8 on the generator's device."""
    return to_uint8(sample_floats(generator, z))
