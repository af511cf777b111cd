"""Stops a run whose numbers are none any more, and says where it began."""

from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.plugins.precision import MixedPrecision
from torch import Tensor

from dcgan_lightning.callbacks.failure import raise_on_every_rank
from dcgan_lightning.errors import refuse_below
from dcgan_lightning.finite import NonFiniteError, floats_of, not_finite
from dcgan_lightning.trainer import due

SMALLEST_SCALE = 2.0**-24  # float16's smallest number above 0


class Finite(Callback):
    """Looks for NaN and infinity in what ``training_step`` returned, and in the parameters and buffers of the module.

    It looks every so many iterations, at the end, and, at the losses, before a checkpoint is saved; until then it only
    keeps each iteration's tensors, so that nothing waits for the device. A loss is named with its own iteration.

    With ``trainer.precision=16-mixed`` an update that overflows is left out, and the next one tries with smaller
    gradients: a loss counts there once it has not been finite for ``every`` iterations, and so does a scale of the
    gradients that has come down to nothing. Parameters and buffers count at once.

    Args:
        every: iterations between two looks, within which a run stops.

    Raises:
        NonFiniteError: something is not finite (on all ranks, in a look).
    """

    def __init__(self, every: int) -> None:
        refuse_below(1, callbacks__finite__every=every)
        self.every = every
        self._since_look: list[tuple[int, dict[str, Tensor]]] = []  # iterations and what they returned
        self._not_since: dict[str, int] = {}  # float16: the iteration from which on a scalar has not been finite
        self._looked_after = -1

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._since_look.clear()
        self._not_since.clear()
        self._looked_after = -1

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._since_look.append((trainer.global_step - 1, outputs))
        if due(trainer, self.every):
            self._look(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._looked_after != trainer.global_step:
            self._look(trainer, pl_module)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        # The networks were looked at by then: callbacks.checkpoints saves none that are not finite.
        scalars = self._scalars()
        flags = [flag for block in _flags(scalars) for flag in block.tolist()]
        self._stop_if(trainer, self._in_scalars(trainer, scalars, flags))

    def _look(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._looked_after = trainer.global_step
        scalars, networks = self._scalars(), floats_of(pl_module)
        # The host waits for the device here, once.
        flags = torch.cat([*_flags(scalars), not_finite(list(networks.values()))]).tolist()
        in_scalars = self._in_scalars(trainer, scalars, flags[: len(scalars)])
        spoilt = next((name for name, bad in zip(networks, flags[len(scalars) :], strict=True) if bad), None)
        if spoilt is None:
            self._stop_if(trainer, in_scalars or _scale_gone(trainer))
        elif in_scalars:
            self._stop_if(trainer, f"{in_scalars}, nor is {spoilt} after {trainer.global_step} iterations")
        else:
            found = f"found after {trainer.global_step} iterations"
            self._stop_if(trainer, f"{spoilt} is not finite (NaN or infinity), {found}")

    def _scalars(self) -> dict[tuple[int, str], Tensor]:
        """What came since the last look, by iteration and name."""
        rows, self._since_look = self._since_look, []
        return {(iteration, name): value for iteration, row in rows for name, value in row.items()}

    def _in_scalars(self, trainer: Trainer, scalars: dict[tuple[int, str], Tensor], flags: list[bool]) -> str:
        """Which scalar is not finite, in words; empty for none."""
        for (iteration, name), bad in zip(scalars, flags, strict=True):
            if bad and not _overflows(trainer):
                return f"{name} in iteration {iteration} is not finite (NaN or infinity)"
            if not bad:
                self._not_since.pop(name, None)
            elif iteration - (since := self._not_since.setdefault(name, iteration)) >= self.every - 1:
                return f"{name} was not finite (NaN or infinity) from iteration {since} to {iteration} throughout"
        return ""

    def _stop_if(self, trainer: Trainer, found: str) -> None:
        """Stop on all ranks where any of them found something."""
        raise_on_every_rank(trainer, NonFiniteError(_advice(trainer, found)) if found else None)


def _flags(scalars: dict[tuple[int, str], Tensor]) -> list[Tensor]:
    """(len(scalars),) bool: which are not finite; nothing for none."""
    return [~torch.stack([scalar.detach() for scalar in scalars.values()]).isfinite()] if scalars else []


def _overflows(trainer: Trainer) -> bool:
    return trainer.precision == "16-mixed"


def _scale_gone(trainer: Trainer) -> str:
    plugin = trainer.precision_plugin
    if not isinstance(plugin, MixedPrecision) or plugin.scaler is None or plugin.scaler.get_scale() > SMALLEST_SCALE:
        return ""
    return (
        f"every update overflows: after {trainer.global_step} iterations the scale of the gradients has come down to "
        f"{plugin.scaler.get_scale():g}"
    )


def _advice(trainer: Trainer, found: str) -> str:
    folder = Path(trainer.default_root_dir)
    kept = folder / "checkpoints" / "last.ckpt"
    if kept.is_file():
        way = f"go on from {kept}, which is finite: python train.py ckpt_path={folder}"
    elif trainer.ckpt_path is not None:
        way = f"go on from {trainer.ckpt_path} once more"
    else:
        way = "start anew"
    smaller = "a lower model.lr, or with model.clip_grad_norm=1"
    wider = ", or with trainer.precision=bf16-mixed, whose numbers reach further" if _overflows(trainer) else ""
    return f"{found}: training has diverged.\n  Remedy: {way}, with {smaller}{wider}"
