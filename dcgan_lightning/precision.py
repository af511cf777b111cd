"""In which arithmetic a run trains: what ``trainer.precision=auto`` takes, and why."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch

from dcgan_lightning.machine import bf16_instructions

Precision = Literal["auto", "32-true", "bf16-mixed", "16-mixed", "64-true"]
AMPERE = (8, 0)  # the first compute capability of NVIDIA's whose matrix units take bfloat16


def resolved(precision: Precision, accelerator: str) -> str:
    """The precision that Lightning is given: what was asked for, or what ``auto`` takes on this machine.

    bfloat16 where the hardware multiplies it fast: convolutions and matrix products under autocast; weights,
    BatchNorm's statistics, losses and Adam stay float32. docs/performance.md has its speed, and its FID over the seeds.
    """
    if precision != "auto":
        return precision
    return "bf16-mixed" if _units(accelerator) else "32-true"


def reason(precision: Precision, accelerator: str) -> str:
    """Why, in words for the start of a run; empty where it was asked for."""
    if precision != "auto":
        return ""
    units = _units(accelerator)
    if not units:
        return "auto: nothing here multiplies bfloat16 fast"
    return f"auto: {units} multiplies bfloat16 fast; trainer.precision=32-true is the way back"


@contextmanager
def float32_as(precision: str) -> Iterator[None]:
    """What a GPU makes of float32 in convolutions and matrix products: TF32, or all of it.

    TF32 keeps 10 bits of a float32's 23, and PyTorch lets convolutions use it. Here it is for what autocast leaves in
    float32, and for nobody who asked for float32.

    Args:
        precision: Lightning's; what ends in ``-true`` holds.
    """
    kinds = (torch.backends.cudnn.conv, torch.backends.cuda.matmul)  # type: ignore[attr-defined]
    before = [kind.fp32_precision for kind in kinds]
    try:
        for kind in kinds:
            kind.fp32_precision = "ieee" if precision.endswith("-true") else "tf32"
        yield
    finally:
        for kind, was in zip(kinds, before, strict=True):
            kind.fp32_precision = was


def on_cpu(accelerator: str) -> bool:
    """Whether ``trainer.accelerator`` leads to the CPU on this machine."""
    return accelerator == "cpu" or (accelerator == "auto" and not torch.accelerator.is_available())


def _units(accelerator: str) -> str:
    """What multiplies bfloat16 fast on the device that trains; empty where nothing does."""
    if on_cpu(accelerator):
        return bf16_instructions()
    # Apple's GPUs take bfloat16, too; nobody has measured this project there.
    if torch.cuda.is_available() and torch.version.cuda and torch.cuda.get_device_capability() >= AMPERE:
        return torch.cuda.get_device_name()
    return ""
