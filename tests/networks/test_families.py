"""The networks of the MLP GAN, the anime faces and the guide: sizes, and weights that tell the architecture."""

import pytest
import torch

from dcgan_lightning.errors import Refusal
from dcgan_lightning.networks import anime, guide, mlp
from dcgan_lightning.networks.anime import thirds
from dcgan_lightning.networks.guide import core

FAMILIES = {
    "mlp": (mlp, {}),
    "anime": (anime, {}),
    "guide": (guide, {"batch_norm": False}),
    "guide with BatchNorm": (guide, {"batch_norm": True}),
}


def made(family, image_size, channels):
    module, more = FAMILIES[family]
    generator = module.Generator(image_size=image_size, channels=channels, latent_dim=3, width=4, **more)
    return generator, module.Discriminator(image_size=image_size, channels=channels, width=6, **more)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("image_size", [48, 96, [48, 96]], ids=str)
def test_every_size_trains_end_to_end(family, image_size, channels):
    generator, discriminator = made(family, image_size, channels)
    height, width = [image_size] * 2 if isinstance(image_size, int) else image_size
    images = generator(torch.randn(2, 3))
    assert images.shape == (2, channels, height, width)
    assert images.abs().max() <= 1
    logits = discriminator(images)
    assert logits.shape == (2,)
    logits.sum().backward()
    assert all(parameter.grad is not None for parameter in (*generator.parameters(), *discriminator.parameters()))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("channels", [1, 3])
def test_shapes_in_a_state_dict_tell_the_architecture_whatever_their_order(family, channels):
    for network in made(family, 48, channels):
        weights = dict(reversed(network.state_dict().items()))
        again = type(network).from_state_dict(weights)
        again.load_state_dict(weights, strict=True)
        sizes = {"image_size": 48} if family != "anime" else {"image_size": [48, 48]}
        assert again.config == network.config | sizes


@pytest.mark.parametrize("family", FAMILIES)
def test_a_state_dict_of_something_else_is_refused(family):
    for network in made(family, 48, 1):
        with pytest.raises(Refusal, match="state dict"):
            type(network).from_state_dict({"fc.weight": torch.zeros(3, 3)})


def test_sizes_that_cannot_be_made_are_refused():
    for image_size in (32, 64, [96, 64], 27):
        with pytest.raises(Refusal, match=r"data\.image_size"):
            thirds(image_size)
    for image_size in (30, [28, 27], 0):
        with pytest.raises(Refusal, match=r"data\.image_size"):
            core(image_size)
