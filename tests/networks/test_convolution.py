"""Convolutions as matrix products give what PyTorch's own give."""

import pytest
import torch
from torch import nn

from dcgan_lightning.networks import convolution
from dcgan_lightning.networks.convolution import Conv2d, ConvTranspose2d, as_products
from tests.support import composed_module

# Layer, its arguments, the images it is given: those of all families, with one map, three, and many.
LAYERS = [
    *((Conv2d, (maps, 20, 4, 2, 1), (5, maps, 16, 12)) for maps in (1, 3, 18)),
    *((Conv2d, (maps, 20, 5, 3, 1), (5, maps, 24, 12)) for maps in (1, 3, 18)),
    *((ConvTranspose2d, (20, maps, 4, 2, 1), (5, 20, 8, 6)) for maps in (1, 3, 18)),
    *((ConvTranspose2d, (20, maps, 5, 3, 1), (5, 20, 8, 4)) for maps in (1, 3, 18)),
    *((Conv2d, (18, maps, 7, 1, 3), (5, 18, 12, 9)) for maps in (1, 3, 20)),
    (Conv2d, (18, 1, (4, 3)), (5, 18, 4, 3)),  # D's last
    (ConvTranspose2d, (18, 20, (4, 3)), (5, 18, 1, 1)),  # G's first
]


@pytest.fixture(params=["AVX512-BF16", "AMX", ""])
def instructions(request, monkeypatch):
    """Every processor's ways, on this one."""
    monkeypatch.setattr(convolution, "bf16_instructions", lambda: request.param)
    return request.param


def pair(kind, arguments, bias, dtype):
    """A layer that computes as PyTorch does, and one with the same weights that computes as products."""
    torch.manual_seed(0)
    layers = [kind(*arguments, bias=bias).to(dtype).to(memory_format=torch.channels_last) for _ in range(2)]
    layers[1].load_state_dict(layers[0].state_dict())
    as_products(layers[1], True)
    return layers


def results(layer, images, autocast=False):
    """Images and, of a fixed gradient of theirs, the gradients of input, kernel and bias."""
    x = images.clone().requires_grad_()
    layer.zero_grad()
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        y = layer(x)
    y.backward(torch.randn(y.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64).to(y.dtype))
    return [y.detach(), x.grad, *(parameter.grad for parameter in layer.parameters())]


def images_for(shape, dtype=torch.float64):
    images = torch.randn(shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    return images.to(dtype).contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(("kind", "arguments", "shape"), LAYERS)
def test_the_same_in_float64(kind, arguments, shape, bias):
    plain, products = pair(kind, arguments, bias, torch.float64)
    for expected, found in zip(*(results(layer, images_for(shape)) for layer in (plain, products)), strict=True):
        # Some thousand terms in another order: a few units in the last place of the largest.
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-13 * float(expected.abs().max()))


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(("kind", "arguments", "shape"), LAYERS)
def test_autocast_rounds_no_more_than_bfloat16_does(kind, arguments, shape, bias, instructions):
    plain, products = pair(kind, arguments, bias, torch.float32)
    with torch.no_grad():  # weights and images that bfloat16 holds, so that only results are rounded
        for layer in (plain, products):
            for parameter in layer.parameters():
                parameter.copy_(parameter.bfloat16())
    images = images_for(shape, torch.bfloat16)
    exact = results(plain.double(), images.double())
    found = results(products, images.float(), autocast=True)
    assert found[0].dtype == torch.bfloat16
    assert [value.dtype for value in found[1:]] == [torch.float32] * (len(found) - 1)
    for expected, value in zip(exact, found, strict=True):
        # A result is rounded to 8 bits (2**-9 of itself), and so are the up to 49 taps that it is summed from, none of
        # which is much larger than the largest result: their errors add up like a random walk, 7 * 2**-9.
        torch.testing.assert_close(value.double(), expected, rtol=2**-8, atol=2**-7 * float(expected.abs().max()))


@pytest.mark.parametrize(("kind", "arguments", "shape"), LAYERS)
def test_gradients_have_gradients(kind, arguments, shape):
    _, layer = pair(kind, arguments, True, torch.float64)
    x = images_for((2, *shape[1:])).requires_grad_()
    assert torch.autograd.gradcheck(layer, x, fast_mode=True)
    assert torch.autograd.gradgradcheck(layer, x, fast_mode=True)


@pytest.mark.parametrize("model", ["dcgan_small", "guide", "anime"])
def test_only_channels_last_computes_as_products(model):
    size = {"anime": 96, "guide": 28}.get(model, 32)
    for channels_last in (True, False):
        module = composed_module(f"model={model}", f"data.image_size={size}", f"model.channels_last={channels_last}")
        chosen = [layer.as_products for layer in module.modules() if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)]
        assert len(chosen) >= 5
        assert set(chosen) == {channels_last}


def test_what_is_computed_as_pytorch_does_is_bitwise_that():
    torch.manual_seed(0)
    for kind, plain in ((Conv2d, nn.Conv2d), (ConvTranspose2d, nn.ConvTranspose2d)):
        ours, theirs = kind(6, 3, 4, 2, 1), plain(6, 3, 4, 2, 1)
        theirs.load_state_dict(ours.state_dict())
        x = torch.randn(4, 6, 8, 8)
        for found, expected in zip(results(ours, x), results(theirs, x), strict=True):
            assert torch.equal(found, expected)
