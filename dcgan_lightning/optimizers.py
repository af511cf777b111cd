"""Optimizers, tried before a run starts."""

import functools
import inspect
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from dcgan_lightning.errors import Refusal


def checked(name: str, make: Callable[..., Optimizer], lr: float, captured: bool) -> functools.partial[Optimizer]:
    """Complete what makes an optimizer with its learning rate, and try it on one number.

    Args:
        name: ``optimizer_d`` or ``optimizer_g``.
        make: called with parameters and settings; a ``functools.partial`` may bring settings, ``lr`` among them.
        lr: learning rate for one that brings none.
        captured: its steps are to be captured in a CUDA graph, so that it keeps its count of them on the device.

    Raises:
        Refusal: the optimizer does not take its settings, or cannot be captured.
    """
    settings = {"lr": lr} | getattr(make, "keywords", {})
    function = getattr(make, "func", make)
    if captured and "capturable" not in inspect.signature(function).parameters:
        problem = f"cannot capture the steps of model.{name}, {getattr(function, '__name__', function)}"
        raise Refusal("model.cuda_graph", True, problem, "model.cuda_graph=false, or an optimizer such as Adam")
    settings |= {"capturable": True} if captured else {}
    given = settings["lr"]
    option = "model.lr" if given == lr else f"model.{name}.lr"
    if not given > 0:
        raise Refusal(option, given, "a learning rate has to be above 0", f"for instance {option}=2e-4")
    complete = functools.partial(function, **settings)
    try:
        complete([nn.Parameter(torch.zeros(1))])
    except (TypeError, ValueError) as error:
        raise Refusal(f"model.{name}", settings, str(error), f"mend the value of model.{name}") from error
    return complete


def settle(optimizer: Optimizer) -> None:
    """Have an optimizer go by the settings that it was made with, where a checkpoint brought others along.

    Among them is where Adam keeps its count of steps: on the device for CUDA graphs, else on the CPU, where reading it
    waits for nothing.
    """
    for group in optimizer.param_groups:
        moves = group.get("capturable") != optimizer.defaults.get("capturable")
        group.update(optimizer.defaults)
        for parameter in group["params"] if moves else ():
            state = optimizer.state[parameter]
            if isinstance(state.get("step"), Tensor):
                on_device = group.get("capturable") or group.get("fused")
                state["step"] = state["step"].to(parameter.device if on_device else "cpu")
