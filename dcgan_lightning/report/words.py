"""What the report says in words: verdicts, numbers with their units, times."""

import math
from typing import Any, NamedTuple

from dcgan_lightning.report.files import is_count, is_number


class Verdict(NamedTuple):
    """A verdict as it is shown: its name, ``good``, ``bad`` or ``open``, and what it means."""

    title: str
    kind: str
    meaning: str


VERDICTS = {
    "warming_up": Verdict("Warming up", "open", "Nothing is wrong so far, and nothing is proven yet."),
    "stable": Verdict("Stable", "good", "Both networks learn, and the images are varied and come close to real ones."),
    "mode_collapse": Verdict(
        "Mode collapse", "bad", "The generator makes a few images over and over, whatever latents it is given."
    ),
    "convergence_failure": Verdict(
        "Convergence failure",
        "bad",
        "The discriminator tells real from generated images without error, and the generator learns nothing from it.",
    ),
    "generator_wins": Verdict(
        "Generator wins", "bad", "The discriminator takes generated images for real, and has nothing left to teach."
    ),
    "diverged": Verdict("Diverged", "bad", "Losses or weights are not finite: NaN or infinity."),
    "stuck": Verdict("Stuck", "bad", "The discriminator answers one half to everything, and the images do not change."),
}


def verdict(name: Any) -> Verdict:
    """That of ``diagnosis.json``; one that is not known is shown as it is called."""
    return VERDICTS.get(name) if isinstance(name, str) and name in VERDICTS else Verdict(str(name), "open", "")  # type: ignore[return-value]


def number(value: Any) -> str:
    """Four digits of a number from a file; something else as it is."""
    if isinstance(value, float) and not math.isfinite(value):
        return {math.inf: "infinity", -math.inf: "minus infinity"}.get(value, "not a number")
    if is_count(value):
        return f"{value:,}"
    if not is_number(value):
        return "unknown" if value is None else str(value)
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def iterations(value: Any) -> str:
    """A count with its unit."""
    return f"{number(value)} iteration{'' if value == 1 else 's'}"


def duration(seconds: Any) -> str:
    """Hours, minutes and seconds."""
    if not is_number(seconds) or not 0 <= seconds < 1e9:
        return "unknown"
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    hours = f"{whole // 3600} h " if whole >= 3600 else ""
    return f"{hours}{whole // 60 % 60} min {whole % 60} s"


def size(count: int) -> str:
    """Bytes."""
    return f"{count / 1e6:,.1f} MB" if count >= 100_000 else f"{count / 1e3:,.1f} kB"
