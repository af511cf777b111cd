"""From a run's curves to a verdict: is it healthy, has it collapsed, does one network win?"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from dcgan_lightning.advice import ADVICE, SOURCES
from dcgan_lightning.course import FAILURES, Columns, Course, Span
from dcgan_lightning.symptoms import Evidence, Number, Thresholds, Verdict


@dataclass(frozen=True)
class Diagnosis:
    """The verdict on a run as far as it has come.

    Attributes:
        verdict: the newest that held.
        since: iterations done when it began to hold.
        judged_at: iterations done in the newest row.
        evidence: the numbers that it turned on, those of the newest instant that showed it.
        history: all verdicts that held, the newest last.
        not_judged: what could not be, and why.
    """

    verdict: Verdict
    since: int
    judged_at: int
    evidence: Evidence
    history: list[Span]
    not_judged: list[str]

    @property
    def failing(self) -> bool:
        return self.verdict in FAILURES

    def record(self) -> dict[str, Any]:
        """What diagnosis.json holds: plain values."""
        return {
            "verdict": self.verdict,
            "since": self.since,
            "judged_at": self.judged_at,
            "evidence": {name: _plain(number) for name, number in self.evidence.items()},
            "history": [span.record() for span in self.history],
            "advice": list(ADVICE[self.verdict]),
            "source": SOURCES[self.verdict],
            "not_judged": self.not_judged,
        }


def diagnose(
    curves: Columns, samples: Columns | None, thresholds: Thresholds, bce: bool, failure: str = ""
) -> Diagnosis:
    """The verdict on a whole run.

    Args:
        curves: columns of metrics.csv by rising ``iteration``, infinite where a cell is NaN or infinity, and NaN where
            it is empty; any but ``iteration`` may be missing.
        samples: columns of samples.csv, likewise; None: there are none, and the images are not judged.
        thresholds: what verdicts turn on.
        bce: whether the losses are those of the original loss (nats), and D's outputs its probabilities. Of others,
            only what the images show is judged, and whether numbers are finite.
        failure: what was not finite, where a run ended because of that.
    """
    course = Course(thresholds, bce)
    course.extend(curves, samples)
    return concluded(course, failure)


def concluded(course: Course, failure: str = "") -> Diagnosis:
    """The verdict on a run so far; ``failure`` says what was not finite, where it ended because of that."""
    now, history = course.history[-1], list(course.history)
    shown = (instant.evidence for instant in reversed(course.instants) if instant.verdict == now.verdict)
    evidence = next(shown, {})
    if failure or course.spoilt_since is not None:
        since = course.seen if course.spoilt_since is None else course.spoilt_since
        now = Span("diverged", since, also={"failure": failure} if failure else {})
        *before, last = [span for span in history if span.since < since] or history[:1]
        history = [*before, replace(last, until=since), now]
        words = "iterations at the end in which a number is not finite"
        evidence = {"not_finite": Number(max(1, course.seen - since), 0, "above", words)}
    reasons = []
    if not course.has_samples:
        reasons.append("mode collapse, and whether anything is learnt: there are no statistics of samples")
    if not course.bce:
        reasons.append("losses, accuracies and D's outputs: the loss is not that of the original GAN")
    return Diagnosis(now.verdict, now.since, course.seen, evidence, history, reasons)


def with_rolled_back(diagnosis: Diagnosis, rolled_back: Sequence[Span]) -> Diagnosis:
    """A diagnosis whose history has what a run went back from, too.

    Each such stretch comes before the first verdict that began after the point to which the run went back from it; the
    verdict that holds now stays the last.
    """
    *earlier, now = diagnosis.history
    history: list[Span] = []
    left = list(rolled_back)
    for span in (*earlier, now):
        while left and (span is now or span.since > left[0].also.get("rolled_back_to", 0)):
            history.append(left.pop(0))
        history.append(span)
    return replace(diagnosis, history=history)


def _plain(number: Number) -> dict[str, Any]:
    return {name: round(v, 6) if isinstance(v, float) else v for name, v in number._asdict().items()}
