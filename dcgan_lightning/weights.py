"""Anybody's weights: state dicts from ``.pth`` and ``.safetensors`` files, and networks filled with them.

Nothing that stands in such a file is ever executed.
"""

import pickle
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from dcgan_lightning.errors import Refusal
from dcgan_lightning.networks import Network, find_family
from dcgan_lightning.untrusted import local, refuse_inflated, refuse_odd_content

DATA_PARALLEL = "module."  # what torch.nn.DataParallel puts before every key
SHOWN = 3  # differences that a refusal spells out, of each kind


def read(option: str, path: Path) -> dict[str, Any]:
    """Load a file of tensors and plain values onto the CPU: a checkpoint, ``.pth`` or ``.safetensors``.

    Raises:
        Refusal: it cannot be read so.
    """
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        refuse_inflated(option, path)
        # Said here, this holds whatever TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD says.
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Refusal:
        raise
    except Exception as error:  # torch's reader fails in any way on bytes that were made up
        problem = f"cannot be read as tensors and plain values: {_why_unread(error)}"
        raise Refusal(option, path, problem, "give another file") from error
    refuse_odd_content(option, path, content)
    if not isinstance(content, dict):
        raise Refusal(option, path, "holds no names", "give a checkpoint, or a state dict")
    return content


def read_weights(option: str, path: str) -> dict[str, Tensor]:
    """A state dict from a ``.pth`` or ``.safetensors`` file, on the CPU.

    Args:
        option: as the user types it, for the refusal.
        path: of the file; ``~`` is the home folder.

    Returns:
        Tensors by their keys, without the ``module.`` that DataParallel puts before all of them.

    Raises:
        Refusal: there is no such file, or it is no state dict.
    """
    file = local(option, path)
    if not file.is_file():
        raise Refusal(option, path, "there is no such file", "give a state dict, *.pth or *.safetensors")
    weights = {str(key): value for key, value in read(option, file).items()}
    others = [key for key, value in weights.items() if not isinstance(value, Tensor)]
    if others or not weights:
        problem = f"not a state dict: it holds more than tensors ({_first(others)})" if others else "is empty"
        raise Refusal(option, path, problem, "give network.state_dict() as a file; a checkpoint goes to ckpt_path=")
    if all(key.startswith(DATA_PARALLEL) for key in weights):
        weights = {key.removeprefix(DATA_PARALLEL): value for key, value in weights.items()}
    return weights


def fill(network: nn.Module, weights: Mapping[str, Tensor], option: str, path: str | Path) -> None:
    """Copy a state dict into a network, which keeps its dtype, device and memory format.

    Every key has to be there with its shape, except ``num_batches_tracked``, which PyTorch before 0.4.1 did not have
    and which nothing here reads.

    Args:
        network: filled in place.
        weights: the state dict.
        option: as the user types it, for the refusal.
        path: of the file that the weights come from, for the refusal.

    Raises:
        Refusal: keys or shapes differ; it names the first ones that do. The network is left as it was.
    """
    refuse_unlike(network, weights, option, path)
    try:
        network.load_state_dict({**network.state_dict(), **weights}, strict=True)
    except RuntimeError as error:  # a type of numbers that cannot be copied into a network's
        problem = f"its numbers cannot be taken: {str(error).strip().splitlines()[-1].strip()}"
        raise Refusal(option, path, problem, "give another file") from error


def refuse_unlike(network: nn.Module, weights: Mapping[str, Tensor], option: str, path: str | Path) -> None:
    """Refuse a state dict with other keys or shapes than the network, which may be on the meta device; see ``fill``."""
    own = network.state_dict()
    unlike = list(_unlike(own, weights))
    extra = [f"{key} {_shape(weights[key])} is not in the network" for key in weights if key not in own]
    if unlike or extra:
        shown = unlike[:SHOWN] + extra[:SHOWN]
        more = len(unlike) + len(extra) - len(shown)
        problem = "; ".join(shown + ([f"{more} more"] if more else []))
        remedy = "choose the model and the sizes that these weights were made with, or give another file"
        raise Refusal(option, path, problem, remedy)


def made_for(weights: Mapping[str, Tensor], make: Callable[[], Network], option: str, path: str | Path) -> Network:
    """The network that ``make`` makes, filled with a state dict, in eval mode.

    It is made without memory first: what a stranger's file asks for is there in memory only if the file has as much.

    Raises:
        Refusal: keys or shapes differ.
    """
    with torch.device("meta"):
        refuse_unlike(make(), weights, option, path)
    network = make()
    fill(network, weights, option, path)
    return network.eval()


def network_of_weights(role: str, option: str, path: str, family: str) -> Network:
    """The ``Generator`` or ``Discriminator`` whose state dict a file is, in eval mode, built from the shapes in it.

    Args:
        role: ``Generator`` or ``Discriminator``.
        option: as the user types it, for the refusal.
        path: of the file.
        family: name of the family of networks.

    Raises:
        Refusal: the file is no state dict, or not one of that role in that family.
    """
    weights = read_weights(option, path)
    make = getattr(find_family(family), role).from_state_dict
    try:
        return made_for(weights, lambda: make(weights), option, path)
    except (Refusal, ArithmeticError, LookupError, RuntimeError, TypeError, ValueError) as error:
        if isinstance(error, Refusal) and error.option in (option, "model"):
            raise
        # A family computes sizes from shapes; those of a stranger's tensors may make none, or no possible ones.
        reason = f"{error.option}={error.value}: {error.problem}" if isinstance(error, Refusal) else str(error)
        problem = f"no {role.lower()} of {family} has tensors of such shapes ({reason})"
        raise Refusal(option, path, problem, "name the family that these weights belong to: model=...") from error


def _why_unread(error: Exception) -> str:
    """The first line of an error, without torch's advice on how to load the file so that what is in it runs."""
    if isinstance(error, pickle.UnpicklingError):
        named = re.search(r"GLOBAL ([\w.]+)|function <?([\w. -]+)", str(error))
        if named is None:
            return "it is damaged, or of another kind"
        what = (named[1] or named[2]).removeprefix("built-in function ").strip(" .")
        return f"whatever reads all of it calls or makes {what}, which may run code"
    return re.split(r"\n|\. In PyTorch", str(error).strip())[0] or type(error).__name__


def _unlike(own: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> Iterator[str]:
    for key, value in own.items():
        if key not in weights:
            if not key.endswith("num_batches_tracked"):
                yield f"{key} {_shape(value)} is missing in the file"
        elif weights[key].shape != value.shape:
            yield f"{key} is {_shape(weights[key])} in the file and {_shape(value)} in the network"


def _shape(value: Tensor) -> str:
    return str(tuple(value.shape))


def _first(keys: list[str]) -> str:
    return ", ".join(keys[:SHOWN]) + (", ..." if len(keys) > SHOWN else "")
