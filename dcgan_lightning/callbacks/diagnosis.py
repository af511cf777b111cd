"""The verdict on a run while it trains: said when it changes, written down, and acted on."""

from pathlib import Path
from typing import Any, Literal

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger

from dcgan_lightning.callbacks.failure import on_any_rank
from dcgan_lightning.curves import METRICS, SAMPLES
from dcgan_lightning.diagnosing import DIAGNOSIS, is_original, words, write
from dcgan_lightning.diagnosis import Course
from dcgan_lightning.diagnosis import Diagnosis as Verdict
from dcgan_lightning.finite import NonFiniteError
from dcgan_lightning.judged_tables import Growing
from dcgan_lightning.symptoms import Thresholds

OnFailure = Literal["warn", "stop", "rollback"]


class GivenUp(Exception):
    """A run was stopped since its verdict is a failure, cleanly: all that a run leaves is there.

    Attributes:
        verdict: on which it was stopped.
        since: iterations done when that began.
    """

    def __init__(self, verdict: str, since: int, iterations: int) -> None:
        super().__init__(f"diagnosis: {verdict} since iteration {since}, stopped after {iterations}")
        self.verdict, self.since = verdict, since


class Diagnosis(Callback):
    """Judges a run by its tables as they grow (:mod:`dcgan_lightning.diagnosis`), and writes ``diagnosis.json``.

    It reads what :class:`~dcgan_lightning.callbacks.scalars.Scalars` and
    :class:`~dcgan_lightning.callbacks.samples.Samples` have written, so that it comes after them, and so that
    ``diagnose.py`` comes to the same verdict. A new verdict goes to the console and to TensorBoard.

    Args:
        thresholds: what verdicts turn on.
        on_failure: what a verdict that is a failure does: ``warn`` says it; ``stop`` also ends the run.
    """

    def __init__(self, thresholds: Thresholds, on_failure: OnFailure) -> None:
        self.thresholds, self.on_failure = thresholds, on_failure
        self.failed: Verdict | None = None  # for which the run is ended, on all ranks' rank 0
        self._stopping = False

    def on_fit_start(self, trainer: Trainer, pl_module: Any) -> None:
        self.failed, self._stopping = None, False
        if trainer.is_global_zero:
            folder = Path(trainer.default_root_dir)
            self._course = Course(self.thresholds, is_original(pl_module.loss))
            self._tables = Growing(folder / METRICS), Growing(folder / SAMPLES)
            self._said = self._judge().verdict  # that of a resumed run's earlier rows is no news

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.global_step % self.thresholds.window:
            return
        failing = False
        if trainer.is_global_zero:
            diagnosis = self._judge()
            self._say_news(trainer, diagnosis)
            failing = diagnosis.failing
            self.failed = diagnosis if failing else None
        if self.on_failure == "stop" and any(on_any_rank(trainer, failing)):
            trainer.should_stop = True  # at the end of this iteration, as if it were the last
            self._stopping = True

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._conclude(trainer)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._conclude(trainer, str(exception) if isinstance(exception, NonFiniteError) else "")

    def raise_if_given_up(self, trainer: Trainer) -> None:
        """Raise ``GivenUp`` on all ranks where the run was stopped for its verdict; once it has ended."""
        if self._stopping:
            verdict, since = (self.failed.verdict, self.failed.since) if self.failed else ("a failure", 0)
            raise GivenUp(verdict, since, trainer.global_step)

    def _judge(self) -> Verdict:
        curves, samples = (table.new_rows() for table in self._tables)
        self._course.extend(curves, samples)
        return self._course.diagnosis()

    def _conclude(self, trainer: Trainer, failure: str = "") -> None:
        if not trainer.is_global_zero or not hasattr(self, "_course"):
            return
        self._say_news(trainer, self._judge())
        write(self._course.diagnosis(failure), Path(trainer.default_root_dir) / DIAGNOSIS)

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
