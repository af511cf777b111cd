"""The truth of a labelled run, read from its last curves and its last images, whatever its name says.

The rule was written before any verdict on the test runs was looked at. It has other eyes than the diagnosis: it sees
the end alone, 500 images instead of 128, as pixels instead of features, and D's outputs where they are beyond doubt.
What it says was held against the pictures of the ends, one by one (docs/diagnosis.md).
"""

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from dcgan_lightning.curves import read_curves
from dcgan_lightning.diagnosing import failure_of
from dcgan_lightning.metrics.sample_statistics import distances_between, gap, mean_distance

LAST = 50  # iterations that medians are of
D_WINS = (0.05, 0.99)  # nats of D's losses together, below; accuracies, from
G_WINS = (0.95, 0.05)  # D(G(z)) after D's step, from; D's accuracy on fakes, up to
REPEATED = 0.5  # of real images' median distance to the nearest other: nearer ones are taken for the same
REPEATS = 0.5  # part of the images from which on a run has collapsed
LEARNT = 0.1  # gap of pixels up to which images are like the real ones
UNLEARNT = 0.3  # and from which on they are nothing like them
FEW = 200  # updates of one of the networks, below which a run has only begun; what is trained at D:G 5:1 begins slowly
NEAR_LOG_2 = 0.15  # nats between D's losses together and 2 log 2, up to which it tells nothing


class Ending(NamedTuple):
    """What a run came to.

    Attributes:
        truth: the verdict that is right.
        loss_d: D's losses on real and fake images together, median [nats].
        loss_g: G's [nats].
        acc_real, acc_fake: D's accuracies.
        repeats: part of the images that have another one just like them.
        gap: of pixels, 0 to 1.
    """

    truth: str
    loss_d: float = math.nan
    loss_g: float = math.nan
    acc_real: float = math.nan
    acc_fake: float = math.nan
    repeats: float = math.nan
    gap: float = math.nan


def ending(folder: Path, bce: bool) -> Ending:
    """Read the end of a run that ended, well or not; without ``bce`` from its images alone."""
    if failure_of(folder):
        return Ending("diverged")
    curves = read_curves(folder)
    last = {name: float(np.nanmedian(column[-LAST:])) for name, column in curves.items()}
    fake, real = (torch.from_numpy(np.load(folder / f"{name}.npy")).flatten(1) for name in ("ending", "real"))
    same = repeats(fake, real)
    apart = gap(fake, real, mean_distance(real))
    loss_d = last["loss_d_real"] + last["loss_d_fake"]
    if min(int(np.isfinite(curves[name]).sum()) for name in ("loss_d_real", "loss_g")) < FEW:
        return Ending("warming_up", loss_d, last["loss_g"], last["acc_real"], last["acc_fake"], same, apart)
    truth = (_of_outputs(loss_d, last) if bce else None) or _of_images(loss_d if bce else None, same, apart)
    return Ending(truth, loss_d, last["loss_g"], last["acc_real"], last["acc_fake"], same, apart)


def _of_outputs(loss_d: float, last: dict[str, float]) -> str | None:
    if loss_d < D_WINS[0] and min(last["acc_real"], last["acc_fake"]) >= D_WINS[1]:
        return "convergence_failure"
    if last["d_gz_after"] >= G_WINS[0] and last["acc_fake"] <= G_WINS[1]:
        return "generator_wins"
    return None


def _of_images(loss_d: float | None, same: float, apart: float) -> str:
    """``loss_d`` [nats] tells what is stuck from what still learns; None where it is not the original loss's."""
    if apart >= UNLEARNT:
        return "stuck" if loss_d is None or abs(loss_d - 2 * math.log(2)) < NEAR_LOG_2 else "warming_up"
    if same >= REPEATS:
        return "mode_collapse"
    return "stable" if apart <= LEARNT else "warming_up"


def repeats(fake: Tensor, real: Tensor) -> float:
    """Part of fake images (N, P) with another as near as real ones hardly are; real ones (N, P) say how near."""
    near = REPEATED * _nearest(real).median()
    return float((_nearest(fake) < near).double().mean())


def _nearest(images: Tensor) -> Tensor:
    """(N,) distances to the nearest other image."""
    distances = distances_between(images.double(), images.double())
    return distances.fill_diagonal_(torch.inf).amin(dim=1)
