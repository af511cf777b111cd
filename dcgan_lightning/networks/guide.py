"""The networks of Brownlee's guide to GAN failure modes (machinelearningmastery.com, "How to Identify and Diagnose GAN
Failure Modes", 2019, simplified by its author in January 2021), transcribed from Keras.

At 28x28 with 1 channel, 50 latents and widths 128 and 64: 850,689 and 69,825 parameters.
"""

from collections.abc import Mapping, Sequence
from math import isqrt
from typing import Self

from torch import Tensor, nn

from dcgan_lightning.errors import Refusal, refuse_below
from dcgan_lightning.networks import Network, sides, weights_in_order
from dcgan_lightning.networks.activation import Tanh
from dcgan_lightning.networks.convolution import Conv2d, ConvTranspose2d


def core(image_size: int | Sequence[int]) -> tuple[int, int]:
    """Height and width of what two doublings make the image of: 28x28 -> 7x7."""
    height, width = sides(image_size)
    if height % 4 or width % 4 or min(height, width) < 4:
        problem = "the guide's networks double their images twice, so that each side has to be a multiple of 4"
        raise Refusal("data.image_size", image_size, problem, "data.image_size=28")
    return height // 4, width // 4


class Generator(Network):
    """G: a dense layer, two transposed convolutions 4x4 of stride 2, a convolution 7x7; LeakyReLU 0.2, Tanh at the end.

    Args:
        image_size: side in pixels, or (height, width); multiples of 4.
        channels: of the image, 1 (grey) or 3 (RGB).
        latent_dim: length of a latent vector; the guide's is 50, and 1 to make it collapse.
        width: feature maps of all layers; the guide's is 128.
        batch_norm: BatchNorm after both transposed convolutions, before their LeakyReLU.
    """

    def __init__(
        self, image_size: int | Sequence[int], channels: int, latent_dim: int, width: int, batch_norm: bool
    ) -> None:
        super().__init__(
            image_size=image_size, channels=channels, latent_dim=latent_dim, width=width, batch_norm=batch_norm
        )
        refuse_below(1, data__channels=channels, model__generator__latent_dim=latent_dim, model__generator__width=width)
        height, breadth = core(image_size)
        self.latent_dim = latent_dim
        layers: list[nn.Module] = [
            nn.Linear(latent_dim, width * height * breadth),
            nn.LeakyReLU(0.2, True),
            nn.Unflatten(1, (width, height, breadth)),
        ]
        for _ in range(2):
            layers.append(ConvTranspose2d(width, width, 4, 2, 1))
            layers += _norm(width, batch_norm)
            layers.append(nn.LeakyReLU(0.2, True))
        self.main = nn.Sequential(*layers, Conv2d(width, channels, 7, padding=3), Tanh())

    def forward(self, z: Tensor) -> Tensor:
        """(N, latent_dim) to (N, channels, H, W) in [-1, 1]."""
        return self.main(z)

    @classmethod
    def from_state_dict(cls, state_dict: Mapping[str, Tensor]) -> Self:
        """Build the generator whose weights these are; of square images, since the shapes do not tell.

        Raises:
            Refusal: the shapes are not those of such a generator.
        """
        dense, doubling = (state_dict.get(f"main.{index}.weight") for index in (0, 3))
        if dense is None or doubling is None or dense.ndim != 2 or doubling.ndim != 4:
            raise _not_the_guides("weights", state_dict)
        width, last = doubling.shape[0], weights_in_order(state_dict, "main")[-1]
        side = 4 * isqrt(dense.shape[0] // width)
        batch_norm = any(name.endswith("running_mean") for name in state_dict)
        return cls(
            image_size=side, channels=last.shape[0], latent_dim=dense.shape[1], width=width, batch_norm=batch_norm
        )


class Discriminator(Network):
    """D: two convolutions 4x4 of stride 2 with LeakyReLU 0.2, a dense layer; no Sigmoid, which the loss contains.

    Args:
        image_size: side in pixels, or (height, width); multiples of 4.
        channels: of the image, 1 (grey) or 3 (RGB).
        width: feature maps of both convolutions; the guide's is 64.
        batch_norm: BatchNorm after both convolutions, before their LeakyReLU.
    """

    def __init__(self, image_size: int | Sequence[int], channels: int, width: int, batch_norm: bool) -> None:
        super().__init__(image_size=image_size, channels=channels, width=width, batch_norm=batch_norm)
        refuse_below(1, data__channels=channels, model__discriminator__width=width)
        height, breadth = core(image_size)
        layers: list[nn.Module] = []
        for inputs in (channels, width):
            layers.append(Conv2d(inputs, width, 4, 2, 1))
            layers += _norm(width, batch_norm)
            layers.append(nn.LeakyReLU(0.2, True))
        self.main = nn.Sequential(*layers, nn.Flatten(), nn.Linear(width * height * breadth, 1))

    def forward(self, images: Tensor) -> Tensor:
        """(N, channels, H, W) in [-1, 1] to logits (N,)."""
        return self.main(images).squeeze(1)

    @classmethod
    def from_state_dict(cls, state_dict: Mapping[str, Tensor]) -> Self:
        """Build the discriminator whose weights these are; of square images, since the shapes do not tell.

        Raises:
            Refusal: the shapes are not those of such a discriminator.
        """
        first = state_dict.get("main.0.weight")
        dense = [value for value in state_dict.values() if value.ndim == 2]
        if first is None or first.ndim != 4 or len(dense) != 1:
            raise _not_the_guides("discriminator_weights", state_dict)
        width, channels = first.shape[:2]
        side = 4 * isqrt(dense[0].shape[1] // width)
        batch_norm = any(name.endswith("running_mean") for name in state_dict)
        return cls(image_size=side, channels=channels, width=width, batch_norm=batch_norm)


def _norm(width: int, batch_norm: bool) -> list[nn.Module]:
    # Keras's defaults: eps 0.001; a momentum of 0.99 there is 0.01 here.
    return [nn.BatchNorm2d(width, eps=1e-3, momentum=0.01)] if batch_norm else []


def _not_the_guides(option: str, state_dict: Mapping[str, Tensor]) -> Refusal:
    keys = ", ".join(list(state_dict)[:3])
    return Refusal(option, f"[{keys}, ...]", "not a state dict of the guide's networks", "its keys are main.N.*")
