"""What the console shows while a run trains."""

import time
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.progress import Progress as Bar
from rich.text import Text

from dcgan_lightning.trainer import total_iterations

SHOWN = {"loss_d": "loss_d", "loss_g": "loss_g", "d_x": "D(x)", "d_gz_before": "D(G(z))"}


class Progress(Callback):
    """Iterations done, the newest scalars, iterations/s and time left: a bar in a terminal, else a line now and then.

    Args:
        line_every: seconds between two lines where the console is not a terminal.
    """

    def __init__(self, line_every: float) -> None:
        self.line_every = line_every
        self.console = Console(stderr=True, highlight=False)
        self._live: Live | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._total = total_iterations(trainer)
        self._first = trainer.global_step
        self._began = self._last_line = time.monotonic()
        if trainer.is_global_zero and self.console.is_terminal:
            self._bar = Bar(BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"), console=self.console)
            self._task = self._bar.add_task("", total=self._total, completed=self._first)
            self._scalars = Text()  # below the bar, since both do not fit into 80 columns
            self._live = Live(Group(self._bar, self._scalars), console=self.console)
            self._live.start()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self._live is not None:
            self._show(trainer)
        elif trainer.is_global_zero and time.monotonic() - self._last_line >= self.line_every:
            self._last_line = time.monotonic()
            self._line(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._live is not None:
            self._show(trainer)
            self._stop()
        elif trainer.is_global_zero:
            self._line(trainer)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._stop()

    def _stop(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _show(self, trainer: Trainer) -> None:
        self._bar.update(self._task, completed=trainer.global_step, description=self._pace(trainer))
        self._scalars.plain = self._newest(trainer)

    def _line(self, trainer: Trainer) -> None:
        words = (f"{trainer.global_step}/{self._total}", self._newest(trainer), self._pace(trainer))
        self.console.print("  ".join(word for word in words if word), soft_wrap=True)

    @staticmethod
    def _newest(trainer: Trainer) -> str:
        metrics = trainer.callback_metrics
        return "  ".join(f"{name} {float(metrics[key]):.3f}" for key, name in SHOWN.items() if key in metrics)

    def _pace(self, trainer: Trainer) -> str:
        done = trainer.global_step - self._first
        pace = done / max(time.monotonic() - self._began, 1e-9)  # iterations/s
        left = (self._total - trainer.global_step) / pace if done else 0.0  # s
        clock = f"{int(left) // 3600}:{int(left) // 60 % 60:02d}:{int(left) % 60:02d}"
        return f"{pace:.1f} it/s  {clock} left"
