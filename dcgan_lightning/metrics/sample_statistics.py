"""How varied generated images are, and how far from real ones: distances between the features of a few hundred."""

from dataclasses import dataclass

import torch
from torch import Tensor

from dcgan_lightning.metrics.digits import DigitFeatures
from dcgan_lightning.metrics.features import FeatureNetwork


@dataclass(frozen=True)
class Spread:
    """What images of one kind come to.

    Attributes:
        diversity: mean distance between two images.
        nearest: mean distance from an image to the nearest other. Where images repeat themselves it is far below that
            of real ones, though ``diversity`` may not be: Arora and Zhang's birthday paradox test ("Do GANs actually
            learn the distribution?", 2017) in numbers.
        entropy: of the mean of the predicted classes' probabilities, nats; None where the network predicts none.
    """

    diversity: float
    nearest: float
    entropy: float | None


def spread(features: Tensor, entropy: float | None) -> Spread:
    """Of (N, F) features of N >= 2 images; with several blocks of images (B, N, F), the means over the blocks."""
    blocks = features if features.ndim == 3 else features[None]
    distances = distances_between(blocks, blocks)  # (B, N, N)
    itself = torch.eye(distances.shape[-1], dtype=torch.bool, device=distances.device)
    nearest = distances.masked_fill(itself, torch.inf).amin(dim=-1)  # (B, N)
    return Spread(mean_distance(blocks), float(nearest.mean()), entropy)


def gap(fake: Tensor, real: Tensor, within_real: float) -> float:
    """The energy distance of two sets of features, as a part of what it could be.

    (2 E|X - Y| - E|X - X'| - E|Y - Y'|) / (2 E|X - Y|), X and X' two fakes, Y and Y' two real images: 0 where both have
    one distribution, 1 where each is a single image, another one. Estimated without bias, so that it may come out
    slightly below 0. Szekely and Rizzo, "Energy statistics: a class of statistics based on distances", 2013, section 2.

    Args:
        fake: (N, F).
        real: (M, F).
        within_real: E|Y - Y'|, :func:`mean_distance` of ``real``.
    """
    across = float(distances_between(fake, real).mean())
    return 1 - (mean_distance(fake) + within_real) / (2 * across) if across else 0.0


def mean_distance(features: Tensor) -> float:
    """Between two of (..., N, F), over all pairs."""
    distances = distances_between(features, features)  # (..., N, N)
    n = distances.shape[-1]
    return float(distances.tril(-1).sum(dim=(-2, -1)).mean() / (n * (n - 1) / 2))


def distances_between(one: Tensor, other: Tensor) -> Tensor:
    """Euclidean distances (..., N, M) of features (..., N, F) and (..., M, F), to float64's precision."""
    return torch.cdist(one.double(), other.double(), compute_mode="use_mm_for_euclid_dist")


def features_and_entropy(network: FeatureNetwork, images: Tensor) -> tuple[Tensor, float | None]:
    """Features (N, F) of (N, C, H, W) uint8 images, and the entropy of their classes where it knows classes, nats."""
    features = network(images)
    if not isinstance(network, DigitFeatures):
        return features, None
    mean = network.classifier.head(features).softmax(dim=1).mean(dim=0)  # (10,)
    return features, float(-torch.special.xlogy(mean, mean).sum())
