"""The symmetric form of the distance against torchmetrics' own, and against a closed form."""

import numpy as np
import pytest
import torch
from torchmetrics.image.fid import FrechetInceptionDistance

from dcgan_lightning.metrics.features import FeatureNetwork
from dcgan_lightning.metrics.frechet import FrechetDistance
from dcgan_lightning.metrics.statistics import FeatureSums

F = 24


class Pixels(FeatureNetwork):
    """Features that are the pixels, each scaled by itself."""

    num_features = F

    def __init__(self):
        super().__init__()
        self.register_buffer("scale", torch.linspace(0.5, 3, F))

    def extract(self, images):
        return images.flatten(1).float() * self.scale


def images(n, seed, spread=40):
    pixels = np.random.default_rng(seed).normal(100 + 5 * seed, spread, (n, 1, 4, 6))
    return torch.from_numpy(pixels.clip(0, 255).astype(np.uint8))


def sums(metric):
    return FeatureSums(metric.real_features_sum, metric.real_features_cov_sum, metric.real_features_num_samples)


def of(metric, real, fake):
    for x in real.split(70):
        metric.update(x, real=True)
    for x in fake.split(70):
        metric.update(x, real=False)
    return metric


def test_the_value_is_torchmetrics_within_its_float32():
    pair = images(400, 0), images(300, 1, spread=25)
    ours, theirs = (
        of(FrechetDistance(Pixels()), *pair).compute(),
        of(FrechetInceptionDistance(Pixels()), *pair).compute(),
    )
    assert ours.dtype == torch.float64
    assert float(ours) == pytest.approx(float(theirs), rel=1e-6)  # theirs is rounded to float32, 6e-8


def test_gaussians_with_diagonal_covariances_have_the_closed_form():
    """Sum of the squared differences of means and of standard deviations."""
    n, rng = 1000, np.random.default_rng(0)
    (mean_r, mean_f), (std_r, std_f) = rng.normal(0, 3, (2, F)), rng.uniform(0.1, 5, (2, F))

    def sums_of(mean, std):
        outer = (n - 1) * np.diag(std**2) + n * np.outer(mean, mean)
        return torch.from_numpy(n * mean), torch.from_numpy(outer), torch.tensor(n)

    metric = FrechetDistance(Pixels())
    metric.set_real(FeatureSums(*sums_of(mean_r, std_r)))
    metric.update(images(2, 0), real=False)  # torchmetrics warns where nothing was added
    fake = sums_of(mean_f, std_f)
    metric.fake_features_sum, metric.fake_features_cov_sum, metric.fake_features_num_samples = fake
    expected = ((mean_r - mean_f) ** 2).sum() + ((std_r - std_f) ** 2).sum()
    assert float(metric.compute()) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("n", [400, 10])
def test_a_set_has_no_distance_from_itself(n):
    """Also fewer images than features. Eigenvalues are rounded by 1e-16 of the largest, their roots by 1e-8."""
    same = images(n, 0)
    metric = of(FrechetDistance(Pixels()), same, same)
    variance = (Pixels()(same).double().var(dim=0)).sum().item()
    assert abs(float(metric.compute())) < 1e-7 * variance


def test_real_images_stay_and_their_root_follows_them():
    metric = of(FrechetDistance(Pixels()), images(200, 0), images(200, 1))
    first = metric.compute()
    metric.reset()
    metric.update(images(200, 1), real=False)
    assert float(metric.compute()) == pytest.approx(float(first), rel=1e-12)
    other = of(FrechetDistance(Pixels()), images(150, 3), images(200, 1))
    metric.set_real(sums(other))
    metric._computed = None
    assert float(metric.compute()) == pytest.approx(float(other.compute()), rel=1e-12)
    metric.update(images(50, 4), real=True)
    more = of(FrechetDistance(Pixels()), torch.cat([images(150, 3), images(50, 4)]), images(200, 1))
    assert float(metric.compute()) == pytest.approx(float(more.compute()), rel=1e-12)


def test_one_image_has_no_covariance():
    with pytest.raises(RuntimeError, match="at least 2"):
        of(FrechetDistance(Pixels()), images(5, 0), images(1, 1)).compute()
