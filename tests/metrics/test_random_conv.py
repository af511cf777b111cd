import hashlib

import numpy as np
import pytest
import torch

from dcgan_lightning.errors import Refusal
from dcgan_lightning.metrics import random_conv
from dcgan_lightning.metrics.random_conv import RandomConvFeatures, refuse_other_weights, stage_weights


def test_the_weights_have_the_recorded_hash():
    data = b"".join(parameter.numpy().tobytes() for parameter in RandomConvFeatures().parameters())
    assert hashlib.sha256(data).hexdigest() == RandomConvFeatures.weights_sha256


def test_other_weights_are_refused():
    weights = [stage_weights(stage) for stage in range(len(random_conv.STAGES))]
    weights[2][0, 0, 0, 0] += 1e-6
    with pytest.raises(Refusal, match=f"sha256 should be {random_conv.WEIGHTS_SHA256}"):
        refuse_other_weights(weights)


@pytest.mark.parametrize("stage", range(4))
def test_weights_are_scaled_to_keep_the_activations(stage):
    weights = stage_weights(stage)
    fan_in = weights[0].numel()
    assert float(weights.var()) == pytest.approx(2 / fan_in, rel=0.1)


def test_activations_neither_vanish_nor_explode_on_pictures():
    rng = np.random.default_rng(0)
    smooth = np.kron(rng.integers(0, 256, (16, 3, 8, 8)), np.ones((8, 8))).astype(np.uint8)
    x = torch.from_numpy(smooth).float() / 127.5 - 1
    for stage in RandomConvFeatures().stages:
        x = stage(x).relu()
        assert 0.1 < float(x.square().mean().sqrt()) < 3


def test_it_says_that_it_compares_only_with_itself():
    assert "only with other values of this tag" in RandomConvFeatures().caveat(3)
