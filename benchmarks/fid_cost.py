"""What an FID costs while a run trains: ``python -m benchmarks.fid_cost``; writes its section of docs/performance.md.

For each metric, at its default number of samples, interval and data: seconds an evaluation here and in torchmetrics'
plain way (G and the feature network in the contiguous format, the distance by its own ``compute``), in turn, and the
share of the training time, by iterations of the bare loop in the precision that a run takes here. Where an evaluation
is long, a part of its images is measured, and the rest in proportion. Inception has random weights, on which time does
not depend.
"""

import argparse
import copy
import statistics
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise, repeat
from pathlib import Path

import torch
from hydra.utils import instantiate
from torch import Tensor, nn
from torch.nn.modules.module import _IncompatibleKeys
from torchmetrics.image.fid import FrechetInceptionDistance, NoTrainInceptionV3

from benchmarks import bare_loop
from benchmarks.report import PERFORMANCE, circumstances, replace_section
from benchmarks.sides import composed
from dcgan_lightning.gan_module import GANModule
from dcgan_lightning.machine import bf16_instructions, keep_freed_memory
from dcgan_lightning.metrics.digits import DigitFeatures
from dcgan_lightning.metrics.features import FeatureNetwork
from dcgan_lightning.metrics.frechet import FrechetDistance
from dcgan_lightning.metrics.inception import InceptionFeatures
from dcgan_lightning.metrics.random_conv import RandomConvFeatures
from dcgan_lightning.networks.convolution import as_products
from dcgan_lightning.sampling import sample_images


def random_inception() -> InceptionFeatures:
    """Inception v3 with random weights, and all else as a run has it."""

    class Unread(NoTrainInceptionV3):
        def load_state_dict(self, *args: object, **kwargs: object) -> _IncompatibleKeys:
            return _IncompatibleKeys([], [])

    network = InceptionFeatures.__new__(InceptionFeatures)
    FeatureNetwork.__init__(network)
    with tempfile.NamedTemporaryFile(suffix=".pth") as file:
        torch.save({}, file.name)
        network.network = Unread("inception-v3-compat", ["2048"], file.name)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):  # so that the numbers stay of a size that is met in practice
            nn.init.kaiming_normal_(module.weight)
    network.freeze()
    return network


# Metric: its network, the command's choices, and the share of an evaluation's images that is measured.
METRICS: dict[str, tuple[Callable[[], FeatureNetwork], list[str], float]] = {
    "fid_digits": (DigitFeatures, [], 1.0),
    "fid_random": (RandomConvFeatures, ["model=dcgan", "data=celeba", "metrics=fid_random"], 0.5),
    "fid_inception": (random_inception, ["model=dcgan", "data=celeba"], 0.0128),
}


def timed(work: Callable[[], object]) -> float:
    """Seconds that it takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def iteration(module: GANModule, images: Tensor, count: int) -> float:
    """Seconds an iteration of the bare loop, median of ``count`` after two."""
    stamps: list[float] = []

    def stamped() -> object:
        for batch in repeat(images, count + 3):
            stamps.append(time.perf_counter())
            yield batch

    bare_loop.train(module, stamped(), bf16=bool(bf16_instructions()))  # type: ignore[arg-type]
    return statistics.median(later - earlier for earlier, later in pairwise(stamps[2:]))


def judging(metric: FrechetInceptionDistance, generator: nn.Module, z: Tensor, batch_size: int) -> Callable[[], None]:
    """What an evaluation does for so many images."""

    def judge() -> None:
        for rows in z.split(batch_size):
            metric.update(sample_images(generator, rows), real=False)

    return judge


def measure(name: str, rounds: int) -> str:
    """A row of the table."""
    make, overrides, share = METRICS[name]
    cfg = composed(overrides)
    module = instantiate(cfg.model)
    size, channels = cfg.data.image_size, cfg.data.channels
    images = torch.randint(0, 256, (cfg.data.batch_size, channels, size, size), dtype=torch.uint8)
    per_iteration = iteration(module, images, 20 if size == 32 else 5)

    samples, batch_size, features = cfg.metrics.num_samples, cfg.callbacks.fid.batch_size, make()
    plain_generator = copy.deepcopy(module.generator).to(memory_format=torch.contiguous_format)
    as_products(plain_generator, False)
    plain = FrechetInceptionDistance(copy.deepcopy(features), reset_real_features=False, sync_on_compute=False)
    ours = FrechetDistance(features.to(memory_format=torch.channels_last))
    sides: list[tuple[FrechetInceptionDistance, nn.Module]] = [(ours, module.generator), (plain, plain_generator)]
    z = torch.randn(round(samples * share), module.generator.latent_dim)
    moments = FrechetDistance(features)  # of as many vectors as there are samples, where only a part was measured
    spread = torch.randn(features.num_features, features.num_features, dtype=torch.float64)
    vectors = torch.randn(samples, features.num_features, dtype=torch.float64) @ spread
    moments.real_features_sum, moments.real_features_cov_sum = vectors.sum(0), vectors.T @ vectors
    for metric, _ in sides:
        for side in ("real", "fake"):
            setattr(metric, f"{side}_features_num_samples", torch.tensor(samples))
            setattr(metric, f"{side}_features_sum", moments.real_features_sum.clone())
            setattr(metric, f"{side}_features_cov_sum", moments.real_features_cov_sum.clone())
        metric.orig_dtype = torch.float32
    FrechetDistance.compute(ours)  # the real images' root, once a run
    seconds: list[list[float]] = [[], []]
    for _ in range(rounds):
        for found, (metric, generator) in zip(seconds, sides, strict=True):
            computing = timed(lambda metric=metric: type(metric).compute(metric))  # type: ignore[misc]
            found.append(timed(judging(metric, generator, z, batch_size)) / share + computing)
            metric._computed = None
    new, old = (statistics.median(found) for found in seconds)
    every = cfg.callbacks.fid.every
    measured = "" if share == 1 else f", {len(z)} of them measured"
    return (
        f"| `{name}`, {samples:,} samples{measured} | {size}x{size}x{channels}, batch {cfg.data.batch_size} "
        f"| {old:.1f} s | {new:.1f} s | {old / new:.2f} | {per_iteration * 1e3:.0f} ms | {every:,} "
        f"| {new / (every * per_iteration):.1%} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure what an FID costs while a run trains.")
    parser.add_argument("--rounds", type=int, default=3, help="of each way, in turn")
    parser.add_argument("--metrics", nargs="+", choices=METRICS, default=list(METRICS))
    parser.add_argument("--page", type=Path, default=PERFORMANCE)
    args = parser.parse_args()
    keep_freed_memory()
    torch.manual_seed(0)
    rows = [
        "| metric | images | torchmetrics' way | here | ratio | an iteration | interval | share of training |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name in args.metrics:
        rows.append(measure(name, args.rounds))
        print(rows[-1], flush=True)
    heading = f"## FID\n\n{circumstances('python -m benchmarks.fid_cost')} Medians of {args.rounds} in turn."
    replace_section(args.page, "fid", heading + "\n\n" + "\n".join(rows))


if __name__ == "__main__":
    main()
