"""Finding checkpoints, and networks made of what stands in them; none of it is ever executed."""

from pathlib import Path
from typing import Any

from torch import Tensor

from dcgan_lightning.errors import Refusal, shortened
from dcgan_lightning.finding import find as find  # part of this module for those who call it
from dcgan_lightning.finding import newest_run as newest_run
from dcgan_lightning.gan_module import CHECKPOINT_KEY
from dcgan_lightning.networks import Network, is_record, rebuild
from dcgan_lightning.weights import made_for, read

ROLES = ("generator", "discriminator")


def load_generator(file: Path) -> Network:
    """The generator of a checkpoint, in eval mode, built from its family's name and plain values."""
    return _load(file, "generator")


def load_discriminator(file: Path) -> Network:
    """The discriminator of a checkpoint, in eval mode, built likewise."""
    return _load(file, "discriminator")


def _load(file: Path, role: str) -> Network:
    checkpoint = read("ckpt_path", file)
    record = record_of(file, checkpoint)[role]
    prefix = f"{role}."
    weights = {
        key.removeprefix(prefix): value for key, value in checkpoint["state_dict"].items() if key.startswith(prefix)
    }
    try:
        return made_for(weights, lambda: rebuild(record, role.capitalize()), "ckpt_path", file)
    except Refusal as error:
        if error.value == file:
            raise
        raise Refusal("ckpt_path", file, f"{shortened(error.value)}: {error.problem}", error.remedy) from error


def record_of(file: Path, checkpoint: dict[str, Any]) -> dict[str, Any]:
    """What a checkpoint says of its networks, if it was made by this project.

    Raises:
        Refusal: it was not.
    """
    record, state, iteration = (checkpoint.get(name) for name in (CHECKPOINT_KEY, "state_dict", "global_step"))
    good = (
        {"loops", "optimizer_states"} <= set(checkpoint)
        and isinstance(iteration, int)
        and isinstance(state, dict)
        and all(isinstance(key, str) and isinstance(value, Tensor) for key, value in state.items())
        and isinstance(record, dict)
        and all(is_record(record.get(name)) for name in ROLES)
        and isinstance(record.get("optimizers"), list)
    )
    if not good:
        raise Refusal("ckpt_path", file, "not a checkpoint of this project", "weights= takes state dicts")
    return dict(record or {})
