import pytest
import torch

from dcgan_lightning.images import to_float, to_uint8

LEVELS = torch.arange(256, dtype=torch.uint8)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_every_grey_level_survives_both_ways(dtype):
    images = to_float(LEVELS, dtype)
    assert images.dtype == dtype
    assert (images[0], images[-1]) == (-1, 1)
    torch.testing.assert_close(images, LEVELS.to(dtype) / 127.5 - 1)
    assert torch.equal(to_uint8(images), LEVELS)


def test_out_of_range_is_clipped_and_the_nearest_level_is_taken():
    step = 2 / 255
    images = torch.tensor([-3.0, -1 + 0.4 * step, -1 + 0.6 * step, 1 - 0.4 * step, 7.0])
    assert to_uint8(images).tolist() == [0, 0, 1, 255, 255]


def test_floats_are_refused_since_their_range_is_unknown():
    with pytest.raises(TypeError, match="uint8"):
        to_float(torch.rand(3))
