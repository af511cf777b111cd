"""What the numbers of a moment show of a GAN: one rule a verdict, each with the numbers that it turns on."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from dcgan_lightning.errors import Refusal, refuse_below

Verdict = Literal["warming_up", "stable", "mode_collapse", "convergence_failure", "generator_wins", "diverged", "stuck"]
Values = Mapping[str, float]  # what is known, by name


@dataclass(frozen=True)
class Thresholds:
    """What verdicts turn on; conf/diagnosis/default.yaml has the values, and where they come from.

    Args:
        window: iterations between two instants, of which medians are taken.
        rows: that a window has at least; where curves have fewer rows, windows are longer.
        warm_up: updates of each network before which only ``diverged`` is said.
        hold: part of the iterations so far for which a verdict has to have held to be the run's.
        hold_least, hold_most: updates of each network between which that lies.
        agreeing: part of the instants meanwhile that have to agree.
        d_wins_loss: nats; D's losses on real and on fake images together, below which it wins.
        d_wins_accuracy: of D on real and on fake images, above which it wins.
        d_wins_gap: between samples and real images, from which on that is a failure: beside good images it is none.
        g_wins_output: D(G(z)) after D's step, above which G wins.
        g_wins_accuracy: of D on fakes, below which G wins.
        collapse_diversity: of samples as a part of real images', below which they have collapsed.
        collapse_repeats: distance to the nearest other sample in parts of the mean distance, beside the same of real
            images, likewise.
        collapse_growth: by which that has grown over the second half of a run, up to which it stays.
        collapse_entropy: nats that the entropy of the samples' classes lacks of real images', likewise above.
        collapse_gap: between samples and real images, up to which there are images that may repeat themselves.
        learnt_gap: between samples and real images, up to which G has learnt something.
        stuck_gap: from which on it has learnt nothing.
        stuck_change: part by which the gap has shrunk over the second half of a run, below which it is stuck.
        stuck_loss: nats between D's losses and 2 log 2, up to which it tells nothing.
        settled_from: updates of each network from which on images are said to collapse, or to stay as they are: many a
            healthy run begins slowly, and with few kinds of images.
        healthy: ranges of curves by column, as in ``{"loss_g": [0.4, 4]}``: what figures shade, and what curves without
            samples are held against.
    """

    window: int
    rows: int
    warm_up: int
    hold: float
    hold_least: int
    hold_most: int
    agreeing: float
    d_wins_loss: float
    d_wins_accuracy: float
    d_wins_gap: float
    g_wins_output: float
    g_wins_accuracy: float
    collapse_diversity: float
    collapse_repeats: float
    collapse_growth: float
    collapse_entropy: float
    collapse_gap: float
    learnt_gap: float
    stuck_gap: float
    stuck_change: float
    stuck_loss: float
    settled_from: int
    healthy: dict[str, list[float]]

    def __post_init__(self) -> None:
        least = {"window": self.window, "rows": self.rows, "hold_least": self.hold_least, "hold_most": self.hold_most}
        refuse_below(1, **{f"diagnosis__{name}": value for name, value in least.items()})
        for name, value in (("hold", self.hold), ("agreeing", self.agreeing)):
            if not 0 < value <= 1:
                raise Refusal(f"diagnosis.{name}", value, "is a part, above 0 and at most 1", f"diagnosis.{name}=0.5")
        for name, ends in self.healthy.items():
            if len(ends) != 2 or not ends[0] < ends[1]:
                option = f"diagnosis.healthy.{name}"
                raise Refusal(option, ends, "is no range: two numbers, the lower first", f"{option}=[0.2,1.5]")


class Number(NamedTuple):
    """A number beside its threshold."""

    value: float
    threshold: float
    relation: Literal["above", "below"]
    meaning: str

    @property
    def holds(self) -> bool:
        return self.value > self.threshold if self.relation == "above" else self.value < self.threshold


Evidence = dict[str, Number]


def shown_by(values: Values, thresholds: Thresholds, bce: bool) -> tuple[Verdict, Evidence]:
    """The verdict that the numbers of a moment stand for, and those that it turned on.

    Args:
        values: medians of the curves' columns over a window, a row of sample statistics and, as ``<name>_before``, that
            in the middle of the run so far, and ``updates`` of the network that has fewer.
        thresholds: what is turned on.
        bce: whether losses, accuracies and D's outputs are those of the original loss, and may be judged.
    """
    under_any_loss = {*OF_IMAGES, *(f"{name}_before" for name in OF_IMAGES), "updates"}
    judged = values if bce else {name: value for name, value in values.items() if name in under_any_loss}
    for verdict, rule in RULES if values["updates"] >= thresholds.warm_up else ():
        evidence = rule(judged, thresholds)
        if evidence and all(number.holds for number in evidence.values()):
            return verdict, evidence
    lacking = {name: number for name, number in _stable(judged, thresholds).items() if not number.holds}
    return "warming_up", lacking


REPEATS = "distance to the nearest other sample in parts of the mean distance, beside that of real images"
OF_IMAGES = ("diversity", "diversity_real", "nearest", "nearest_real", "gap", "entropy", "entropy_real")


def d_loss(values: Values) -> float:
    """D's losses on real and on fake images together, nats; NaN where they are not known.

    A run on stacked batches logs their mean as ``loss_d``, so that it is taken from the parts where they are there.
    """
    both = values.get("loss_d_real", math.nan) + values.get("loss_d_fake", math.nan)
    return both if math.isfinite(both) else values.get("loss_d", math.nan)


def _convergence_failure(values: Values, thresholds: Thresholds) -> Evidence:
    loss, least = d_loss(values), thresholds.d_wins_accuracy
    if not math.isfinite(loss):
        return {}
    evidence = {"loss_d": Number(loss, thresholds.d_wins_loss, "below", "D's losses on real and fake images [nats]")}
    for kind in ("real", "fake"):
        if f"acc_{kind}" in values:
            evidence[f"acc_{kind}"] = Number(
                values[f"acc_{kind}"], least, "above", f"part of {kind} images D judges rightly"
            )
    return evidence | _gap(values, "above", thresholds.d_wins_gap)


def _generator_wins(values: Values, thresholds: Thresholds) -> Evidence:
    evidence: Evidence = {}
    output = values.get("d_gz_after", math.exp(-values["loss_g"]) if "loss_g" in values else math.nan)
    if not math.isfinite(output):
        return {}
    evidence["d_gz_after"] = Number(
        output, thresholds.g_wins_output, "above", "D(G(z)): how real D takes samples to be"
    )
    if "acc_fake" in values:
        words = "part of generated images D judges rightly"
        evidence["acc_fake"] = Number(values["acc_fake"], thresholds.g_wins_accuracy, "below", words)
    return evidence | _gap(values, "above", thresholds.learnt_gap)


def _repeated(values: Values, thresholds: Thresholds) -> Evidence:
    """Mode collapse: samples lie much closer to another one than their spread would have it.

    Untrained generators make images that are all alike, too, but as far from each other as from the nearest.
    """
    repeats, before = _repeats(values, ""), _repeats(values, "_before")
    if repeats is None or values["updates"] < thresholds.settled_from:
        return {}
    evidence: Evidence = {"repeats": Number(repeats, thresholds.collapse_repeats, "below", REPEATS)}
    if before is not None:
        words = "by which that has grown over half of the run"
        evidence["repeats_grown"] = Number(repeats - before, thresholds.collapse_growth, "below", words)
    return evidence | _formed(values, thresholds)


def _repeats(values: Values, when: str) -> float | None:
    names = [f"{name}{when}" for name in ("nearest", "diversity", "nearest_real", "diversity_real")]
    if not set(names) <= set(values) or not all(values[name] for name in names[2:]):
        return None
    nearest, diversity, nearest_real, diversity_real = (values[name] for name in names)
    return _part(_part(nearest, diversity), _part(nearest_real, diversity_real))


def _stuck(values: Values, thresholds: Thresholds) -> Evidence:
    """D says 1/2 to everything, and the images stay as far from real ones as they were, nearer or farther."""
    evidence = _gap(values, "above", thresholds.stuck_gap)
    unmoved = _unmoved(values, thresholds)
    if not unmoved:
        return {}
    shrunk = unmoved["gap_shrunk"]
    evidence["gap_change"] = shrunk._replace(
        value=abs(shrunk.value), meaning=shrunk.meaning.replace("shrunk", "changed")
    )
    if math.isfinite(loss := d_loss(values)):
        words = "nats between D's losses and 2 log 2, where it says 1/2 to everything"
        evidence["loss_d"] = Number(abs(loss - 2 * math.log(2)), thresholds.stuck_loss, "below", words)
    return evidence


def _uniform(values: Values, thresholds: Thresholds) -> Evidence:
    """Mode collapse: few kinds of images, and no more of them coming."""
    signs: Evidence = {}
    if {"diversity", "diversity_real"} <= set(values):
        part = _part(values["diversity"], values["diversity_real"])
        words = "mean distance between two samples, as a part of real images'"
        signs["diversity"] = Number(part, thresholds.collapse_diversity, "below", words)
    if {"entropy", "entropy_real"} <= set(values):
        lacking = values["entropy_real"] - values["entropy"]
        words = "entropy that the samples' classes lack of real images' [nats]"
        signs["entropy"] = Number(lacking, thresholds.collapse_entropy, "above", words)
    shown = {name: number for name, number in signs.items() if number.holds}
    unmoved = _unmoved(values, thresholds)
    return shown | unmoved | _formed(values, thresholds) if shown and unmoved else {}


def _formed(values: Values, thresholds: Thresholds) -> Evidence:
    """Whether there are images at all: one real image, over and over, has a gap of one half."""
    return _gap(values, "below", thresholds.collapse_gap, "; one real image alone 0.5")


def _unmoved(values: Values, thresholds: Thresholds) -> Evidence:
    if values.get("gap_before", 0) <= 0 or "gap" not in values or values["updates"] < thresholds.settled_from:
        return {}
    shrunk = 1 - values["gap"] / values["gap_before"]
    words = "part by which the gap to real images has shrunk over half of the run"
    return {"gap_shrunk": Number(shrunk, thresholds.stuck_change, "below", words)}


def _part(one: float, of: float) -> float:
    return one / of if of else 0.0


def _stable(values: Values, thresholds: Thresholds) -> Evidence:
    if "gap" in values:
        evidence = _gap(values, "below", thresholds.learnt_gap)
        repeats = _repeats(values, "")
        if repeats is not None:
            evidence["repeats"] = Number(repeats, thresholds.collapse_repeats, "above", REPEATS)
        return evidence
    evidence = {}
    for name, (least, most) in thresholds.healthy.items():
        if name in values:
            nearer = least if abs(values[name] - least) < abs(values[name] - most) else most
            relation: Literal["above", "below"] = "above" if nearer == least else "below"
            evidence[name] = Number(values[name], nearer, relation, "within what healthy runs have")
    return evidence


def _gap(values: Values, relation: Literal["above", "below"], threshold: float, also: str = "") -> Evidence:
    words = f"gap between samples and real images: 0 none, 1 the widest{also}"
    return {"gap": Number(values["gap"], threshold, relation, words)} if "gap" in values else {}


# In this order: what shows at once decides which failure it is.
RULES: tuple[tuple[Verdict, Callable[[Values, Thresholds], Evidence]], ...] = (
    ("convergence_failure", _convergence_failure),
    ("generator_wins", _generator_wins),
    ("stuck", _stuck),
    ("mode_collapse", _repeated),
    ("mode_collapse", _uniform),
    ("stable", _stable),
)
