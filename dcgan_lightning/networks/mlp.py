"""A GAN of fully connected layers, as it is told for MNIST at 28x28.

At 28x28 with 1 channel, 100 latents and widths 128 and 512: 1,510,032 and 533,505 parameters, keys ``model.N.*``.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import isqrt
from typing import Self

from torch import Tensor, nn

from dcgan_lightning.errors import Refusal, refuse_below
from dcgan_lightning.networks import Network, sides
from dcgan_lightning.networks.activation import Tanh

EPS = 0.8  # of BatchNorm1d: the author passes 0.8 where eps is expected, surely meaning the momentum; kept


class Generator(Network):
    """G: latents to images by four hidden layers, each twice as wide as the one before; BatchNorm on all but the first.

    Args:
        image_size: side in pixels, or (height, width).
        channels: of the image, 1 (grey) or 3 (RGB).
        latent_dim: length of a latent vector; the author's is 100.
        width: of the first hidden layer; the author's is 128.
    """

    def __init__(self, image_size: int | Sequence[int], channels: int, latent_dim: int, width: int) -> None:
        super().__init__(image_size=image_size, channels=channels, latent_dim=latent_dim, width=width)
        refuse_below(1, data__channels=channels, model__generator__latent_dim=latent_dim, model__generator__width=width)
        height, breadth = sides(image_size)
        self.latent_dim, self.shape = latent_dim, (channels, height, breadth)
        layers: list[nn.Module] = [nn.Linear(latent_dim, width), nn.LeakyReLU(0.2, True)]
        for narrow, wide in pairwise(width * 2**i for i in range(4)):
            layers += [nn.Linear(narrow, wide), nn.BatchNorm1d(wide, EPS), nn.LeakyReLU(0.2, True)]
        self.model = nn.Sequential(*layers, nn.Linear(8 * width, channels * height * breadth), Tanh())

    def forward(self, z: Tensor) -> Tensor:
        """(N, latent_dim) to (N, channels, H, W) in [-1, 1]."""
        return self.model(z).view(-1, *self.shape)

    @classmethod
    def from_state_dict(cls, state_dict: Mapping[str, Tensor]) -> Self:
        """Build the generator whose weights these are; of square images, since the shapes do not tell.

        Raises:
            Refusal: the shapes are not those of such a generator.
        """
        first, last = (state_dict.get(f"model.{index}.weight") for index in (0, 11))
        if first is None or last is None or first.ndim != 2:
            raise Refusal("weights", _keys(state_dict), "not an MLP generator's state dict", "its keys are model.N.*")
        width, latent_dim = first.shape
        channels, side = _square(last.shape[0])
        return cls(image_size=side, channels=channels, latent_dim=latent_dim, width=width)


class Discriminator(Network):
    """D: images to logits by two hidden layers; no Sigmoid, which the loss contains.

    Args:
        image_size: side in pixels, or (height, width).
        channels: of the image, 1 (grey) or 3 (RGB).
        width: of the first hidden layer, twice that of the second; the author's is 512.
    """

    def __init__(self, image_size: int | Sequence[int], channels: int, width: int) -> None:
        super().__init__(image_size=image_size, channels=channels, width=width)
        refuse_below(1, data__channels=channels)
        refuse_below(2, model__discriminator__width=width)
        height, breadth = sides(image_size)
        self.model = nn.Sequential(
            nn.Linear(channels * height * breadth, width),
            nn.LeakyReLU(0.2, True),
            nn.Linear(width, width // 2),
            nn.LeakyReLU(0.2, True),
            nn.Linear(width // 2, 1),
        )

    def forward(self, images: Tensor) -> Tensor:
        """(N, channels, H, W) in [-1, 1] to logits (N,)."""
        return self.model(images.flatten(1)).squeeze(1)

    @classmethod
    def from_state_dict(cls, state_dict: Mapping[str, Tensor]) -> Self:
        """Build the discriminator whose weights these are; of square images, since the shapes do not tell.

        Raises:
            Refusal: the shapes are not those of such a discriminator.
        """
        first = state_dict.get("model.0.weight")
        if first is None or first.ndim != 2 or "model.4.weight" not in state_dict:
            problem = "not an MLP discriminator's state dict"
            raise Refusal("discriminator_weights", _keys(state_dict), problem, "its keys are model.N.*")
        channels, side = _square(first.shape[1])
        return cls(image_size=side, channels=channels, width=first.shape[0])


def _square(pixels: int) -> tuple[int, int]:
    """(channels, side) of a square image with so many numbers; unambiguous, since 3 is no square."""
    for channels in (1, 3):
        side = isqrt(pixels // channels)
        if channels * side * side == pixels:
            return channels, side
    raise Refusal("weights", f"{pixels} numbers an image", "not a square image, grey or RGB", "ckpt_path=<a run>")


def _keys(state_dict: Mapping[str, Tensor]) -> str:
    return f"[{', '.join(list(state_dict)[:3])}, ...]"
