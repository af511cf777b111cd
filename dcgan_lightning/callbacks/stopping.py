"""A signal ends a run between two iterations, on all ranks at the same."""

from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import distributed

from dcgan_lightning import signals
from dcgan_lightning.launch import call_off_watch


class Stopping(Callback):
    """Has signals noted while iterations run, and all ranks agree after each whether one of them has had one.

    Comes before the callbacks that take long: what they would do at this iteration is left for the resumed run once
    :func:`dcgan_lightning.signals.agreed` says so, and the last callback, which saves, raises ``Stopped``. Before the
    first and after the last iteration signals raise at once.
    """

    def __init__(self) -> None:
        self._group: Any = None  # of processes; None: the default one

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.world_size > 1 and distributed.get_backend() != "gloo":
            # Agreeing over the devices would have the processor wait for them in each iteration.
            self._group = distributed.new_group(backend="gloo")

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        signals.defer(True)
        stop_here_if_any(trainer, self._group)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        agree(trainer, self._group)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        stop_here_if_any(trainer, self._group)
        signals.defer(False)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        signals.defer(False)
        call_off_watch()


def agree(trainer: Trainer, group: Any = None) -> bool:
    """Whether any rank has had a signal, from now on the same on all of them; a collective.

    Args:
        trainer: in training.
        group: of all processes, over which to agree; None: the default one.
    """
    signum = signals.agreed() or signals.received()
    if trainer.world_size > 1:
        device = trainer.strategy.root_device if group is None else torch.device("cpu")
        highest = torch.full((), signum, device=device)
        distributed.all_reduce(highest, distributed.ReduceOp.MAX, group)
        signum = int(highest)
    if signum:
        signals.agree_on(signum)
        call_off_watch()
        signals.leave_broken_pipes()  # what is printed from here on must not come between the run and its checkpoint
    return bool(signum)


def stop_here_if_any(trainer: Trainer, group: Any = None) -> None:
    """Raise ``Stopped`` on all ranks if any of them has had a signal, where nothing is to be saved; a collective."""
    if agree(trainer, group):
        raise signals.Stopped(signals.agreed())
