"""The rows of a GPU: five epochs of a set of CelebA's size, the tutorial's loop on the same card, and the loader alone.

The same code measures a tiny stand-in on a CPU, so that it can be tried where there is no GPU.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from hydra.utils import instantiate

from benchmarks import sides
from benchmarks.compare import Spread, kit_side, rate
from benchmarks.flops import product_flops_per_s, step_flops
from benchmarks.sides import Side, alternate, composed

WARM_UP = 20  # iterations of each side: libraries choose their algorithms, iterations are captured
LONGEST = 90.0  # seconds; what would take longer is extrapolated from bursts
MOST_SECONDS, LEAST_RATIO = 20, 5  # aimed at: the epochs, and the ratio to the tutorial's loop


@dataclass(frozen=True)
class Card:
    """How much is measured: a DCGAN on so many images, so many epochs, and iterations in bursts of either side."""

    count: int
    image_size: int
    width: int
    batch: int
    epochs: int
    tutorial_iterations: int
    kit_iterations: int

    @property
    def iterations(self) -> int:
        return -(-self.count // self.batch) * self.epochs

    @property
    def overrides(self) -> list[str]:
        images = ["data=mnist_mini", "~data.variant", "data._target_=benchmarks.synthetic.SyntheticImages"]
        sizes = [f"+data.count={self.count}", f"data.image_size={self.image_size}", "data.channels=3"]
        widths = [f"model.{role}.width={self.width}" for role in ("generator", "discriminator")]
        # Inception's weights may not be there.
        return ["model=dcgan", *widths, *images, *sizes, f"data.batch_size={self.batch}", "metrics=fid_random"]


CELEBA = Card(count=202_599, image_size=64, width=64, batch=128, epochs=5, tutorial_iterations=50, kit_iterations=200)
TINY = Card(count=320, image_size=28, width=4, batch=16, epochs=2, tutorial_iterations=4, kit_iterations=8)


def measure(card: Card, device: str, rounds: int) -> Iterator[str]:
    """Measure and say it, line by line of Markdown."""
    accelerator = {"cpu": "cpu", "cuda": "gpu"}[device]
    kits = {
        "kit, float32": kit_side(card.overrides, "32-true", device),
        "kit, as it comes": kit_side(card.overrides, "auto", device),
    }
    if device == "cuda":
        kits["kit, `model.cuda_graph=true`"] = kit_side([*card.overrides, "model.cuda_graph=true"], "auto", device)
    shape = (3, card.image_size, card.image_size)
    tutorial = Side(sides.tutorial, (shape, card.batch, card.width), device)
    alone = Side(sides.images_alone, ([*card.overrides, f"trainer.accelerator={accelerator}"],), device)
    counts = [card.tutorial_iterations, *[card.kit_iterations] * (len(kits) + 1)]
    bursts = list(zip(*alternate([tutorial, *kits.values(), alone], counts, rounds, WARM_UP), strict=True))
    of = dict(zip(("tutorial's loop", *kits, "kit's batches alone"), bursts, strict=True))
    product = product_flops_per_s(torch.bfloat16, device)
    flops = step_flops(instantiate(composed(card.overrides).model))
    yield "| loop | img/s | ratio to the tutorial's loop | aimed at | of a bfloat16 matrix product |"
    yield "| --- | --- | --- | --- | --- |"
    for name, own in of.items():
        pairs = zip(own, of["tutorial's loop"], strict=True)
        ratio = Spread.of(ours.images_per_s / theirs.images_per_s for ours, theirs in pairs)
        cells = [name, f"{rate(own):,.0f}", ratio.text(".2f") if own is not bursts[0] else "1"]
        trains = name in kits
        cells += [f"{LEAST_RATIO}" if trains else "-", f"{rate(own) * flops / product:.1%}" if trains else "-"]
        yield f"| {' | '.join(cells)} |"
    yield ""
    yield f"The {card.epochs} epochs, {card.iterations:,} iterations of {card.batch}; aimed at: {MOST_SECONDS} s."
    yield ""
    for name, side in list(kits.items())[1:]:
        yield f"- {name}: {_epochs(card, side, rate(of[name]))}"


def _epochs(card: Card, side: Side, images_per_s: float) -> str:
    expected = card.count * card.epochs / images_per_s
    if expected > LONGEST:
        return f"{expected:.0f} s, extrapolated from the bursts above, pictures, FIDs and checkpoints apart"
    ((burst,),) = alternate([side], [card.iterations], 1, WARM_UP)
    return (
        f"{burst.seconds:.1f} s from first to last iteration, measured, with the pictures, FIDs and checkpoints in "
        f"between; {expected:.1f} s by the bursts above"
    )
