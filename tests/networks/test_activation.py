"""What a generator ends in."""

import pytest
import torch
from torch import nn

from dcgan_lightning.networks import families, find_family
from dcgan_lightning.networks.activation import Tanh


@pytest.mark.parametrize("family", families())
def test_images_that_are_flat_still_give_g_a_gradient_in_bfloat16(family):
    extra = {"batch_norm": False} if family == "guide" else {}
    generator = find_family(family).Generator(image_size=48, channels=1, latent_dim=3, width=4, **extra)
    *_, last = (module for module in generator.modules() if isinstance(module, nn.Tanh))
    x = torch.full((8,), -5.0, dtype=torch.bfloat16, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        y = last(x)
        y.sum().backward()
    assert y.dtype == torch.float32
    torch.testing.assert_close(x.grad.float(), 1 - torch.tanh(x.detach().float()) ** 2, rtol=1e-2, atol=0)
    assert (x.grad > 0).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_at_full_precision_it_is_the_same_as_ever(dtype):
    x = torch.linspace(-4, 4, 9, dtype=dtype)
    assert torch.equal(Tanh()(x), torch.tanh(x))
