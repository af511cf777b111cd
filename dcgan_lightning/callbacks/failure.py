"""An error on one rank, raised on all."""

import torch
from lightning.pytorch import Trainer

from dcgan_lightning.sampling import NonFiniteImagesError


def raise_on_every_rank(trainer: Trainer, error: NonFiniteImagesError | None) -> None:
    """Raise on all ranks what any of them met: one that raised alone would leave the others waiting for it for ever.

    A collective: all ranks call it, with their error or None.
    """
    failed = torch.tensor(int(error is not None), device=trainer.strategy.root_device)
    if int(trainer.strategy.reduce(failed, reduce_op="sum")) > 0:
        raise error or NonFiniteImagesError("images generated on another device are not finite (NaN or infinity)")
