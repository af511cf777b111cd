"""Which tensors have NaN or infinity in them."""

import math

import pytest
import torch
from torch import nn

from dcgan_lightning.finite import first_not_finite, floats_of, not_finite


def network():
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Linear(4, 4))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", ["0.weight", "0.bias", "1.running_mean", "1.running_var", "2.weight"])
def test_the_first_place_is_named(name, dtype, value):
    module = network().to(dtype)
    assert first_not_finite(module) is None
    module.state_dict()[name].flatten()[-1] = value
    module.state_dict()["2.bias"][0] = math.nan  # the last
    assert first_not_finite(module) == name
    assert first_not_finite(module.state_dict()) == name


def test_the_largest_and_smallest_numbers_are_numbers():
    for dtype in (torch.float64, torch.float32, torch.float16):
        edge = torch.finfo(dtype)
        tensors = [torch.full((1000,), value, dtype=dtype) for value in (edge.max, edge.min, edge.tiny)]
        assert not_finite([*tensors, torch.empty(0)]).tolist() == [False] * 4


def test_whole_numbers_and_networks_without_any_are_left_out():
    assert "1.num_batches_tracked" not in floats_of(network())
    assert first_not_finite(nn.ReLU()) is None


def test_tensors_of_several_types_and_memory_formats():
    channels_last = torch.zeros(2, 3, 4, 4).to(memory_format=torch.channels_last)
    bad = torch.zeros(2, 3, 4, 4).to(memory_format=torch.channels_last)
    bad[1, 2, 3, 3] = math.nan
    tensors = [torch.full((1,), 1e300, dtype=torch.float64), channels_last, torch.zeros(2, dtype=torch.float16), bad]
    assert not_finite(tensors).tolist() == [False, False, False, True]
