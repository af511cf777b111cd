"""The Trainer as the project sets it up."""

import pytest
from lightning.pytorch.strategies import DDPStrategy, SingleDeviceStrategy

from dcgan_lightning.errors import Refusal
from dcgan_lightning.machine import cores
from dcgan_lightning.trainer import count_devices
from tests.support import trainer


@pytest.mark.parametrize(
    ("devices", "count"),
    [(1, 1), ("1", 1), ("auto", 1), (cores(), cores()), (str(cores()), cores())],
)
def test_devices_are_counted_as_lightning_counts_them(tmp_path, devices, count):
    assert count_devices("cpu", devices) == count
    assert trainer(tmp_path, 1, devices=devices).num_devices == count


@pytest.mark.parametrize("devices", [0, -1, [0], cores() + 1, str(cores() + 1), "many", list(range(cores() + 1))])
def test_more_devices_than_there_are_cores_are_refused(devices):
    with pytest.raises(Refusal, match=f"trainer.devices.*finds {cores()} CPU core"):
        count_devices("cpu", devices)


def test_one_device_pays_nothing_for_several(tmp_path):
    assert isinstance(trainer(tmp_path, 1).strategy, SingleDeviceStrategy)


@pytest.mark.skipif(cores() < 2, reason="needs two cores")
def test_several_devices_bear_parameters_that_one_update_leaves_unused(tmp_path):
    strategy = trainer(tmp_path, 1, devices=2).strategy
    assert isinstance(strategy, DDPStrategy)
    assert strategy._ddp_kwargs["find_unused_parameters"] is True


@pytest.mark.parametrize(
    ("given", "fraction", "max_steps", "max_epochs"),
    [  # of 50 batches an epoch
        ({"max_steps": 450}, 0.1, 45, -1),
        ({"max_steps": None, "max_epochs": 1400}, 0.02, 1400, -1),
        ({"max_steps": None, "max_epochs": 5}, 0.01, 2, -1),
        ({"max_steps": None, "default_epochs": 24}, 0.25, 300, -1),
        ({"max_steps": 100, "max_epochs": 5}, 0.001, 1, -1),
        ({"max_steps": 1000, "max_epochs": 5}, 0.1, 25, -1),
        ({"max_steps": 7, "max_epochs": 3}, 1, 7, 3),
    ],
)
def test_a_fraction_shortens_every_length(tmp_path, given, fraction, max_steps, max_epochs):
    made = trainer(tmp_path, **given, fraction=fraction, batches=50)
    assert (made.max_steps, made.max_epochs) == (max_steps, max_epochs)
