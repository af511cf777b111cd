"""From a run's curves to a verdict: is it healthy, has it collapsed, does one network win?

The curves are judged at *instants*, one every ``window`` iterations: the medians of the iterations since the last one,
and the newest row of sample statistics. What instants show becomes the run's verdict once it has held for a while. All
of it is a function of the curves, so that a run that trains and its finished tables get one verdict.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dcgan_lightning.advice import ADVICE, SOURCES
from dcgan_lightning.symptoms import Evidence, Number, Thresholds, Verdict, shown_by

FAILURES: tuple[Verdict, ...] = ("mode_collapse", "convergence_failure", "generator_wins", "diverged", "stuck")
Columns = Mapping[str, NDArray[np.float64]]  # by name: (rows,), NaN where a cell is empty


class Instant(NamedTuple):
    """What the iterations up to one show."""

    iteration: int
    verdict: Verdict
    evidence: Evidence


@dataclass
class Span:
    """A verdict while it held; counted in iterations done.

    Attributes:
        also: what else is known of it, for the record.
    """

    verdict: Verdict
    since: int
    until: int | None = None
    also: dict[str, Any] = field(default_factory=dict)

    def record(self) -> dict[str, Any]:
        """What diagnosis.json holds of it."""
        return {"verdict": self.verdict, "since": self.since, "until": self.until, **self.also}

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> "Span":
        """The same from there."""
        also = {name: value for name, value in record.items() if name not in ("verdict", "since", "until")}
        return cls(record["verdict"], record["since"], record["until"], also)


@dataclass(frozen=True)
class Diagnosis:
    """The verdict on a run as far as it has come.

    Attributes:
        verdict: the newest that held.
        since: iterations done when it began to hold.
        judged_at: iterations done at the newest instant.
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
    return course.diagnosis(failure)


class Course:
    """The curves of a run as they come, judged instant by instant.

    Args:
        thresholds: what verdicts turn on.
        bce: as :func:`diagnose` has it.
    """

    def __init__(self, thresholds: Thresholds, bce: bool) -> None:
        self.thresholds, self.bce = thresholds, bce
        self.instants: list[Instant] = []
        self.history = [Span("warming_up", 0)]
        self._curves: dict[str, NDArray[np.float64]] = {}  # rows since the last instant
        self._samples: list[tuple[int, dict[str, float]]] = []  # (iterations done, what is known)
        self._spacing = self._window = 0  # iterations between two rows, and instants; 0: not known yet
        self._seen = 0  # iterations done in the newest row
        self._spoilt_since: int | None = None  # the iteration from which on no row was finite

    def extend(self, curves: Columns, samples: Columns | None) -> None:
        """Take rows of both that come after those before, and judge the instants that they complete."""
        for row, iteration in enumerate((samples or {}).get("iteration", ())):
            known = {name: float(column[row]) for name, column in (samples or {}).items() if name != "iteration"}
            self._samples.append((int(iteration), {n: value for n, value in known.items() if math.isfinite(value)}))
        if not len(curves.get("iteration", ())):
            return
        before = self._curves or {name: column[:0] for name, column in curves.items()}
        self._curves = {name: np.concatenate([before[name], column]) for name, column in curves.items()}
        self._seen = int(self._curves["iteration"][-1]) + 1
        self._note_divergence(curves)
        for iteration in self._complete():
            past = self._curves["iteration"] < iteration
            window = {name: column[past] for name, column in self._curves.items()}
            self._curves = {name: column[~past] for name, column in self._curves.items()}
            if len(window["iteration"]):
                self._judge(iteration, window)

    def diagnosis(self, failure: str = "") -> Diagnosis:
        """The verdict so far; ``failure`` says what was not finite, where a run ended because of that."""
        now, history = self.history[-1], self.history
        shown = (instant.evidence for instant in reversed(self.instants) if instant.verdict == now.verdict)
        evidence = next(shown, {})
        if failure or self._spoilt_since is not None:
            since = self._seen if self._spoilt_since is None else self._spoilt_since
            now = Span("diverged", since, also={"failure": failure} if failure else {})
            history = [*history[:-1], replace(history[-1], until=since), now]
            words = "iterations at the end in which a number is not finite"
            evidence = {"not_finite": Number(max(1, self._seen - since), 0, "above", words)}
        return Diagnosis(now.verdict, now.since, self._seen, evidence, history, self._not_judged())

    def failing(self, after: int) -> Span | None:
        """The failure that the verdict is, if the instants after an iteration alone have it hold as well.

        What is not finite is none: whoever looks at each number says that (:mod:`dcgan_lightning.callbacks.finite`).
        """
        now = self.history[-1]
        return now if now.verdict in FAILURES and self._holds(now.verdict, after) else None

    def sound(self) -> bool:
        """Whether the newest instant is that of the newest row, and no verdict yet to come can reach back behind it.

        That is where nothing has shown a failure for as long as a verdict has to hold: one that comes to hold later
        begins later. What is not judged yet, since it warms up, is not known to be sound.
        """
        if not self.instants or self.instants[-1].iteration != self._seen or self._spoilt_since is not None:
            return False
        recent = [i for i in self.instants if i.iteration > self._seen - max(self._long(), 2 * self._window - 1)]
        judged = len(recent) > 1 and recent[0].iteration >= self.thresholds.warm_up
        return judged and not any(instant.verdict in FAILURES for instant in recent)

    def _note_divergence(self, curves: Columns) -> None:
        """Note since when each row has had a number that is not finite; with float16 a single one may pass."""
        spoilt: NDArray[np.bool_] = np.zeros(len(curves["iteration"]), dtype=bool)
        for column in curves.values():
            spoilt |= np.isinf(column)
        if not spoilt[-1]:
            self._spoilt_since = None
        elif not spoilt.all() or self._spoilt_since is None:
            fine = np.flatnonzero(~spoilt)
            self._spoilt_since = int(curves["iteration"][fine[-1] + 1 if len(fine) else 0])

    def _complete(self) -> Iterator[int]:
        """The instants up to which all rows are there."""
        iterations, least = self._curves["iteration"], self.thresholds.rows
        if not self._window:
            if len(iterations) < least:
                return
            self._spacing = max(1, int(np.median(np.diff(iterations[:least])))) if least > 1 else 1
            self._window = max(self.thresholds.window, least * self._spacing)
        first = int(iterations[0]) // self._window * self._window
        newest = int(iterations[-1])
        instant = max(first, self.instants[-1].iteration if self.instants else 0) + self._window
        while newest + self._spacing >= instant:
            yield instant
            instant += self._window

    def _judge(self, iteration: int, window: Columns) -> None:
        values = {name: m for name, column in window.items() if math.isfinite(m := _median(column))}
        values |= self._of_samples(iteration) | {"iteration": float(iteration)}
        verdict, evidence = shown_by(values, self.thresholds, self.bce)
        if iteration < self.thresholds.warm_up:
            verdict = "warming_up"
        self.instants.append(Instant(iteration, verdict, evidence))
        self._let_hold(iteration)

    def _of_samples(self, iteration: int) -> dict[str, float]:
        """The newest sample statistics by then, and the gap in the middle of the run."""
        known = [row for row in self._samples if row[0] <= iteration]
        if not known:
            return {}
        half = [values["gap"] for done, values in known if "gap" in values and done <= iteration / 2]
        return known[-1][1] | ({"gap_before": half[-1]} if half else {})

    def _let_hold(self, iteration: int) -> None:
        """Make what the newest instant shows the verdict, if it has held for long enough, and end one that has not."""
        now, newest = self.history[-1], self.instants[-1].verdict
        if newest not in ("warming_up", now.verdict) and self._holds(newest, 0):
            first = next(i for i in self.instants if i.iteration > iteration - self._long() and i.verdict == newest)
            self._turn_to(newest, first.iteration - self._window)
        elif now.verdict in FAILURES and self._has_faded(now):
            shown = [i.iteration for i in self.instants if i.verdict == now.verdict and i.iteration > now.since]
            self._turn_to("warming_up", max(shown, default=now.since))

    def _has_faded(self, now: Span) -> bool:
        """Whether hardly any instant has shown the verdict for as long as one has to hold."""
        newest = self.instants[-1].iteration
        held = [i for i in self.instants if i.iteration > newest - self._long()]
        agree = sum(instant.verdict == now.verdict for instant in held)
        return newest - now.since >= self._long() and agree <= (1 - self.thresholds.agreeing) * len(held)

    def _holds(self, verdict: Verdict, after: int) -> bool:
        """Whether what has been shown after an iteration is a verdict's for as long as it has to be."""
        newest = self.instants[-1].iteration
        begin = max(after, self.instants[0].iteration - self._window)
        held = [i for i in self.instants if i.iteration > max(begin, newest - self._long())]
        agree = sum(instant.verdict == verdict for instant in held)
        return newest - begin >= self._long() and agree >= self.thresholds.agreeing * len(held)

    def _long(self) -> float:
        """For how many iterations a verdict has to have held by the newest instant."""
        t = self.thresholds
        return min(max(t.hold * self.instants[-1].iteration, t.hold_least), t.hold_most)

    def _turn_to(self, verdict: Verdict, since: int) -> None:
        since = max(since, self.history[-1].since)
        self.history[-1].until = since
        self.history.append(Span(verdict, since))

    def _not_judged(self) -> list[str]:
        reasons = []
        if not self._samples:
            reasons.append("mode collapse, and whether anything is learnt: there are no statistics of samples")
        if not self.bce:
            reasons.append("losses, accuracies and D's outputs: the loss is not that of the original GAN")
        return reasons


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


def _median(column: NDArray[np.float64]) -> float:
    known = column[~np.isnan(column)]
    return float(np.median(known)) if len(known) else math.nan


def _plain(number: Number) -> dict[str, Any]:
    return {name: round(v, 6) if isinstance(v, float) else v for name, v in number._asdict().items()}
