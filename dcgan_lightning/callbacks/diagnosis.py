"""The verdict on a run while it trains: said when it changes, written down, and acted on."""

from pathlib import Path
from typing import Any, Literal

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger

from dcgan_lightning.callbacks.failure import on_any_rank
from dcgan_lightning.callbacks.scalars import Scalars
from dcgan_lightning.course import Course, Span
from dcgan_lightning.curves import METRICS, SAMPLES
from dcgan_lightning.diagnosing import DIAGNOSIS, is_original, words, write
from dcgan_lightning.diagnosis import Diagnosis as Verdict
from dcgan_lightning.diagnosis import concluded, with_rolled_back
from dcgan_lightning.errors import Refusal, refuse_below
from dcgan_lightning.finding import GOOD, flaw
from dcgan_lightning.finite import NonFiniteError
from dcgan_lightning.judged_tables import Growing
from dcgan_lightning.launch import call_off_watch
from dcgan_lightning.resuming import RunRecord
from dcgan_lightning.symptoms import Thresholds
from dcgan_lightning.weights import read

OnFailure = Literal["warn", "stop", "rollback"]
# Options with which a run that goes on is another case: a failure that held before says little of it.
TREATMENT = ("model.", "loss.", "data.", "diagnosis.", "callbacks.diagnosis.")


class GivenUp(Exception):
    """A run was stopped since its verdict is a failure, cleanly: all that a run leaves at its end is there."""

    def __init__(self, verdict: str, since: int, iterations: int, why: str) -> None:
        super().__init__(f"diagnosis: {verdict} since iteration {since}, stopped after {iterations} iterations{why}")


class RolledBack(Exception):
    """A run leaves an iteration, on all ranks, to go back to an earlier one.

    Attributes:
        verdict: for which it does.
        since: iterations done when that began.
        at: iterations done now.
        to: iterations done in ``checkpoints/good.ckpt``, where it goes back to.
    """

    def __init__(self, verdict: str, since: int, at: int, to: int) -> None:
        super().__init__(f"{verdict} since iteration {since}: from {at} back to {to}")
        self.verdict, self.since, self.at, self.to = verdict, since, at, to


class Diagnosis(Callback):
    """Judges a run by its tables as they grow (:mod:`dcgan_lightning.diagnosis`), and writes ``diagnosis.json``.

    It reads what :class:`~dcgan_lightning.callbacks.scalars.Scalars` and
    :class:`~dcgan_lightning.callbacks.samples.Samples` have written, so that it comes after them, and so that
    ``diagnose.py`` comes to the same verdict. A new verdict goes to the console and to TensorBoard.

    A failure that has held is acted on. Where a run goes on that was stopped for one, or with another value of one of
    the options in :data:`TREATMENT`, it has to hold anew from there. What state there is, checkpoints keep, so that a
    run that was interrupted acts when it would have acted.

    Args:
        thresholds: what verdicts turn on.
        on_failure: what a failure does: ``warn`` says it; ``stop`` also ends the run, as if the iteration were its
            last; ``rollback`` has the run go back to ``checkpoints/good.ckpt``, with lower learning rates
            (:mod:`dcgan_lightning.rollback`), also from numbers that are not finite, and ends it where that is not
            possible.
        good_every: iterations between two saves of ``good.ckpt`` at least, a state with no failure behind it.
        lr_factor: of the learning rates at each rollback, above 0 and below 1.
        rollbacks: how many at most, those of a run that is gone on from included.

    Attributes:
        rolled_back: records of the rollbacks so far, as ``history`` of ``diagnosis.json`` has them.
        good_at: iterations done in the newest ``good.ckpt``; None for none.

    Raises:
        Refusal: a number that cannot work.
        RolledBack: the run is to go back (on all ranks).
    """

    def __init__(
        self, thresholds: Thresholds, on_failure: OnFailure, good_every: int, lr_factor: float, rollbacks: int
    ) -> None:
        refuse_below(1, callbacks__diagnosis__good_every=good_every, callbacks__diagnosis__rollbacks=rollbacks)
        if not 0 < lr_factor < 1:
            problem = "is what the learning rates are multiplied by, and has to be above 0 and below 1"
            raise Refusal("callbacks.diagnosis.lr_factor", lr_factor, problem, "callbacks.diagnosis.lr_factor=0.5")
        self.thresholds, self.on_failure = thresholds, on_failure
        self.good_every, self.lr_factor, self.rollbacks = good_every, lr_factor, rollbacks
        self.rolled_back: list[dict[str, Any]] = []
        self.good_at: int | None = None
        self._anew_at = 0  # iterations done where a failure begins to count
        self._given_up: GivenUp | None = None

    def state_dict(self) -> dict[str, Any]:
        return {"rolled_back": self.rolled_back, "good_at": self.good_at, "anew_at": self._anew_at}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.rolled_back, self.good_at = list(state_dict["rolled_back"]), state_dict["good_at"]
        self._anew_at = int(state_dict["anew_at"])

    def on_fit_start(self, trainer: Trainer, pl_module: Any) -> None:
        self._given_up = None
        self._begin_anew_if_treated(trainer)
        if trainer.is_global_zero:
            folder = Path(trainer.default_root_dir)
            self._course = Course(self.thresholds, is_original(pl_module.loss))
            self._tables = Growing(folder / METRICS), Growing(folder / SAMPLES)
            diagnosis = self._judge()
            self._said = diagnosis.verdict  # that of a resumed run's earlier rows is no news
            if self.rolled_back:
                write(diagnosis, folder / DIAGNOSIS)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.global_step % self.thresholds.window:
            return
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, Scalars):
                callback.fetch(trainer)  # so that it is judged at the same iterations wherever the run was interrupted
        if trainer.is_global_zero:
            self._say_news(trainer, self._judge())
        if self.on_failure != "warn":
            self._act(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._conclude(trainer)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._conclude(trainer, str(exception) if isinstance(exception, NonFiniteError) else "")

    def raise_if_given_up(self, trainer: Trainer) -> None:
        """Raise ``GivenUp`` on all ranks where the run was stopped for its verdict; once it has ended."""
        if self._given_up is not None:
            call_off_watch()
            trainer.strategy.barrier("given up")  # no rank is gone before rank 0 knows that it is to end
            raise self._given_up

    def back_from(self, trainer: Trainer, error: NonFiniteError) -> RolledBack | None:
        """Where to go back to from numbers that are not finite; None where the run is to fail. All ranks call it."""
        if self.on_failure != "rollback" or not trainer.global_step:
            return None
        to: int | None = None
        since = 0
        if trainer.is_global_zero:
            (to, _), since = self._way_back(trainer), concluded(self._course, str(error)).since
        to, since = trainer.strategy.broadcast((to, since))
        return None if to is None else RolledBack("diverged", since, trainer.global_step, to)

    def _begin_anew_if_treated(self, trainer: Trainer) -> None:
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, RunRecord) and callback.resumed is not None:
                then, now = callback.resumed.run["settings"], callback.record["settings"]
                if _treatment(then) != _treatment(now):
                    self._anew_at = callback.resumed.iteration

    def _act(self, trainer: Trainer) -> None:
        """Stop or go back for a failure, or note that the state is good."""
        span: Span | None = None
        sound = False
        if trainer.is_global_zero:
            span, sound = self._course.failing(self._anew_at), self._course.sound()
        failing, good = on_any_rank(trainer, span is not None, sound)
        if failing:
            self._end(trainer, span)
        elif good and self.on_failure == "rollback":
            first = self.good_at is None
            if first or trainer.global_step - self.good_at >= self.good_every:  # type: ignore[operator]
                self.good_at = trainer.global_step

    def _end(self, trainer: Trainer, span: Span | None) -> None:
        plan: Any = (span.verdict, span.since, *self._way_back(trainer)) if span is not None else None  # rank 0's
        verdict, since, to, why = trainer.strategy.broadcast(plan)
        if to is not None:
            raise RolledBack(verdict, since, trainer.global_step, to)
        self._anew_at = trainer.global_step
        self._given_up = GivenUp(verdict, since, trainer.global_step, why)
        trainer.should_stop = True  # after this iteration, which all that comes after this takes for the last

    def _way_back(self, trainer: Trainer) -> tuple[int | None, str]:
        """The iteration to go back to, or None and why there is none, in words; on rank 0."""
        if self.on_failure == "stop":
            return None, ""
        if (count := len(self.rolled_back)) >= self.rollbacks:
            return None, f"; after {count} rollback{'s' * (count > 1)}, which is as many as it was to have"
        file = Path(trainer.default_root_dir) / "checkpoints" / GOOD
        if not file.is_file():
            return None, "; there was no good state to go back to"
        if (problem := flaw(file)) is not None:
            return None, f"; {file.name} cannot be gone back to: {problem}"
        return int(read("ckpt_path", file)["global_step"]), ""

    def _judge(self) -> Verdict:
        curves, samples = (table.new_rows() for table in self._tables)
        self._course.extend(curves, samples)
        return self._whole("")

    def _whole(self, failure: str) -> Verdict:
        return with_rolled_back(concluded(self._course, failure), [Span.of_record(r) for r in self.rolled_back])

    def _conclude(self, trainer: Trainer, failure: str = "") -> None:
        if not trainer.is_global_zero or not hasattr(self, "_course"):
            return
        self._say_news(trainer, self._judge())
        write(self._whole(failure), Path(trainer.default_root_dir) / DIAGNOSIS)

    def _say_news(self, trainer: Trainer, diagnosis: Verdict) -> None:
        if diagnosis.verdict == self._said:
            return
        self._said = diagnosis.verdict
        write(diagnosis, Path(trainer.default_root_dir) / DIAGNOSIS)
        text = "\n".join(words(diagnosis))
        # What is well needs no reasons.
        print(f"\n{text}\n" if diagnosis.failing else next(words(diagnosis)), flush=True)
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                logger.experiment.add_text("diagnosis", f"```\n{text}\n```", trainer.global_step)


def _treatment(settings: dict[str, Any]) -> dict[str, Any]:
    return {option: value for option, value in settings.items() if option.startswith(TREATMENT)}
