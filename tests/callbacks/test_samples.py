"""samples.csv: its rows, what they equal, and that training does not notice."""

import csv

import pytest
import torch

from dcgan_lightning.callbacks.samples import COLUMNS, Samples, gradient_norm
from dcgan_lightning.metrics.digits import DigitFeatures
from dcgan_lightning.metrics.sample_statistics import features_and_entropy, gap, mean_distance, spread
from dcgan_lightning.networks.dcgan import Discriminator, Generator
from dcgan_lightning.noise import sample_latents
from dcgan_lightning.sampling import sample_images
from tests.conftest import assert_refused
from tests.support import Images, gan, some_images, trainer


def networks():
    torch.manual_seed(0)
    return Generator(28, 1, 5, 4), Discriminator(28, 1, 4)


def fit(folder, iterations, *callbacks):
    module, data = gan(*networks()), Images(some_images(48), 8, folder / "cache")
    trainer(folder, iterations, callbacks).fit(module, datamodule=data)
    return module, data


def rows(folder):
    with (folder / "samples.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_row_comes_every_so_many_iterations_and_none_at_an_end_between(tmp_path):
    fit(tmp_path, 5, Samples(DigitFeatures(), 2, 6, 0))
    assert [row["iteration"] for row in rows(tmp_path)] == ["2", "4"]
    assert tuple(rows(tmp_path)[0]) == COLUMNS


def test_the_numbers_are_those_of_the_generator_by_then(tmp_path):
    module, data = fit(tmp_path, 4, Samples(DigitFeatures(), 4, 6, 3))
    (row,) = rows(tmp_path)
    network = DigitFeatures()
    fake, entropy = features_and_entropy(
        network, sample_images(module.generator, sample_latents(3, "samples", 0, 6, 5))
    )
    real, entropy_real = features_and_entropy(network, data.real_images(24))
    expected = {
        "grad_norm_d": gradient_norm(module.discriminator),
        "grad_norm_g": gradient_norm(module.generator),
        "diversity": spread(fake, None).diversity,
        "nearest": spread(fake, None).nearest,
        "diversity_real": spread(real.unflatten(0, (4, 6)), None).diversity,
        "nearest_real": spread(real.unflatten(0, (4, 6)), None).nearest,
        "gap": gap(fake, real, mean_distance(real)),
        "entropy": entropy,
        "entropy_real": entropy_real,
    }
    assert {name: float(row[name]) for name in expected} == pytest.approx(expected, rel=1e-5)


def test_a_gradients_norm_is_that_of_all_as_one_vector():
    network = Discriminator(28, 1, 4)
    assert gradient_norm(network) is None
    network(torch.zeros(2, 1, 28, 28)).sum().backward()
    together = torch.cat([parameter.grad.flatten() for parameter in network.parameters()])
    assert gradient_norm(network) == pytest.approx(float(together.norm()), rel=1e-5)


def test_training_is_the_same_without_it(tmp_path):
    with_it, _ = fit(tmp_path / "with", 4, Samples(DigitFeatures(), 1, 6, 0))
    without, _ = fit(tmp_path / "without", 4)
    for (name, one), other in zip(with_it.state_dict().items(), without.state_dict().values(), strict=True):
        assert torch.equal(one, other), name


@pytest.mark.parametrize(("option", "value"), [("every", 0), ("num_samples", 1)])
def test_options_that_cannot_work_are_refused(command, option, value):
    assert_refused(command.tiny(f"callbacks.samples.{option}={value}"), f"callbacks.samples.{option}={value}")
