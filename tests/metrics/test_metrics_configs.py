"""Every file in conf/metrics is covered by being there."""

from pathlib import Path

import pytest
from hydra.utils import get_class, instantiate
from omegaconf import OmegaConf

from dcgan_lightning.metrics.features import FeatureNetwork

TAGS = {"none": None, "fid_digits": "fid/digits", "fid_inception": "fid/inception", "fid_random": "fid/random_conv"}
CONFIGS = sorted((Path(__file__).parents[2] / "conf" / "metrics").glob("*.yaml"))


def test_there_are_configs():
    assert {path.stem for path in CONFIGS} == set(TAGS)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_config_names_its_network_and_its_tag(path):
    config = OmegaConf.load(path)
    assert list(config) == ["features", "num_samples", "every"]
    tag = TAGS[path.stem]
    if tag is None:
        assert config.features is None
        return
    network = get_class(config.features._target_)
    assert config.num_samples > network.num_features  # fewer could not span the features
    assert issubclass(network, FeatureNetwork)
    assert network.tag == tag
    assert network.name
    assert network.resize
    if "weights_path" not in config.features:  # weights that come with the package
        assert instantiate(config).features.weights_sha256
