"""Every file of conf/data composes, instantiates by itself, and has the defaults in one place."""

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.errors import ConfigCompositionException
from hydra.utils import instantiate

from dcgan_lightning.data import ImageDataModule

CONF = Path(__file__).parents[2] / "conf"
NAMES = sorted(path.stem for path in (CONF / "data").glob("*.yaml"))
METRICS = {"mnist_mini": "fid_digits", "mnist": "fid_digits", "fashion_mnist": "fid_random"}


@pytest.fixture
def composed(tmp_path):
    """Composes conf/data/ in the least of surroundings."""
    (tmp_path / "metrics").mkdir()
    for name in ("none", "fid_digits", "fid_random", "fid_inception"):
        (tmp_path / "metrics" / f"{name}.yaml").write_text(f"name: {name}\n")
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "plain.yaml").write_text(
        "# @package _global_\ndefaults:\n  - override /metrics: none\ndata:\n  batch_size: 7\n"
    )
    (tmp_path / "probe.yaml").write_text(
        "defaults:\n  - metrics: none\n  - data: mnist_mini\n  - experiment: null\n  - _self_\n"
        f"seed: 5\ntrainer: {{}}\nhydra:\n  searchpath: ['file://{CONF}']\n"
    )

    def compose_with(*overrides):
        return compose("probe", list(overrides))

    with initialize_config_dir(str(tmp_path), version_base=None):
        yield compose_with


def test_all_data_sets_are_there():
    assert NAMES == ["celeba", "cifar10", "fashion_mnist", "image_folder", "mnist", "mnist_mini"]


@pytest.mark.parametrize("name", NAMES)
def test_the_data_node_instantiates_by_itself(composed, name, tmp_path):
    config = composed(f"data={name}", f"data.cache_dir={tmp_path}")
    module = instantiate(config.data)
    assert isinstance(module, ImageDataModule)
    assert (module.seed, module.cache_dir, module.channels) == (5, tmp_path, config.data.channels)
    assert config.metrics.name == METRICS.get(name, "fid_inception")
    assert config.trainer.default_epochs > 0


@pytest.mark.parametrize("name", NAMES)
def test_every_option_says_what_it_means(name):
    for path in (CONF / "data" / f"{name}.yaml", CONF / "data" / "base" / "images.yaml"):
        lines = path.read_text().split("data:\n")[-1].splitlines()
        options = [line for line in lines if ": " in line and "_target_" not in line and "variant" not in line]
        assert options
        assert all(" # " in line for line in options if not line.startswith("#"))


def test_lists_from_the_command_line(composed, tmp_path):
    config = composed("data.image_size=[64,48]", "data.digit=[3,8]", f"data.cache_dir={tmp_path}")
    module = instantiate(config.data)
    assert (module.height, module.width, module.classes) == (64, 48, [3, 8])


def test_an_experiment_and_the_command_line_win_over_the_data_set(composed):
    config = composed("data=cifar10", "experiment=plain")
    assert (config.metrics.name, config.data.batch_size) == ("none", 7)
    config = composed("data=cifar10", "experiment=plain", "metrics=fid_random", "data.batch_size=8")
    assert (config.metrics.name, config.data.batch_size) == ("fid_random", 8)


def test_an_unknown_option_is_refused(composed):
    with pytest.raises(ConfigCompositionException, match="batchsize"):
        composed("data.batchsize=3")
