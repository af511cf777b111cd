"""Optimizers, tried before a run starts."""

import functools
from collections.abc import Callable

import torch
from torch import nn
from torch.optim import Optimizer

from dcgan_lightning.errors import Refusal


def checked(name: str, make: Callable[..., Optimizer], lr: float) -> functools.partial[Optimizer]:
    """Complete what makes an optimizer with its learning rate, and try it on one number.

    Args:
        name: ``optimizer_d`` or ``optimizer_g``.
        make: called with parameters and settings; a ``functools.partial`` may bring settings, ``lr`` among them.
        lr: learning rate for one that brings none.

    Raises:
        Refusal: the optimizer does not take its settings.
    """
    settings = {"lr": lr} | getattr(make, "keywords", {})
    given = settings["lr"]
    option = "model.lr" if given == lr else f"model.{name}.lr"
    if not given > 0:
        raise Refusal(option, given, "a learning rate has to be above 0", f"for instance {option}=2e-4")
    complete = functools.partial(getattr(make, "func", make), **settings)
    try:
        complete([nn.Parameter(torch.zeros(1))])
    except (TypeError, ValueError) as error:
        raise Refusal(f"model.{name}", settings, str(error), f"mend the value of model.{name}") from error
    return complete
