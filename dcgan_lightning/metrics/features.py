"""What a feature network is: uint8 images in, the float32 features that a Frechet distance compares out."""

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from dcgan_lightning.errors import Refusal
from dcgan_lightning.images import to_float
from dcgan_lightning.sampling import full_float32


class FeatureNetwork(nn.Module):
    """A fixed network whose features are compared; always in eval mode, without gradients, in float32.

    A subclass sets the attributes below, defines :meth:`extract`, and calls :meth:`freeze` once it has its weights.

    Attributes:
        tag: what its Frechet distance is called in ``fid.csv`` and in TensorBoard, such as ``fid/digits``.
        name: short name of the network.
        weights_sha256: hash of its weights, hexadecimal.
        resize: how images are brought to the size that the network sees, in one line.
        num_features: length of a feature vector; torchmetrics reads it.
    """

    tag: str
    name: str
    weights_sha256: str
    resize: str
    num_features: int

    def extract(self, images: Tensor) -> Tensor:
        """(N, C, H, W) uint8 with 1 or 3 channels -> (N, num_features) float32."""
        raise NotImplementedError

    def caveat(self, channels: int) -> str:
        """What has to be known about its numbers on images with so many channels; empty where there is nothing."""
        return ""

    def freeze(self) -> None:
        """Stop training for good."""
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> "FeatureNetwork":
        """Stay in eval mode, whatever the network is part of."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """Features of images.

        Args:
            images: (N, C, H, W) uint8 in [0, 255], any height and width, on the network's device.

        Returns:
            (N, num_features) float32; computed in float32 under autocast too.

        Raises:
            TypeError: the images are not uint8.
            Refusal: they have neither one channel nor three.
        """
        if images.dtype != torch.uint8:
            raise TypeError(f"images have to be uint8 in [0, 255], not {images.dtype}")
        refuse_channels(self, images.shape[1])
        with full_float32(), torch.autocast(images.device.type, enabled=False):
            return self.extract(images)


def refuse_channels(features: FeatureNetwork, channels: int) -> None:
    """Refuse images that are neither grey nor RGB: no feature network of this package judges others."""
    if channels not in (1, 3):
        raise Refusal(
            "data.channels",
            channels,
            f"the feature network {features.name} ({features.tag}) judges images with 1 or 3 channels",
            "metrics=none, or images with 1 or 3 channels.",
        )


def resized(images: Tensor, size: int) -> Tensor:
    """Stored images as a feature network sees them: (N, C, H, W) uint8 -> (N, C, size, size) float32 in [-1, 1]."""
    floats = to_float(images)
    if floats.shape[-2:] == (size, size):
        return floats
    return interpolate(floats, size=(size, size), mode="bilinear", align_corners=False, antialias=True)
