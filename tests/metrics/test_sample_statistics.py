"""Statistics of samples, against plain loops and closed forms."""

import itertools
import math

import pytest
import torch

from dcgan_lightning.metrics.digits import DigitFeatures
from dcgan_lightning.metrics.random_conv import RandomConvFeatures
from dcgan_lightning.metrics.sample_statistics import features_and_entropy, gap, mean_distance, spread
from tests.support import some_images


def normal(n, f, seed):
    return torch.randn(n, f, generator=torch.Generator().manual_seed(seed))


def test_diversity_and_nearest_equal_plain_loops():
    features = normal(7, 3, 0)
    pairs = {
        (i, j): math.dist(features[i].tolist(), features[j].tolist()) for i, j in itertools.permutations(range(7), 2)
    }
    found = spread(features, None)
    assert found.diversity == pytest.approx(sum(pairs.values()) / 42, rel=1e-6)
    nearest = [min(pairs[i, j] for j in range(7) if j != i) for i in range(7)]
    assert found.nearest == pytest.approx(sum(nearest) / 7, rel=1e-6)


def test_blocks_are_averaged():
    blocks = torch.stack([normal(6, 4, seed) for seed in range(3)])
    apart = [spread(block, None) for block in blocks]
    assert spread(blocks, None).diversity == pytest.approx(sum(one.diversity for one in apart) / 3, rel=1e-9)
    assert spread(blocks, None).nearest == pytest.approx(sum(one.nearest for one in apart) / 3, rel=1e-9)


def test_repeated_images_have_no_distance_to_the_nearest_though_they_are_diverse():
    features = normal(10, 5, 0).repeat(2, 1)
    found = spread(features, None)
    assert found.nearest < 1e-6
    assert found.diversity > 1


def test_the_gap_of_one_distribution_is_none_and_of_two_points_all():
    one, other = normal(400, 8, 0), normal(400, 8, 1)
    assert abs(gap(one, other, mean_distance(other))) < 0.01
    points = torch.zeros(5, 3), torch.ones(6, 3)
    assert gap(*points, mean_distance(points[1])) == pytest.approx(1)
    assert gap(points[0], points[0], 0.0) == 0


def test_the_gap_equals_its_formula():
    fake, real = normal(5, 2, 0), normal(6, 2, 1) + 1
    across = sum(math.dist(x.tolist(), y.tolist()) for x in fake for y in real) / 30
    within = [
        sum(math.dist(x.tolist(), y.tolist()) for x, y in itertools.combinations(kind, 2)) / pairs
        for kind, pairs in ((fake, 10), (real, 15))
    ]
    expected = (2 * across - sum(within)) / (2 * across)
    assert gap(fake, real, mean_distance(real)) == pytest.approx(expected, rel=1e-6)


def test_the_entropy_is_that_of_the_mean_of_the_classes_and_of_digits_alone():
    images = some_images(12)
    network = DigitFeatures()
    mean = network.probabilities(images).mean(dim=0).tolist()
    features, entropy = features_and_entropy(network, images)
    assert entropy == pytest.approx(-sum(p * math.log(p) for p in mean if p), rel=1e-5)
    assert torch.equal(features, network(images))
    assert features_and_entropy(RandomConvFeatures(), images)[1] is None
