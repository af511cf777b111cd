"""DCGAN (Radford et al., "Unsupervised representation learning with deep convolutional GANs", arXiv:1511.06434).

At 64x64 with 3 channels, widths 64 and 100 latents these are the networks of PyTorch's DCGAN faces tutorial, layer by
layer and key by key (``main.N.*``): 3,576,704 and 2,765,568 parameters. Every other size follows from the same rule.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Self

from torch import Tensor, nn

from dcgan_lightning.errors import Refusal, refuse_below
from dcgan_lightning.networks import Network, sides, weights_in_order
from dcgan_lightning.networks.activation import Tanh
from dcgan_lightning.networks.convolution import Conv2d, ConvTranspose2d

WIDEST = 8  # multiples of `width`: the tutorial's widest layers; larger images repeat them instead of growing further


def halvings(image_size: int | Sequence[int]) -> tuple[int, tuple[int, int]]:
    """How many times a size is halved, and the core that is left: sides of 4 to 7, the shorter one of an oblong from 2.

    64 -> 4 halvings, core 4x4; 28 -> 2, 7x7; 96 -> 4, 6x6; 64x48 -> 4, 4x3.

    Args:
        image_size: side of a square, or (height, width), in pixels.

    Raises:
        Refusal: no number of halvings leads to such a core.
    """
    height, width = sides(image_size)
    for count in range(1, 12):
        factor = 2**count
        core = (height // factor, width // factor)
        if height % factor == width % factor == 0 and 4 <= max(core) <= 7 and min(core) >= 2:
            return count, core
    raise Refusal(
        "data.image_size",
        image_size,
        "a DCGAN doubles its images from a core of 4 to 7 pixels, so that each side has to be 4, 5, 6 or 7 times "
        "a power of two (of an oblong, the shorter side may come from a core of 2 or 3)",
        "take one of 28, 32, 48, 64, 96, 128, 256, or for instance [64,48] (height, width)",
    )


def widths_of(count: int, width: int) -> list[int]:
    """Channels from the image side to the core: width, 2 * width, ..., at most WIDEST * width."""
    return [width * min(2**i, WIDEST) for i in range(count)]


def halving_layers(widths: Sequence[int]) -> list[nn.Module]:
    """D's layers between these numbers of channels: convolutions 4x4 of stride 2, BatchNorm, LeakyReLU 0.2."""
    layers: list[nn.Module] = []
    for narrow, wide in pairwise(widths):
        layers += [Conv2d(narrow, wide, 4, 2, 1, bias=False), nn.BatchNorm2d(wide), nn.LeakyReLU(0.2, True)]
    return layers


class Generator(Network):
    """G: latents to images, by transposed convolutions, BatchNorm and ReLU, Tanh at the end.

    Args:
        image_size: side in pixels, or (height, width); see :func:`halvings`.
        channels: of the image, 1 (grey) or 3 (RGB).
        latent_dim: length of a latent vector; the tutorial's ``nz`` is 100.
        width: feature maps of the layer next to the image; the tutorial's ``ngf`` is 64.
    """

    def __init__(self, image_size: int | Sequence[int], channels: int, latent_dim: int, width: int) -> None:
        super().__init__(image_size=image_size, channels=channels, latent_dim=latent_dim, width=width)
        refuse_below(1, data__channels=channels, model__generator__latent_dim=latent_dim, model__generator__width=width)
        count, core = halvings(image_size)
        self.latent_dim = latent_dim
        widths = widths_of(count, width)[::-1]  # from the core to the image
        layers: list[nn.Module] = [ConvTranspose2d(latent_dim, widths[0], core, 1, 0, bias=False)]
        for wide, narrow in pairwise(widths):
            layers += [nn.BatchNorm2d(wide), nn.ReLU(True), ConvTranspose2d(wide, narrow, 4, 2, 1, bias=False)]
        layers += [nn.BatchNorm2d(width), nn.ReLU(True), ConvTranspose2d(width, channels, 4, 2, 1, bias=False)]
        self.main = nn.Sequential(*layers, Tanh())

    def forward(self, z: Tensor) -> Tensor:
        """(N, latent_dim), or the tutorial's (N, latent_dim, 1, 1), to (N, channels, H, W) in [-1, 1]."""
        return self.main(z.view(len(z), self.latent_dim, 1, 1))

    @classmethod
    def from_state_dict(cls, state_dict: Mapping[str, Tensor]) -> Self:
        """Build the generator whose weights these are, from their shapes; the weights are not loaded.

        Raises:
            Refusal: the shapes are not those of a DCGAN generator.
        """
        kernels = _kernels(state_dict, "weights", "generator")
        first, last = kernels[0], kernels[-1]
        factor = 2 ** (len(kernels) - 1)
        size = [side * factor for side in first.shape[2:]]
        return cls(image_size=size, channels=last.shape[1], latent_dim=first.shape[0], width=last.shape[0])


class Discriminator(Network):
    """D: images to logits, by strided convolutions, BatchNorm and LeakyReLU 0.2; no Sigmoid, which the loss contains.

    Args:
        image_size: side in pixels, or (height, width); see :func:`halvings`.
        channels: of the image, 1 (grey) or 3 (RGB).
        width: feature maps of the layer next to the image; the tutorial's ``ndf`` is 64.
    """

    def __init__(self, image_size: int | Sequence[int], channels: int, width: int) -> None:
        super().__init__(image_size=image_size, channels=channels, width=width)
        refuse_below(1, data__channels=channels, model__discriminator__width=width)
        count, core = halvings(image_size)
        widths = widths_of(count, width)
        layers: list[nn.Module] = [Conv2d(channels, width, 4, 2, 1, bias=False), nn.LeakyReLU(0.2, True)]
        layers += halving_layers(widths)
        self.main = nn.Sequential(*layers, Conv2d(widths[-1], 1, core, 1, 0, bias=False))

    def forward(self, images: Tensor) -> Tensor:
        """(N, channels, H, W) in [-1, 1] to logits (N,)."""
        return self.main(images).flatten(1).squeeze(1)

    @classmethod
    def from_state_dict(cls, state_dict: Mapping[str, Tensor]) -> Self:
        """Build the discriminator whose weights these are, from their shapes; the weights are not loaded.

        Raises:
            Refusal: the shapes are not those of a DCGAN discriminator.
        """
        kernels = _kernels(state_dict, "discriminator_weights", "discriminator")
        first, last = kernels[0], kernels[-1]
        if last.shape[0] != 1:
            problem = "not a DCGAN discriminator's state dict: it ends in more than one logit"
            raise Refusal("discriminator_weights", list(last.shape), problem, "the last kernel is (1, channels, h, w)")
        factor = 2 ** (len(kernels) - 1)
        size = [side * factor for side in last.shape[2:]]
        return cls(image_size=size, channels=first.shape[1], width=first.shape[0])


def _kernels(state_dict: Mapping[str, Tensor], option: str, role: str) -> list[Tensor]:
    """The kernels of the convolutions, from first to last."""
    kernels = [weight for weight in weights_in_order(state_dict, "main") if weight.ndim == 4]
    if len(kernels) < 2 or "main.0.weight" not in state_dict:
        keys = ", ".join(list(state_dict)[:3])
        raise Refusal(option, f"[{keys}, ...]", f"not a DCGAN {role}'s state dict", "keys are main.N.*")
    return kernels
