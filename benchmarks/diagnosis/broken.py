"""What breaks a GAN on purpose: networks changed in place as they get their weights, wrong labels; and another loss."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, relu

from dcgan_lightning.losses import BCE
from dcgan_lightning.networks.init import dcgan_normal, keras_normal
from dcgan_lightning.noise import sample_latents
from dcgan_lightning.sampling import sample_images

IMAGES = 500


def with_kernels_of(network: nn.Module, std: float, size: int) -> None:
    """Give the guide's layers of stride 2 kernels of another size (odd), and the guide's initial weights."""
    for name, layer in list(network.named_modules()):
        if not isinstance(layer, nn.Conv2d | nn.ConvTranspose2d) or layer.stride != (2, 2):
            continue
        padding = (size - 1) // 2  # with which a convolution halves an even side, and a transposed one doubles it
        channels = layer.in_channels, layer.out_channels
        if isinstance(layer, nn.ConvTranspose2d):
            other: nn.Module = nn.ConvTranspose2d(*channels, size, 2, padding, output_padding=1)
        else:
            other = nn.Conv2d(*channels, size, 2, padding)
        _put(network, name, other)
    keras_normal(network, std)


def without_batch_norm(network: nn.Module, std: float) -> None:
    """Leave out every BatchNorm of a DCGAN; all else gets its initial weights as ever."""
    for name, layer in list(network.named_modules()):
        if isinstance(layer, nn.BatchNorm2d):
            _put(network, name, nn.Identity())
    dcgan_normal(network, std)


def _put(network: nn.Module, name: str, layer: nn.Module) -> None:
    parent, _, child = name.rpartition(".")
    setattr(network.get_submodule(parent), child, layer)


class WrongLabels(BCE):
    """BCE with a part of D's labels the wrong way round, drawn anew for each image.

    Args:
        share: of the labels that are wrong, in [0, 1]; 0.5 leaves nothing to learn.
        seed: of the draws.
    """

    def __init__(self, share: float, seed: int) -> None:
        self.share, self._draws = share, torch.Generator().manual_seed(seed)

    def d_real(self, real_logits: Tensor) -> Tensor:
        return self._labelled(real_logits, 1.0)

    def d_fake(self, fake_logits: Tensor) -> Tensor:
        return self._labelled(fake_logits, 0.0)

    def g(self, fake_logits: Tensor) -> Tensor:
        return super().d_real(fake_logits)

    def _labelled(self, logits: Tensor, label: float) -> Tensor:
        wrong = torch.rand(len(logits), generator=self._draws).to(logits.device) < self.share
        return binary_cross_entropy_with_logits(logits, (label - wrong.to(logits)).abs())


class Hinge:
    """The hinge loss: D is to say at least 1 to real images and at most -1 to fakes, G to have D say as much as it can.

    Lim and Ye, "Geometric GAN", 2017; Miyato et al., "Spectral normalization", 2018, equations 16 and 17.
    """

    def d_real(self, real_logits: Tensor) -> Tensor:
        return relu(1 - real_logits).mean()

    def d_fake(self, fake_logits: Tensor) -> Tensor:
        return relu(1 + fake_logits).mean()

    def g(self, fake_logits: Tensor) -> Tensor:
        return -fake_logits.mean()


class Ending(Callback):
    """Keeps images of G's end, ``ending.npy``, and as many real ones, ``real.npy``: (500, C, H, W) uint8 each."""

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        module: Any = pl_module
        z = sample_latents(0, "ending", 0, IMAGES, module.generator.latent_dim)
        folder = Path(trainer.default_root_dir)
        np.save(folder / "ending.npy", sample_images(module.generator, z).cpu().numpy())
        np.save(folder / "real.npy", trainer.datamodule.real_images(IMAGES).numpy())  # type: ignore[attr-defined]
