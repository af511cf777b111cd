"""last.ckpt and best.ckpt, in Lightning's format."""

import shutil
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint

from dcgan_lightning.callbacks.fid import FID
from dcgan_lightning.errors import refuse_below
from dcgan_lightning.trainer import due


class Checkpoints(Checkpoint):
    """Saves ``checkpoints/last.ckpt`` every so many iterations and at the end, ``best.ckpt`` at each best FID.

    Lightning runs checkpoint callbacks after all others, so that an FID of the same iteration is known.

    Args:
        every: iterations between two saves of ``last.ckpt``.
    """

    def __init__(self, every: int) -> None:
        refuse_below(1, callbacks__checkpoints__every=every)
        self.every = every
        self._saved_at: dict[str, int] = {}  # the iteration at which each file was last written

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # The best so far may stay the best: a resumed run keeps it in its own folder.
        inherited = any(isinstance(callback, FID) and callback.best is not None for callback in _callbacks(trainer))
        if inherited and trainer.ckpt_path is not None and trainer.is_global_zero:
            best = Path(trainer.ckpt_path).with_name("best.ckpt")
            if best.is_file():
                folder = Path(trainer.default_root_dir) / "checkpoints"
                folder.mkdir(parents=True, exist_ok=True)
                shutil.copy2(best, folder / "best.ckpt")

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if due(trainer, self.every):
            self._save(trainer, pl_module, "last.ckpt")
        self._save_if_best(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._save(trainer, pl_module, "last.ckpt")
        self._save_if_best(trainer, pl_module)

    def _save_if_best(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if any(
            isinstance(callback, FID) and callback.improved(trainer.global_step) for callback in _callbacks(trainer)
        ):
            self._save(trainer, pl_module, "best.ckpt")

    def _save(self, trainer: Trainer, pl_module: Any, name: str) -> None:
        if self._saved_at.get(name) == trainer.global_step:
            return
        self._saved_at[name] = trainer.global_step
        pl_module.sync_buffers()
        # weights_only here would leave out the optimizers.
        trainer.save_checkpoint(Path(trainer.default_root_dir) / "checkpoints" / name, weights_only=False)


def _callbacks(trainer: Trainer) -> list[Callback]:
    return trainer.callbacks  # type: ignore[attr-defined]
