"""Measures rows: bursts of both sides in turn, the machine's matrix product in between, medians and spread."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from hydra.utils import instantiate

from benchmarks import sides
from benchmarks.bursts import Burst
from benchmarks.flops import product_flops_per_s, step_flops
from benchmarks.rows import Overhead, Row
from benchmarks.sides import Side, alternate, composed

DTYPES = {"32-true": torch.float32, "bf16-mixed": torch.bfloat16}
WARM_UP = 2  # iterations of each side before its first burst


@dataclass(frozen=True)
class Spread:
    """A median and the smallest and largest of what it is of."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> "Spread":
        ordered = sorted(values)
        return cls(statistics.median(ordered), ordered[0], ordered[-1])

    def text(self, form: str) -> str:
        return f"{self.median:{form}} ({self.low:{form}} to {self.high:{form}})"


@dataclass(frozen=True)
class Work:
    """What one loop reaches: images/s, operations an image, and operations/s of a matrix product in its precision."""

    images_per_s: float
    flops: int
    product: float

    @property
    def flops_per_s(self) -> float:
        return self.images_per_s * self.flops

    @property
    def utilisation(self) -> float:
        return self.flops_per_s / self.product


@dataclass(frozen=True)
class Compared:
    """A row's outcome: the tutorial's loop, and of each precision the kit and its ratio to the loop beside it."""

    tutorial: Work
    kit: dict[str, Work]
    ratios: dict[str, Spread]


def kit_side(overrides: Sequence[str], precision: str, device: str = "cpu") -> Side:
    accelerator = {"cpu": "cpu", "cuda": "gpu"}[device]
    return Side(
        sides.kit, ([*overrides, f"trainer.precision={precision}", f"trainer.accelerator={accelerator}"],), device
    )


def compare(row: Row, precisions: Sequence[str], iterations: int, rounds: int) -> Compared:
    """Measure a row: of each round a burst of the tutorial's loop, then one of the kit in each precision.

    ``precisions`` begins with ``32-true``, which is the tutorial's.
    """
    products = {name: product_flops_per_s(DTYPES[name], "cpu") for name in precisions}
    all_sides = [row.tutorial, *(kit_side(row.kit, precision) for precision in precisions)]
    bursts = alternate(all_sides, [iterations] * len(all_sides), rounds, WARM_UP)
    cfg = composed(row.kit)
    module, own = instantiate(cfg.model), cfg.model.latents.get("g_per_image", 0)
    tutorial, *kits = zip(*bursts, strict=True)
    ratios = {
        name: Spread.of(ours.images_per_s / theirs.images_per_s for ours, theirs in zip(kit, tutorial, strict=True))
        for name, kit in zip(precisions, kits, strict=True)
    }
    flops = step_flops(module, own)
    works = {name: Work(rate(kit), flops, products[name]) for name, kit in zip(precisions, kits, strict=True)}
    plain = Work(rate(tutorial), step_flops(module, own, frozen=False), products["32-true"])
    return Compared(plain, works, ratios)


@dataclass(frozen=True)
class Beyond:
    """How much longer the kit's iteration is than the bare loop's."""

    bare_ms: Spread
    kit_ms: Spread
    more_ms: Spread
    more_share: Spread


def beyond_bare(overhead: Overhead, precisions: Sequence[str], iterations: int, rounds: int) -> dict[str, Beyond]:
    """Measure the kit against the bare loop of the same maths, in each precision."""
    pairs = [
        (Side(sides.bare, (overhead.overrides, name != "32-true")), kit_side(overhead.overrides, name))
        for name in precisions
    ]
    in_order = [side for pair in pairs for side in pair]
    columns = list(zip(*alternate(in_order, [iterations] * len(in_order), rounds, WARM_UP), strict=True))
    return {name: _beyond(*columns[2 * i : 2 * i + 2]) for i, name in enumerate(precisions)}


def _beyond(bare: Sequence[Burst], kit: Sequence[Burst]) -> Beyond:
    pairs = list(zip(bare, kit, strict=True))
    return Beyond(
        Spread.of(burst.ms for burst in bare),
        Spread.of(burst.ms for burst in kit),
        Spread.of(ours.ms - theirs.ms for theirs, ours in pairs),
        Spread.of(ours.ms / theirs.ms - 1 for theirs, ours in pairs),
    )


def rate(bursts: Iterable[Burst]) -> float:
    """Median images/s."""
    return statistics.median(burst.images_per_s for burst in bursts)
