"""DCGAN for anime faces at 96x96, after Chen Yun's "pytorch-book", chapter on GANs (github.com/chenyuntc/pytorch-book).

A DCGAN of a third of the size, with a layer 5x5 of stride 3 next to the image; two layers have a bias. At 96x96 with 3
channels, 100 latents and widths 64: 3,578,560 and 2,767,297 parameters, keys ``main.N.*``.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Self

from torch import Tensor, nn

from dcgan_lightning.errors import Refusal, refuse_below
from dcgan_lightning.networks import Network, sides, weights_in_order
from dcgan_lightning.networks.activation import Tanh
from dcgan_lightning.networks.convolution import Conv2d, ConvTranspose2d
from dcgan_lightning.networks.dcgan import halving_layers, halvings, widths_of


def thirds(image_size: int | Sequence[int]) -> tuple[int, tuple[int, int]]:
    """How often a third of the size is halved, and the core that is left: 96x96 -> 3, 4x4; 192x192 -> 4, 4x4."""
    height, width = sides(image_size)
    if height % 3 or width % 3:
        problem = "the layer next to the image triples it, so that each side has to be a multiple of 3"
        raise Refusal("data.image_size", image_size, problem, "data.image_size=96")
    return halvings([height // 3, width // 3])


class Generator(Network):
    """G: latents to images, by transposed convolutions, BatchNorm and ReLU, Tanh at the end.

    Args:
        image_size: side in pixels, or (height, width): 48, 96, 192, 384 or another three times what DCGAN takes.
        channels: of the image, 1 (grey) or 3 (RGB).
        latent_dim: length of a latent vector; the book's ``nz`` is 100.
        width: feature maps of the layer next to the image; the book's ``ngf`` is 64.
    """

    def __init__(self, image_size: int | Sequence[int], channels: int, latent_dim: int, width: int) -> None:
        super().__init__(image_size=image_size, channels=channels, latent_dim=latent_dim, width=width)
        refuse_below(1, data__channels=channels, model__generator__latent_dim=latent_dim, model__generator__width=width)
        count, side = thirds(image_size)
        self.latent_dim = latent_dim
        widths = widths_of(count + 1, width)[::-1]  # from the core to the image
        layers: list[nn.Module] = [ConvTranspose2d(latent_dim, widths[0], side, 1, 0, bias=False)]
        for i, (wide, narrow) in enumerate(pairwise(widths)):
            # The third transposed convolution is the second of these; the listing leaves its bias in.
            layers += [nn.BatchNorm2d(wide), nn.ReLU(True), ConvTranspose2d(wide, narrow, 4, 2, 1, bias=i == 1)]
        layers += [nn.BatchNorm2d(width), nn.ReLU(True), ConvTranspose2d(width, channels, 5, 3, 1, bias=False)]
        self.main = nn.Sequential(*layers, Tanh())

    def forward(self, z: Tensor) -> Tensor:
        """(N, latent_dim) or (N, latent_dim, 1, 1) to (N, channels, H, W) in [-1, 1]."""
        return self.main(z.view(len(z), self.latent_dim, 1, 1))

    @classmethod
    def from_state_dict(cls, state_dict: Mapping[str, Tensor]) -> Self:
        """Build the generator whose weights these are, from their shapes.

        Raises:
            Refusal: the shapes are not those of such a generator.
        """
        kernels = _kernels(state_dict, "weights")
        first, last = kernels[0], kernels[-1]
        factor = 3 * 2 ** (len(kernels) - 2)
        size = [side * factor for side in first.shape[2:]]
        return cls(image_size=size, channels=last.shape[1], latent_dim=first.shape[0], width=last.shape[0])


class Discriminator(Network):
    """D: images to logits, by strided convolutions, BatchNorm and LeakyReLU 0.2; no Sigmoid, which the loss contains.

    Args:
        image_size: side in pixels, or (height, width); as :class:`Generator`'s.
        channels: of the image, 1 (grey) or 3 (RGB).
        width: feature maps of the layer next to the image; the book's ``ndf`` is 64.
    """

    def __init__(self, image_size: int | Sequence[int], channels: int, width: int) -> None:
        super().__init__(image_size=image_size, channels=channels, width=width)
        refuse_below(1, data__channels=channels, model__discriminator__width=width)
        count, side = thirds(image_size)
        widths = widths_of(count + 1, width)
        layers: list[nn.Module] = [Conv2d(channels, width, 5, 3, 1, bias=False), nn.LeakyReLU(0.2, True)]
        layers += halving_layers(widths)
        self.main = nn.Sequential(*layers, Conv2d(widths[-1], 1, side, 1, 0))

    def forward(self, images: Tensor) -> Tensor:
        """(N, channels, H, W) in [-1, 1] to logits (N,)."""
        return self.main(images).flatten(1).squeeze(1)

    @classmethod
    def from_state_dict(cls, state_dict: Mapping[str, Tensor]) -> Self:
        """Build the discriminator whose weights these are, from their shapes.

        Raises:
            Refusal: the shapes are not those of such a discriminator.
        """
        kernels = _kernels(state_dict, "discriminator_weights")
        first, last = kernels[0], kernels[-1]
        factor = 3 * 2 ** (len(kernels) - 2)
        size = [side * factor for side in last.shape[2:]]
        return cls(image_size=size, channels=first.shape[1], width=first.shape[0])


def _kernels(state_dict: Mapping[str, Tensor], option: str) -> list[Tensor]:
    """The convolutions' weights in the order of their layers."""
    kernels = [weight for weight in weights_in_order(state_dict, "main") if weight.ndim == 4]
    if len(kernels) < 3 or not any(kernel.shape[2:] == (5, 5) for kernel in (kernels[0], kernels[-1])):
        keys = ", ".join(list(state_dict)[:3])
        raise Refusal(option, f"[{keys}, ...]", "not a state dict of the anime-face networks", "keys are main.N.*")
    return kernels
