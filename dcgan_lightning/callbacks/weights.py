"""The networks' weights by themselves, without optimizers: files that any program with PyTorch can load."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor, nn

from dcgan_lightning import checkpoints
from dcgan_lightning.errors import Refusal, refuse_below
from dcgan_lightning.trainer import epochs_done
from dcgan_lightning.whole_files import written_whole


def _safetensors(state: dict[str, Tensor], path: Path) -> None:
    path.write_bytes(safetensors.torch.save(state))


def _pth(state: dict[str, Tensor], path: Path) -> None:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    path.write_bytes(buffer.getbuffer())


# By way of bytes: what the libraries' own writers raise on a full disk is no OSError.
WRITERS: dict[str, Callable[[dict[str, Tensor], Path], None]] = {".safetensors": _safetensors, ".pth": _pth}


class Weights(Callback):
    """Saves both networks at the end of training, and after every so many epochs if asked.

    At the end ``generator.safetensors`` and ``discriminator.safetensors`` in the run folder; after epochs
    ``weights/generator_epoch_NNNN.safetensors`` and ``weights/discriminator_epoch_NNNN.safetensors``, named by the
    epochs done. Each holds what :func:`state_of` says, with rank 0's BatchNorm statistics. Weights with NaN or infinity
    in them are not saved, which a warning says.

    Args:
        save_every: epochs between two saves; None: only at the end.
        export_pth: also a ``.pth`` beside each file, which ``torch.load`` reads, with ``weights_only=True`` too.
    """

    def __init__(self, save_every: int | None, export_pth: bool) -> None:
        if save_every is not None:
            refuse_below(1, save_every=save_every)
        self.save_every, self.export_pth = save_every, export_pth

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        epochs = epochs_done(trainer) if self.save_every is not None else None
        if epochs is not None and self.save_every is not None and epochs % self.save_every == 0:
            self._save(trainer, pl_module, "weights/{role}_epoch_" + f"{epochs:04d}")

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._save(trainer, pl_module, "{role}")

    def _save(self, trainer: Trainer, pl_module: Any, stem: str) -> None:
        pl_module.sync_buffers()  # a collective: all ranks take part, one writes
        if not trainer.is_global_zero:
            return
        states = {role: state_of(getattr(pl_module, role)) for role in checkpoints.ROLES}
        if spoilt := _not_finite(states):
            rank_zero_warn(
                f"the weights of {spoilt} are not finite (NaN or infinity) after {trainer.global_step} iterations, and "
                "are not saved: training has diverged. Go back to an earlier checkpoint, or lower model.lr."
            )
            return
        for role, state in states.items():
            save_state(state, Path(trainer.default_root_dir) / stem.format(role=role), self.export_pth)


def export(folder: Path, export_pth: bool) -> list[Path]:
    """Make the files that a run leaves at its end, from its ``checkpoints/last.ckpt``.

    Args:
        folder: of the run.
        export_pth: ``.pth`` too.

    Returns:
        The files, which replace those that were there.

    Raises:
        Refusal: there is no such checkpoint, or its weights are not finite.
    """
    file = checkpoints.find(str(folder), "last.ckpt")
    networks = checkpoints.load_generator(file), checkpoints.load_discriminator(file)
    states = {role: state_of(network) for role, network in zip(checkpoints.ROLES, networks, strict=True)}
    if spoilt := _not_finite(states):
        problem = f"the weights of {spoilt} are not finite (NaN or infinity)"
        raise Refusal("ckpt_path", file, problem, "take another run, or go on from an earlier checkpoint")
    return [path for role, state in states.items() for path in save_state(state, folder / role, export_pth)]


def state_of(network: nn.Module) -> dict[str, Tensor]:
    """A copy of a network's state dict under its own keys, such as ``main.0.weight``.

    Returns:
        Tensors on the CPU, contiguous, in float32 where they are of floating point.
    """
    return {
        key: value.detach()
        .to("cpu", torch.float32 if value.is_floating_point() else value.dtype)
        .clone(memory_format=torch.contiguous_format)
        for key, value in network.state_dict().items()
    }


def save_state(state: dict[str, Tensor], stem: Path, export_pth: bool) -> list[Path]:
    """Write ``<stem>.safetensors``, and ``<stem>.pth`` if asked; each is whole or not there.

    Returns:
        The files.
    """
    stem.parent.mkdir(parents=True, exist_ok=True)
    targets = [stem.with_name(stem.name + suffix) for suffix in WRITERS if export_pth or suffix != ".pth"]
    for target in targets:
        with written_whole(target) as unfinished:
            WRITERS[target.suffix](state, unfinished)
    return targets


def _not_finite(states: dict[str, dict[str, Tensor]]) -> str:
    """The networks with NaN or infinity in them, as words; empty where there are none."""
    spoilt = (role for role, state in states.items() if not all(value.isfinite().all() for value in state.values()))
    return " and ".join(spoilt)
