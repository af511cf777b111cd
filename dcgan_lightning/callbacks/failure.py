"""An error on one rank, raised on all."""

import errno

import torch
from lightning.pytorch import Trainer

from dcgan_lightning.finite import NonFiniteError, first_not_finite
from dcgan_lightning.sampling import NonFiniteImagesError
from dcgan_lightning.tables import Table


def raise_on_every_rank(trainer: Trainer, error: NonFiniteError | None) -> None:
    """Raise on all ranks what any of them met: one that raised alone would leave the others waiting for it for ever.

    Where images are not finite, the first parameter or buffer that is not is named as well. A collective: all ranks
    call it, with their error or None.
    """
    if trainer.world_size == 1:
        if error is not None:
            raise _with_place(trainer, error)
        return
    if not any(on_any_rank(trainer, error is not None)):
        return
    words: list[str | None] = [None] * trainer.world_size
    torch.distributed.all_gather_object(words, str(_with_place(trainer, error)) if error is not None else None)
    raise NonFiniteError(next(text for text in words if text is not None)) from error


def on_any_rank(trainer: Trainer, *here: bool) -> list[bool]:
    """Whether something is so on any rank; a collective."""
    ranks = torch.tensor(here, dtype=torch.int32, device=trainer.strategy.root_device)
    return [count > 0 for count in trainer.strategy.reduce(ranks, reduce_op="sum").tolist()]


def raise_if_rows_wait(trainer: Trainer, table: Table) -> None:
    """Raise on all ranks where rank 0 has rows that it could not write by the end; a collective."""
    if any(on_any_rank(trainer, table.problem is not None)):
        raise table.problem or OSError(errno.ENOSPC, "rank 0 could not write its tables")


def _with_place(trainer: Trainer, error: NonFiniteError) -> NonFiniteError:
    place = first_not_finite(trainer.lightning_module) if isinstance(error, NonFiniteImagesError) else None
    return error if place is None else NonFiniteImagesError(f"{error}\n  The first that is not finite is {place}.")
