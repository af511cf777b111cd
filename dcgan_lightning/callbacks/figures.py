"""The pictures of the whole run, drawn when it ends."""

import shlex
from pathlib import Path

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_warn

from dcgan_lightning import signals
from dcgan_lightning.callbacks.diagnosis import RolledBack
from dcgan_lightning.rebuilding import PICTURES, make, reason_of


class Figures(Callback):
    """Draws curves, an animation of the grids, and real beside generated images, once the run's files are written.

    It has to come after the callbacks that write those files. A run that failed has its pictures as far as it came;
    one that a signal stopped has no time for them, and one that goes back is not at its end. What cannot be drawn is
    warned of and harms nothing else.
    """

    def __init__(self) -> None:
        self._begun = False

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._begun = False

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._draw(trainer)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        if not signals.received() and not isinstance(exception, RolledBack):
            self._draw(trainer)

    def _draw(self, trainer: Trainer) -> None:
        if self._begun or not trainer.is_global_zero:  # begun: someone pressed Ctrl-C because it takes too long
            return
        self._begun = True
        folder = Path(trainer.default_root_dir)
        failed = make(PICTURES, folder).failed
        if failed:
            reasons = "; ".join(f"{name} ({reason_of(error)})" for name, error in failed.items())
            again = shlex.join(["python", "rebuild.py", f"run={folder}"])
            rank_zero_warn(f"could not be drawn: {reasons}. Once that is mended: {again}")
