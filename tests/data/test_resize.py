import numpy as np
import pytest
import torch
from PIL import Image

from dcgan_lightning.data import resize
from dcgan_lightning.data.resize import cover, fit, with_channels
from dcgan_lightning.errors import Refusal


def random_images(count, channels, side):
    return torch.randint(0, 256, (count, channels, side, side), dtype=torch.uint8)


@pytest.mark.parametrize("function", [fit, cover])
@pytest.mark.parametrize("size", [(1, 1), (28, 28), (32, 32), (64, 48), (48, 64), (20, 70)])
def test_shapes_and_the_identity(function, size):
    images = random_images(3, 1, 28)
    result = function(images, *size)
    assert (result.shape, result.dtype) == ((3, 1, *size), torch.uint8)
    assert size != (28, 28) or torch.equal(result, images)


def test_chunks_do_not_show(monkeypatch):
    images = random_images(10, 1, 28)
    whole = fit(images, 32, 32)
    monkeypatch.setattr(resize, "CHUNK", 3)
    assert torch.equal(fit(images, 32, 32), whole)


def test_as_pillow_scales():
    images = random_images(1, 1, 28)
    expected = np.asarray(Image.fromarray(images[0, 0].numpy()).resize((32, 32), Image.Resampling.BILINEAR))
    assert np.abs(fit(images, 32, 32)[0, 0].numpy().astype(int) - expected).max() <= 1


def test_fit_shows_all_and_cover_fills():
    images = torch.full((1, 1, 28, 28), 200, dtype=torch.uint8)
    fitted = fit(images, 64, 48)[0, 0]
    assert (fitted[8:56] == 200).all()
    assert (fitted[:8] == 0).all()
    assert (fitted[56:] == 0).all()
    assert (cover(images, 64, 48) == 200).all()


def test_channels():
    grey = random_images(2, 1, 8)
    assert torch.equal(with_channels(grey, 3), torch.cat([grey, grey, grey], 1))
    assert with_channels(grey, 1) is grey
    colour = random_images(2, 3, 8)
    luma = np.asarray(Image.fromarray(colour[0].permute(1, 2, 0).numpy()).convert("L"))
    assert np.array_equal(with_channels(colour, 1)[0, 0], luma)


def test_more_than_the_memory_is_refused(monkeypatch):
    def out_of_memory(*args, **kwargs):
        raise RuntimeError("can't allocate memory")

    images = random_images(1, 1, 28)
    monkeypatch.setattr(resize.torch, "empty", out_of_memory)
    with pytest.raises(Refusal, match=r"data\.image_size"):
        fit(images, 32, 32)


def test_more_than_is_free_is_not_even_tried(monkeypatch):
    monkeypatch.setattr(resize, "free_memory", lambda: 4 * 32 * 32 - 1)
    with pytest.raises(Refusal, match=r"data\.image_size"):
        fit(random_images(4, 1, 28), 32, 32)
    monkeypatch.setattr(resize, "free_memory", lambda: 4 * 32 * 32)
    assert fit(random_images(4, 1, 28), 32, 32).shape == (4, 1, 32, 32)
