"""Architectures, one module a family.

A family is a module of this package that defines ``Generator`` and ``Discriminator``; its name is the module's name
(``model=dcgan`` finds ``networks/dcgan.py``). Both take plain values only, which :func:`describe` gives back, so that a
checkpoint needs no pickled class: a family name and keyword values rebuild the network.
"""

import importlib
import pkgutil
import re
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any, Self

from torch import Tensor, nn

from dcgan_lightning.errors import Refusal


class Network(nn.Module):
    """Base of every generator and discriminator.

    A generator has ``latent_dim`` and maps (N, latent_dim) to images (N, C, H, W) in [-1, 1]; a discriminator maps
    images to logits (N,), above 0 where it takes the image for real.

    Args:
        config: every argument of the subclass's constructor, from which it can be built again.
    """

    latent_dim: int

    def __init__(self, **config: Any) -> None:
        super().__init__()
        self.config = {name: _plain(value) for name, value in config.items()}

    @classmethod
    def from_state_dict(cls, state_dict: Mapping[str, Tensor]) -> Self:
        """Build the network whose weights these are, from their shapes; a family that can do so overrides this."""
        raise Refusal("model", cls.__module__, "cannot be built from the shapes of weights alone", "ckpt_path=<a run>")


def _plain(value: Any) -> Any:
    return [_plain(v) for v in value] if isinstance(value, list | tuple) else value


def sides(image_size: int | Sequence[int]) -> tuple[int, int]:
    """Height and width, of the side of a square or of (height, width)."""
    height, width = (image_size, image_size) if isinstance(image_size, int) else image_size
    return height, width


def weights_in_order(state_dict: Mapping[str, Tensor], root: str) -> list[Tensor]:
    """The tensors ``<root>.N.weight`` by rising N; a file may keep them in any order."""
    names = [name for name in state_dict if re.fullmatch(rf"{root}\.\d+\.weight", name)]
    return [state_dict[name] for name in sorted(names, key=lambda name: int(name.split(".")[1]))]


def families() -> list[str]:
    """Names of the families that this package has."""
    names = (module.name for module in pkgutil.iter_modules(__path__))
    return sorted(name for name in names if hasattr(_module(name), "Generator"))


def _module(family: str) -> ModuleType:
    return importlib.import_module(f"{__name__}.{family}")


def find_family(family: str) -> ModuleType:
    """The module of a family, looked up by name among :func:`families`: a stranger's file can name nothing else."""
    if family not in families():
        raise Refusal(
            "model", family, f"no such family of networks; there is {', '.join(families())}", "name one of these"
        )
    return _module(family)


def describe(network: nn.Module) -> dict[str, Any]:
    """A record of plain values from which :func:`rebuild` makes the same architecture, without its weights."""
    family = type(network).__module__.removeprefix(f"{__name__}.")
    return {"family": family, "role": type(network).__name__, "kwargs": getattr(network, "config", {})}


def rebuild(record: Mapping[str, Any], role: str) -> Network:
    """Build the ``Generator`` or ``Discriminator`` that :func:`describe` recorded.

    Raises:
        Refusal: it is no such record, or one of a network that cannot be.
    """
    remedy = "give a checkpoint that this project wrote"
    if not is_record(record) or record["role"] != role:
        raise Refusal("ckpt_path", record, f"not the record of a {role}", remedy)
    try:
        return getattr(find_family(record["family"]), role)(**record["kwargs"])
    except (Refusal, ArithmeticError, LookupError, RuntimeError, TypeError, ValueError) as error:
        # Values that no constructor foresees: 10**12 feature maps, a word for a number.
        raise Refusal("ckpt_path", record, f"not the record of a {role}: {error}", remedy) from error


def is_record(value: Any) -> bool:
    """Whether a value, which a stranger may have put into a checkpoint, has the form that :func:`describe` makes."""
    return (
        isinstance(value, dict)
        and isinstance(value.get("family"), str)
        and isinstance(value.get("role"), str)
        and isinstance(value.get("kwargs"), dict)
        and all(isinstance(name, str) and _is_plain(kwarg) for name, kwarg in value["kwargs"].items())
    )


def _is_plain(value: Any) -> bool:
    return (
        value is None
        or isinstance(value, bool | int | float | str)
        or (isinstance(value, list) and all(map(_is_plain, value)))
    )
