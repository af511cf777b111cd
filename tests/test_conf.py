"""Every config under conf/ composes and makes what it names; a new one is covered by being there."""

import inspect
from pathlib import Path

import pytest
from hydra.utils import get_object
from omegaconf import DictConfig

from dcgan_lightning import GANModule
from dcgan_lightning.networks import describe, rebuild
from dcgan_lightning.options import check_options
from tests.support import CONF, composed, composed_module

CHOICES = [(path.parent.name, path.stem) for path in sorted(CONF.glob("*/*.yaml")) if path.parent.name != "experiment"]
EXPERIMENTS = [path.stem for path in sorted(CONF.glob("experiment/*.yaml"))]
MODELS = [name for group, name in CHOICES if group == "model"]
DATA = [name for group, name in CHOICES if group == "data"]


@pytest.mark.parametrize(("group", "name"), CHOICES)
def test_every_choice_composes_and_passes_the_check_of_options(group, name):
    root = ["data.root=somewhere"] if name == "image_folder" else []
    cfg = composed(f"{group}={name}", "run_dir=somewhere", *root)
    check_options(cfg)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_composes(name):
    check_options(composed(f"experiment={name}", "run_dir=somewhere"))


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("data", DATA)
def test_the_model_node_makes_a_whole_gan_by_itself(model, data):
    # 96 pixels is a size that all can make.
    narrow = ("model.generator.width=2", "model.discriminator.width=2")
    module = composed_module(f"model={model}", f"data={data}", "data.image_size=96", *narrow)
    assert isinstance(module, GANModule)
    for role, network in (("Generator", module.generator), ("Discriminator", module.discriminator)):
        rebuilt = rebuild(describe(network), role)
        rebuilt.load_state_dict(network.state_dict(), strict=True)


def own_targets(node):
    """Every target of this package in a config."""
    if isinstance(node, DictConfig):
        if str(node.get("_target_")).startswith("dcgan_lightning"):
            yield get_object(node._target_)
        for name in node:
            child = node._get_node(name)
            if isinstance(child, DictConfig) and not child._is_interpolation():
                yield from own_targets(child)


@pytest.mark.parametrize(("group", "name"), CHOICES)
def test_defaults_live_in_conf_alone(group, name):
    for target in own_targets(composed(f"{group}={name}")):
        defaults = [p.name for p in inspect.signature(target).parameters.values() if p.default is not p.empty]
        assert defaults == [], f"{target.__name__} brings defaults of its own"


def test_the_primary_configs_are_these():
    assert sorted(path.name for path in Path(CONF).glob("*.yaml")) == [
        "diagnose.yaml",
        "generate.yaml",
        "rebuild.yaml",
        "train.yaml",
    ]
