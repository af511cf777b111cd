"""The console: the progress bar, or the lines that the author of a published system prints."""

import math
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple, Protocol

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from dcgan_lightning.callbacks.progress import Progress
from dcgan_lightning.trainer import total_iterations


class Position(NamedTuple):
    """Where a run is: iterations done; epoch and batch at hand, from 0; how many of them the run and an epoch have."""

    iteration: int
    epoch: int
    epochs: int
    batch: int
    batches: int


class Form(Protocol):
    """What an author prints, and in every how many batches of an epoch, the first included."""

    every: int

    def line(self, at: Position, value: Mapping[str, float]) -> str: ...


class Tutorial:
    """PyTorch's DCGAN faces tutorial: the summed loss of D, and D(G(z)) before and after D's step."""

    every = 50

    def line(self, at: Position, value: Mapping[str, float]) -> str:
        return (
            f"[{at.epoch}/{at.epochs}][{at.batch}/{at.batches}]\t"
            f"Loss_D: {value['loss_d']:.4f}\tLoss_G: {value['loss_g']:.4f}\t"
            f"D(x): {value['d_x']:.4f}\tD(G(z)): {value['d_gz_before']:.4f} / {value['d_gz_after']:.4f}"
        )


class MLP:
    """The MLP GAN on MNIST: both losses, and D's mean verdicts on real images and on fakes."""

    every = 300

    def line(self, at: Position, value: Mapping[str, float]) -> str:
        return (
            f"[Epoch {at.epoch}/{at.epochs}] [Batch {at.batch}/{at.batches}] "
            f"[D loss: {value['loss_d']:.6f}] [G loss: {value['loss_g']:.6f}] "
            f"[D real: {value['d_x']:.6f}] [D fake: {value['d_gz_before']:.6f}]"
        )


class Guide:
    """The guide to GAN failure modes: losses, and accuracies on real and fake in whole per cent, cut off.

    D has two losses, but one where it was trained on real and fake as one batch. The values tell: there ``loss_d`` is
    the mean of its halves, and else their sum. Once told apart it stays so, since losses that reached zero do not tell.
    """

    every = 1

    def __init__(self) -> None:
        self._stacked: bool | None = None

    def line(self, at: Position, value: Mapping[str, float]) -> str:
        d = f"d={value['loss_d']:.3f}"
        if not self._is_stacked(value):
            d = f"d1={value['loss_d_real']:.3f}, d2={value['loss_d_fake']:.3f}"
        accuracies = f"a1={_per_cent(value['acc_real'])}, a2={_per_cent(value['acc_fake'])}"
        return f">{at.iteration}, {d} g={value['loss_g']:.3f}, {accuracies}"

    def _is_stacked(self, value: Mapping[str, float]) -> bool:
        both = value["loss_d_real"] + value["loss_d_fake"]
        if self._stacked is None and math.isfinite(both) and both != 0:
            self._stacked = abs(value["loss_d"] - both / 2) < abs(value["loss_d"] - both)
        return bool(self._stacked)


def _per_cent(fraction: float) -> str:
    # The mean over a batch is a float32, and 0.29 as a float32 is a little less than 29%.
    return f"{int(100 * fraction + 1e-4)}" if math.isfinite(fraction) else "nan"


class AuthorsLines(Callback):
    """Prints an author's lines on standard output, each about the batch that has just been trained on.

    On several devices values are the mean over all of them. A network that was not due in the iteration shows its
    newest values, and ``nan`` as long as it has none. Values are fetched from the device for a line only.

    Args:
        form: of the lines.
    """

    def __init__(self, form: Form) -> None:
        self.form = form
        self._newest: dict[str, Tensor] = {}

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._newest.update(outputs)
        if batch_idx % self.form.every == 0:
            known = self._means(trainer)  # a collective, and only rank 0 prints
            if trainer.is_global_zero:
                print(self.form.line(_position(trainer, batch_idx), _NanWhereUnknown(known)), flush=True)

    def _means(self, trainer: Trainer) -> dict[str, float]:
        """Over all devices."""
        if not self._newest:
            return {}
        values = torch.stack([value.float() for value in self._newest.values()])
        return dict(zip(self._newest, trainer.strategy.reduce(values, reduce_op="mean").tolist(), strict=True))

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        checkpoint[type(self).__name__] = {"newest": self._means(trainer), "form": dict(vars(self.form))}

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        state = checkpoint.get(type(self).__name__, {"newest": {}, "form": {}})
        self._newest = {name: torch.tensor(value, device=pl_module.device) for name, value in state["newest"].items()}
        vars(self.form).update({name: state["form"].get(name, value) for name, value in vars(self.form).items()})


class _NanWhereUnknown(dict[str, float]):
    def __missing__(self, name: str) -> float:
        return math.nan


def _position(trainer: Trainer, batch_idx: int) -> Position:
    batches = int(trainer.num_training_batches)
    epochs = math.ceil(total_iterations(trainer) / batches)
    return Position(trainer.global_step, trainer.current_epoch, epochs, batch_idx, batches)


AUTHORS: dict[str, Callable[[], Form]] = {"tutorial": Tutorial, "mlp": MLP, "guide": Guide}


def make_console(form: Literal["progress", "tutorial", "mlp", "guide"], line_every: float) -> Callback:
    """What the console shows while a run trains.

    Args:
        form: ``progress`` for the bar, or whose lines to print instead.
        line_every: of the bar: seconds between two lines where the console is not a terminal.
    """
    return AuthorsLines(AUTHORS[form]()) if form in AUTHORS else Progress(line_every)
