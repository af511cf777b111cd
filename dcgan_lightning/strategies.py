"""How several devices train one GAN, and why the other ways that Lightning has are none here."""

import re
from collections.abc import Mapping
from typing import Any

from dcgan_lightning.errors import Refusal

DDP = "ddp_find_unused_parameters_true"
STRATEGIES = ("auto", DDP)

# What is looked for in the name of a strategy and of its class, and why it cannot work; the first that is found holds.
REASONS = {
    "static_?graph": "expects each backward pass to reach the same parameters, and D's reach D's alone, G's reach G's",
    "spawn|fork|notebook": "starts its processes as copies of this one; a run has each as a command of its own, which "
    "signals and a sweep's other cells depend on",
    "fsdp|model_?parallel": "splits each parameter over the devices; checkpoints, grids and FID take them whole",
    "deepspeed": "trains one optimizer, and a GAN has two",
    "xla|tpu": "is for TPUs, on which this project does not train",
    "single": "trains on a single device, which auto takes for trainer.devices=1",
    "ddp": "expects each backward pass to reach all parameters, and D's reach D's alone, G's reach G's",
}
REMEDY = f"leave it out: auto takes {DDP} for several devices; there is {', '.join(STRATEGIES)}"


def refuse_unfit(strategy: Any) -> None:
    """Refuse a strategy that cannot train two networks in turn.

    Args:
        strategy: what ``trainer.strategy`` is given: a name, or the config of an object, which is looked at and not
            made.

    Raises:
        Refusal: with the reason.
    """
    if strategy in STRATEGIES:
        return
    named = str(strategy)
    if isinstance(strategy, Mapping):
        # Of what is switched on, and of the class: static_graph=False is no static graph.
        on = " ".join(str(name) for name, value in strategy.items() if value is True)
        named = f"{str(strategy.get('_target_')).rpartition('.')[2]} {on}"
    elif not isinstance(strategy, str):
        named = type(strategy).__name__
    reasons = (reason for pattern, reason in REASONS.items() if re.search(pattern, named, re.IGNORECASE))
    raise Refusal("trainer.strategy", strategy, next(reasons, "no such strategy here"), REMEDY)
