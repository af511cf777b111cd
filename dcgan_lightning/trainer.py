"""Lightning's Trainer, set up for two networks in one module and for iterations as the only unit."""

import math
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.core.optimizer import LightningOptimizer
from lightning.pytorch.plugins.io import CheckpointIO

from dcgan_lightning import strategies
from dcgan_lightning.checkpoint_io import WholeCheckpointIO
from dcgan_lightning.errors import Refusal, refuse_below
from dcgan_lightning.machine import cores
from dcgan_lightning.precision import Precision, on_cpu, resolved

NO_EFFECT = {  # of Lightning's own, where a module takes its steps itself; and what to do
    "gradient_clip_val": "model.clip_grad_norm=... limits the norm of each network's gradients",
    "gradient_clip_algorithm": "model.clip_grad_norm=... limits the norm of each network's gradients",
    "accumulate_grad_batches": "leave it out, and give data.batch_size a larger number",
}


def make_trainer(
    *,
    max_steps: int | None,
    max_epochs: int | None,
    default_epochs: int,
    fraction: float,
    batches: int,
    accelerator: str,
    devices: int | str | list[int],
    num_nodes: int,
    strategy: str,
    precision: Precision,
    **settings: Any,
) -> Trainer:
    """Build the Trainer.

    Args:
        max_steps: iterations, None for no such limit.
        max_epochs: passes over the data, None for no such limit.
        default_epochs: passes over the data where neither limit is given.
        fraction: of this length that is trained, above 0 and up to 1; at least an iteration.
        batches: in an epoch, on each device.
        accelerator, devices, num_nodes: as in Lightning.
        strategy: as in Lightning; ``auto`` takes DDP that bears unused parameters for more than one device.
        precision: of the arithmetic, as in Lightning; ``auto``: bfloat16 where the hardware multiplies it fast.
        settings: further arguments of ``lightning.pytorch.Trainer``.

    Raises:
        Refusal: a length below 1, more devices than the machine has, or what cannot work with two alternating updates.
    """
    limits = {"trainer__max_steps": max_steps, "trainer__max_epochs": max_epochs}
    refuse_below(1, **{name: value for name, value in limits.items() if value is not None})
    if not 0 < fraction <= 1:
        raise Refusal(
            "trainer.fraction", fraction, "has to be above 0 and at most 1", "for instance trainer.fraction=0.1"
        )
    for name in [name for name in NO_EFFECT if settings.get(name) is not None]:
        raise Refusal(f"trainer.{name}", settings[name], "has no effect on two alternating updates", NO_EFFECT[name])
    strategies.refuse_unfit(strategy)
    if max_steps is None and max_epochs is None:
        max_epochs = default_epochs
    if fraction < 1:
        whole = min([steps for steps in (max_steps, max_epochs and max_epochs * batches) if steps is not None])
        max_steps, max_epochs = max(1, round(whole * fraction)), None
    if world_size(accelerator, devices, num_nodes) > 1 and strategy == "auto":
        strategy = strategies.DDP
    # Nothing that a user could mend: torch deprecated what Lightning's batch transfer asks; the loader is ours.
    for message in (".*LeafSpec.*", ".*your dataloader is not resumable.*"):
        warnings.filterwarnings("ignore", message=message, module="lightning")
    trainer = Trainer(
        max_steps=-1 if max_steps is None else max_steps,
        max_epochs=-1 if max_epochs is None else max_epochs,
        accelerator=accelerator,
        devices=devices,
        num_nodes=num_nodes,
        strategy=strategy,
        precision=resolved(precision, accelerator),  # type: ignore[arg-type]  # a plain str
        use_distributed_sampler=False,  # the data module deals out the images itself
        enable_progress_bar=False,  # Lightning's counts epochs; callbacks.progress counts iterations
        enable_model_summary=False,
        num_sanity_val_steps=0,
        log_every_n_steps=1,  # callbacks.scalars logs every iteration, whatever this says; it silences a warning
        **(settings | {"plugins": _with_checkpoint_io(settings.get("plugins"))}),
    )
    # Lightning's handler of SIGTERM calls a collective, so that two ranks hang, and exits with 0: callbacks.stopping
    # does both instead, the handler and the collective of each iteration.
    trainer._signal_connector.register_signal_handlers = lambda: None  # type: ignore[method-assign]
    trainer.fit_loop.epoch_loop._broadcast_sigterm_tensor = lambda: None  # type: ignore[method-assign]
    return trainer


def _with_checkpoint_io(plugins: Any) -> list[Any]:
    """A user's own plugins, and what writes checkpoints."""
    asked = plugins if isinstance(plugins, list | tuple) else [plugins] if plugins else []
    for plugin in asked:
        if isinstance(plugin, CheckpointIO):
            problem = "would write checkpoints without digests, and without the one before"
            raise Refusal("trainer.plugins", type(plugin).__name__, problem, "leave it out; other plugins are taken")
    return [*asked, WholeCheckpointIO()]


def world_size(accelerator: str, devices: int | str | list[int], num_nodes: int) -> int:
    """How many devices train, on all machines; a Refusal where that is none, or more than this machine has."""
    refuse_below(1, trainer__num_nodes=num_nodes)
    return count_devices(accelerator, devices) * num_nodes


def count_devices(accelerator: str, devices: int | str | list[int]) -> int:
    """How many devices of this machine ``trainer.devices`` asks for.

    Raises:
        Refusal: there are not so many GPUs, or cores where the CPU trains.
    """
    no_gpu = on_cpu(accelerator)
    if no_gpu:
        there_are, what = cores(), "CPU core(s), and each process needs one"
    else:
        there_are = torch.accelerator.device_count() if torch.accelerator.is_available() else 0
        what = "device(s) of that kind"
    if devices == "auto" or (devices in (-1, "-1") and not no_gpu and there_are):
        return 1 if no_gpu else there_are
    count = _asked_for(devices, no_gpu)
    if not 1 <= count <= there_are:
        problem = f"trainer.accelerator={accelerator} finds {there_are} {what}"
        remedy = f"trainer.devices=1 to {there_are}" if there_are else "trainer.accelerator=cpu"
        raise Refusal("trainer.devices", devices, problem, remedy)
    return count


def _asked_for(devices: int | str | list[int], no_gpu: bool) -> int:
    """The number of devices, 0 for what names none; GPUs may be listed, "0,1" or [0,1], cores may not."""
    if isinstance(devices, str) and "," in devices:
        devices = [int(index) if index.strip().isdigit() else -1 for index in devices.strip(",").split(",")]
    if isinstance(devices, list):
        return 0 if no_gpu or min(devices, default=-1) < 0 else len(devices)
    return int(devices) if str(devices).isdigit() else 0


@contextmanager
def one_global_step(*optimizers: LightningOptimizer) -> Iterator[None]:
    """Make Lightning count one step of ``global_step`` for everything inside, where it would count every optimizer's.

    Under manual optimization the loop hangs its counter on each optimizer, before and after its step, anew for every
    batch. It is called here once instead, so that ``max_steps``, checkpoints and loggers all count iterations.
    """
    count, counted = optimizers[0]._on_before_step, optimizers[0]._on_after_step
    for optimizer in optimizers:
        optimizer._on_before_step = optimizer._on_after_step = lambda: None
    yield
    count()
    counted()


def total_iterations(trainer: Trainer) -> int:
    """Iterations of the whole run, once its data loader is known; ``sys.maxsize`` for one without an end."""
    limits = [trainer.max_steps] if trainer.max_steps != -1 else []
    if trainer.max_epochs not in (None, -1) and math.isfinite(trainer.num_training_batches):
        limits.append(trainer.max_epochs * int(trainer.num_training_batches))
    return min(limits, default=sys.maxsize)


def epochs_done(trainer: Trainer) -> int | None:
    """How many epochs have ended, or None in the middle of one; asked in ``on_train_batch_end``, as :func:`due` is."""
    epochs, iterations = divmod(trainer.global_step, trainer.num_training_batches)
    return None if iterations else int(epochs)


def due(trainer: Trainer, every: int | None, every_epochs: int | None = None) -> bool:
    """Whether what happens every so many iterations or epochs, and after the last iteration, is to happen now.

    Asked in ``on_train_batch_end``: later, Lightning counts an epoch that ``max_steps`` cut short as a whole one, and a
    checkpoint would say so. The last iteration is also one after which somebody has the trainer stop.

    Args:
        trainer: in training.
        every: iterations between two times; None: iterations do not count.
        every_epochs: epochs between two times; None: epochs do not count.
    """
    if trainer.should_stop or trainer.global_step == total_iterations(trainer):
        return True
    epochs = epochs_done(trainer) if every_epochs is not None else None
    by_epochs = epochs is not None and every_epochs is not None and epochs % every_epochs == 0
    return by_epochs or (every is not None and trainer.global_step % every == 0)
