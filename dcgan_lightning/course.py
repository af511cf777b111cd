"""The course of a run: its curves as they come, judged at instants, and what has held of that.

The curves are judged at *instants*, one every ``window`` iterations: the medians of the iterations since the last one,
and the newest row of sample statistics. What instants show becomes the run's verdict once it has held for a while. All
of it is a function of the curves, so that a run that trains and its finished tables get one verdict.
"""

import math
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dcgan_lightning.symptoms import Evidence, Thresholds, Verdict, shown_by

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


class Course:
    """The curves of a run as they come, judged instant by instant.

    Args:
        thresholds: what verdicts turn on.
        bce: as :func:`dcgan_lightning.diagnosis.diagnose` has it.

    Attributes:
        instants: so far.
        history: the verdicts that held, the newest last.
        seen: iterations done in the newest row.
        spoilt_since: the iteration from which on no row was finite; None: the newest is.
    """

    def __init__(self, thresholds: Thresholds, bce: bool) -> None:
        self.thresholds, self.bce = thresholds, bce
        self.instants: list[Instant] = []
        self.history = [Span("warming_up", 0)]
        self._curves: dict[str, NDArray[np.float64]] = {}  # rows since the last instant
        self._samples: list[tuple[int, dict[str, float]]] = []  # (iterations done, what is known)
        self._spacing = self._window = 0  # iterations between two rows, and instants; 0: not known yet
        self._ratio = 1  # iterations for an update of the network that has fewer of them
        self.seen = 0
        self.spoilt_since: int | None = None

    def extend(self, curves: Columns, samples: Columns | None) -> None:
        """Take rows of both that come after those before, and judge the instants that they complete."""
        for row, iteration in enumerate((samples or {}).get("iteration", ())):
            cells = {name: float(column[row]) for name, column in (samples or {}).items() if name != "iteration"}
            if known := {name: value for name, value in cells.items() if math.isfinite(value)}:
                self._samples.append((int(iteration), known))
        if not len(curves.get("iteration", ())):
            return
        before = self._curves or {name: column[:0] for name, column in curves.items()}
        self._curves = {name: np.concatenate([before[name], column]) for name, column in curves.items()}
        self.seen = int(self._curves["iteration"][-1]) + 1
        self._note_divergence(curves)
        judged = 0  # rows
        for iteration in self._complete():
            end = int(np.searchsorted(self._curves["iteration"], iteration))
            self._judge(iteration, {name: column[judged:end] for name, column in self._curves.items()})
            judged = end
        self._curves = {name: column[judged:] for name, column in self._curves.items()}

    @property
    def has_samples(self) -> bool:
        """Whether there are any statistics of samples."""
        return bool(self._samples)

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
        if not self.instants or self.instants[-1].iteration != self.seen or self.spoilt_since is not None:
            return False
        recent = self._instants_after(self.seen - max(self._long(), 2 * self._window - 1))
        judged = len(recent) > 1 and recent[0].iteration >= self.thresholds.warm_up * self._ratio
        return judged and not any(instant.verdict in FAILURES for instant in recent)

    def _note_divergence(self, curves: Columns) -> None:
        """Note since when each row has had a number that is not finite; with float16 a single one may pass."""
        spoilt: NDArray[np.bool_] = np.zeros(len(curves["iteration"]), dtype=bool)
        for column in curves.values():
            spoilt |= np.isinf(column)
        if not spoilt[-1]:
            self.spoilt_since = None
        elif not spoilt.all() or self.spoilt_since is None:
            fine = np.flatnonzero(~spoilt)
            self.spoilt_since = int(curves["iteration"][fine[-1] + 1 if len(fine) else 0])

    def _complete(self) -> Iterator[int]:
        """The instants up to which all rows are there, and between which there are any."""
        iterations, least = self._curves["iteration"], self.thresholds.rows
        if not self._window:
            if len(iterations) < least:
                return
            self._spacing = max(1, int(np.median(np.diff(iterations[:least])))) if least > 1 else 1
            self._window = max(self.thresholds.window, least * self._spacing)
        newest, row = int(iterations[-1]), 0
        while row < len(iterations):
            instant = (int(iterations[row]) // self._window + 1) * self._window
            if newest + self._spacing < instant:
                break
            yield instant
            row = int(np.searchsorted(iterations, instant))

    def _judge(self, iteration: int, window: Columns) -> None:
        if not self.instants:
            self._ratio = _ratio(window)
        values = {name: m for name, column in window.items() if math.isfinite(m := _median(column))}
        values |= self._of_samples(iteration) | {"updates": iteration / self._ratio}
        verdict, evidence = shown_by(values, self.thresholds, self.bce)
        self.instants.append(Instant(iteration, verdict, evidence))
        self._let_hold(iteration)

    def _of_samples(self, iteration: int) -> dict[str, float]:
        """The newest sample statistics by then, and those in the middle of the run so far, ``<name>_before``."""
        newest, middle = self._rows_by(iteration), self._rows_by(iteration / 2)
        now, before = (self._samples[rows - 1][1] if rows else {} for rows in (newest, middle))
        return now | {f"{name}_before": value for name, value in before.items()}

    def _rows_by(self, iteration: float) -> int:
        """How many rows of sample statistics were there by then."""
        return bisect_right(self._samples, iteration, key=lambda row: row[0])

    def _let_hold(self, iteration: int) -> None:
        """Make what the newest instant shows the verdict, if it has held for long enough, and end one that has not."""
        now, newest = self.history[-1], self.instants[-1].verdict
        if newest not in ("warming_up", now.verdict) and self._holds(newest, 0):
            first = next(i for i in self._instants_after(iteration - self._long()) if i.verdict == newest)
            self._turn_to(newest, first.iteration - self._window)
        elif now.verdict != "warming_up" and self._has_faded(now):
            shown = [i.iteration for i in self._instants_after(now.since) if i.verdict == now.verdict]
            self._turn_to("warming_up", max(shown, default=now.since))

    def _has_faded(self, now: Span) -> bool:
        """Whether hardly any instant has shown the verdict for as long as one has to hold."""
        newest = self.instants[-1].iteration
        held = self._instants_after(newest - self._long())
        agree = sum(instant.verdict == now.verdict for instant in held)
        return newest - now.since >= self._long() and agree <= (1 - self.thresholds.agreeing) * len(held)

    def _holds(self, verdict: Verdict, after: int) -> bool:
        """Whether what has been shown after an iteration is a verdict's for as long as it has to be."""
        newest = self.instants[-1].iteration
        begin = max(after, self.instants[0].iteration - self._window)
        held = self._instants_after(max(begin, newest - self._long()))
        agree = sum(instant.verdict == verdict for instant in held)
        return newest - begin >= self._long() and agree >= self.thresholds.agreeing * len(held)

    def _instants_after(self, iteration: float) -> list[Instant]:
        return self.instants[bisect_right(self.instants, iteration, key=lambda instant: instant.iteration) :]

    def _long(self) -> float:
        """For how many iterations a verdict has to have held by the newest instant."""
        t = self.thresholds
        return min(max(t.hold * self.instants[-1].iteration, t.hold_least * self._ratio), t.hold_most * self._ratio)

    def _turn_to(self, verdict: Verdict, since: int) -> None:
        since = max(since, self.history[-1].since)
        self.history[-1].until = since
        self.history.append(Span(verdict, since))


def _ratio(window: Columns) -> int:
    """Iterations for an update of the network that has fewer: the cells of its loss are empty in all others."""
    counts = []
    for losses in (("loss_d", "loss_d_real", "loss_d_fake"), ("loss_g",)):
        known = [~np.isnan(window[name]) for name in losses if name in window]
        counts += [int(np.any(known, axis=0).sum())] if known else []
    return max([1, *(round(len(window["iteration"]) / count) for count in counts if count)])


def _median(column: NDArray[np.float64]) -> float:
    known = column[~np.isnan(column)]
    return float(np.median(known)) if len(known) else math.nan
