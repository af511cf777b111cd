"""Whether two networks fit each other, their options, and the images."""

import torch
from torch import nn

from dcgan_lightning.errors import Refusal
from dcgan_lightning.networks import Network
from dcgan_lightning.sampling import eval_mode


def refuse_other_norm(networks: nn.Module, batch_norm: bool) -> None:
    """Refuse networks that cannot do with or without BatchNorm as asked."""
    there_is = any(isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d) for module in networks.modules())
    if there_is != batch_norm:
        problem = f"these networks {'have' if there_is else 'do not have'} BatchNorm; only model=guide leaves a choice"
        raise Refusal("model.batch_norm", batch_norm, problem, f"model.batch_norm={str(there_is).lower()}")


def refuse_other_images(generator: Network, discriminator: Network, shape: torch.Size, smallest_batch: int) -> None:
    """Refuse networks that do not fit each other, or images (C, H, W) that do not fit, by shape or by number."""
    layers = (layer for network in (generator, discriminator) for layer in network.modules())
    if smallest_batch == 1 and any(isinstance(layer, nn.BatchNorm1d) for layer in layers):
        problem = "leaves one image for the last batch of an epoch, of which BatchNorm1d has no variance"
        raise Refusal("data.batch_size", "...", problem, "data.drop_last=true, or another data.batch_size")
    with torch.no_grad(), eval_mode(generator), eval_mode(discriminator):
        made = generator(torch.zeros(2, generator.latent_dim))  # (2, C, H, W)
        try:
            fit_each_other = discriminator(made).shape == (2,)
        except RuntimeError:  # a view or a convolution of shapes that do not agree
            fit_each_other = False
    if made.shape[1:] != shape or not fit_each_other:
        raise Refusal(
            "model",
            type(generator).__module__.rpartition(".")[2],
            f"images are {list(shape)} (channels, height, width), G makes {list(made.shape[1:])}, "
            f"and D {'takes those' if fit_each_other else 'takes others'}; all three have to agree",
            "leave image_size and channels of both networks to the data: data.image_size, data.channels",
        )
