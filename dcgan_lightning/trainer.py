"""Lightning's Trainer, set up for two networks in one module and for iterations as the only unit."""

import warnings
from typing import Any, Literal

import torch
from lightning.pytorch import Trainer

from dcgan_lightning.errors import Refusal
from dcgan_lightning.machine import cores

Precision = Literal["32-true", "bf16-mixed", "16-mixed", "64-true", "bf16-true", "16-true"]
DDP = "ddp_find_unused_parameters_true"  # each update leaves the other network's parameters unused


def make_trainer(
    *,
    max_steps: int | None,
    max_epochs: int | None,
    default_epochs: int,
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
        accelerator, devices, num_nodes: as in Lightning.
        strategy: as in Lightning; ``auto`` takes DDP that bears unused parameters for more than one device.
        precision: of the arithmetic, as in Lightning.
        settings: further arguments of ``lightning.pytorch.Trainer``.

    Raises:
        Refusal: a length below 1, or more devices than the machine has.
    """
    for name, value in (("max_steps", max_steps), ("max_epochs", max_epochs)):
        if value is not None and value < 1:
            raise Refusal(f"trainer.{name}", value, "has to be at least 1", f"leave it out, or trainer.{name}=1000")
    if max_steps is None and max_epochs is None:
        max_epochs = default_epochs
    if count_devices(accelerator, devices) * num_nodes > 1 and strategy == "auto":
        strategy = DDP
    # torch deprecated what Lightning's batch transfer asks; nothing that a user could mend.
    warnings.filterwarnings("ignore", message=".*LeafSpec.*", module="lightning")
    return Trainer(
        max_steps=-1 if max_steps is None else max_steps,
        max_epochs=-1 if max_epochs is None else max_epochs,
        accelerator=accelerator,
        devices=devices,
        num_nodes=num_nodes,
        strategy=strategy,
        precision=precision,
        use_distributed_sampler=False,  # the data module deals out the images itself
        enable_progress_bar=False,  # Lightning's counts epochs; callbacks.progress counts iterations
        enable_model_summary=False,
        num_sanity_val_steps=0,
        **settings,
    )


def count_devices(accelerator: str, devices: int | str | list[int]) -> int:
    """How many devices of this machine ``trainer.devices`` asks for.

    Raises:
        Refusal: there are not so many GPUs, or cores where the CPU trains.
    """
    on_cpu = accelerator == "cpu" or (accelerator == "auto" and not torch.accelerator.is_available())
    there_are = cores() if on_cpu else max(torch.accelerator.device_count(), 1)
    if devices in ("auto", -1, "-1"):
        return 1 if on_cpu else there_are
    asked = devices.strip(",").split(",") if isinstance(devices, str) and "," in devices else devices
    try:
        count = len(asked) if isinstance(asked, list) else int(asked)
    except ValueError:
        count = 0
    if not 1 <= count <= there_are:
        what = "CPU core(s), and each process needs one" if on_cpu else "device(s) of that kind"
        raise Refusal(
            "trainer.devices",
            devices,
            f"trainer.accelerator={accelerator} finds {there_are} {what}",
            f"trainer.devices=1 to {there_are}",
        )
    return count


def total_iterations(trainer: Trainer) -> int:
    """Iterations of the whole run, as far as its data loader is known."""
    by_epochs = trainer.max_epochs * int(trainer.num_training_batches) if trainer.max_epochs not in (None, -1) else None
    by_steps = trainer.max_steps if trainer.max_steps != -1 else None
    return min(limit for limit in (by_epochs, by_steps) if limit is not None)
