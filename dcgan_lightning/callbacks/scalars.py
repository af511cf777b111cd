"""The scalars of every iteration, in metrics.csv and in every logger, without waiting for the device in each."""

from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import Logger, TensorBoardLogger
from tensorboard.compat.proto.summary_pb2 import Summary
from torch import Tensor

from dcgan_lightning.callbacks.failure import raise_if_rows_wait
from dcgan_lightning.curves import SCALARS
from dcgan_lightning.errors import refuse_below
from dcgan_lightning.finite import NonFiniteError
from dcgan_lightning.tables import Table

COLUMNS = ("iteration", "epoch", *SCALARS)


class Scalars(Callback):
    """Writes what ``training_step`` returns: one row an iteration, empty cells for a network that was not due.

    Losses are in nats; ``d_x`` is the mean D(x); ``d_gz_before`` and ``d_gz_after`` are the mean D(G(z)) in D's and in
    G's update; ``acc_*`` are fractions that D judged rightly. On several devices each is the mean over all of them.
    The newest row also stands in ``trainer.callback_metrics``.

    Args:
        fetch_every: iterations between two fetches from the device.
    """

    def __init__(self, fetch_every: int) -> None:
        refuse_below(1, callbacks__scalars__fetch_every=fetch_every)
        self.fetch_every = fetch_every
        self._pending: list[tuple[int, int, frozenset[str], Tensor]] = []  # still on the device
        self._table = Table(COLUMNS)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.is_global_zero:  # a resumed run's is there, with its rows so far
            self._table.append(self._file(trainer))

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        absent = torch.zeros((), device=pl_module.device)
        values = torch.stack([outputs.get(name, absent).float() for name in SCALARS])  # (9,)
        self._pending.append((trainer.global_step - 1, trainer.current_epoch, frozenset(outputs), values))
        if len(self._pending) >= self.fetch_every:
            self.fetch(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.fetch(trainer)
        raise_if_rows_wait(trainer, self._table)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        self.fetch(trainer)  # so that no row before a checkpoint can be lost
        if trainer.is_global_zero:
            self._table.sync(self._file(trainer))

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        # The mean needs all ranks; of other errors than these some may not get here.
        if trainer.world_size == 1 or isinstance(exception, NonFiniteError):
            self.fetch(trainer)

    def fetch(self, trainer: Trainer) -> None:
        """Write the rows that are still on the device; a collective."""
        if not self._pending:
            return
        pending, self._pending = self._pending, []
        block = torch.stack([values for *_, values in pending])  # (iterations, 9)
        rows = trainer.strategy.reduce(block, reduce_op="mean").tolist()
        if not trainer.is_global_zero:
            return
        table = []
        for (iteration, epoch, due, _), row in zip(pending, rows, strict=True):
            known = {name: value for name, value in zip(SCALARS, row, strict=True) if name in due}
            # Nine digits tell any two float32 numbers apart.
            table.append([iteration, epoch, *(f"{known[n]:.9g}" if n in known else "" for n in SCALARS)])
            for logger in trainer.loggers:
                log(logger, known, iteration)
            trainer.callback_metrics.update({name: torch.tensor(value) for name, value in known.items()})
        self._table.append(self._file(trainer), table)

    @staticmethod
    def _file(trainer: Trainer) -> Path:
        return Path(trainer.default_root_dir) / "metrics.csv"


def log(logger: Logger, values: dict[str, float], iteration: int) -> None:
    """Hand one iteration's scalars to a logger; to TensorBoard as one event: nine take ten times as long."""
    if isinstance(logger, TensorBoardLogger):
        summary = Summary(value=[Summary.Value(tag=name, simple_value=value) for name, value in values.items()])
        logger.experiment.file_writer.add_summary(summary, iteration)
    else:
        logger.log_metrics(values, step=iteration)
