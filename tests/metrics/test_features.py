import numpy as np
import pytest
import torch

from dcgan_lightning.errors import Refusal
from dcgan_lightning.metrics.digits import DigitFeatures
from dcgan_lightning.metrics.random_conv import RandomConvFeatures
from dcgan_lightning.sampling import full_float32

NETWORKS = [DigitFeatures, RandomConvFeatures]


def images(n: int, channels: int, height: int, width: int) -> torch.Tensor:
    rng = np.random.default_rng(0)
    return torch.from_numpy(rng.integers(0, 256, (n, channels, height, width), dtype=np.uint8))


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("size", [(28, 28), (64, 48), (128, 128)])
@pytest.mark.parametrize("channels", [1, 3])
def test_features_have_their_length_at_every_size(network, size, channels):
    features = network()(images(2, channels, *size))
    assert features.shape == (2, network.num_features)
    assert features.dtype == torch.float32
    assert features.isfinite().all()


@pytest.mark.parametrize("network", NETWORKS)
def test_grey_and_the_same_grey_in_three_channels_have_the_same_features(network):
    features, grey = network(), images(4, 1, 32, 32)
    torch.testing.assert_close(features(grey), features(grey.repeat(1, 3, 1, 1)), rtol=0, atol=1e-5)


@pytest.mark.parametrize("network", NETWORKS)
def test_a_network_never_trains(network):
    features = network().train()
    assert not any(module.training for module in features.modules())
    assert not any(parameter.requires_grad for parameter in features.parameters())
    assert not features(images(2, 1, 28, 28)).requires_grad


@pytest.mark.parametrize("network", NETWORKS)
def test_building_a_network_leaves_the_random_state_alone(network):
    before = torch.get_rng_state()
    network()
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("network", NETWORKS)
def test_autocast_changes_nothing(network):
    features, x = network(), images(4, 1, 32, 32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        under_autocast = features(x)
    assert torch.equal(under_autocast, features(x))


@pytest.mark.parametrize("network", NETWORKS)
def test_images_that_cannot_be_judged_are_refused(network):
    with pytest.raises(Refusal, match=r"data\.channels=4: .*1 or 3 channels"):
        network()(images(2, 4, 28, 28))
    with pytest.raises(TypeError, match="uint8"):
        network()(torch.zeros(2, 1, 28, 28))


def test_full_float32_is_left_as_it_was_found_also_after_an_exception():
    conv, matmul = torch.backends.cudnn.conv, torch.backends.cuda.matmul
    before = conv.fp32_precision, matmul.fp32_precision
    with full_float32():
        assert (conv.fp32_precision, matmul.fp32_precision) == ("ieee", "ieee")
    assert (conv.fp32_precision, matmul.fp32_precision) == before
    with pytest.raises(KeyError), full_float32():
        raise KeyError
    assert (conv.fp32_precision, matmul.fp32_precision) == before
