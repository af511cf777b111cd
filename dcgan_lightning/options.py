"""From composed options to objects: wrong names, types and values are refused with the option that carries them."""

import inspect
import math
import re
import typing
from collections.abc import Iterator
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.errors import InstantiationException
from hydra.utils import get_object, instantiate
from lightning.fabric.utilities.exceptions import MisconfigurationException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from typeguard import CollectionCheckStrategy, TypeCheckError, check_type

from dcgan_lightning.errors import Refusal

PLAIN = {bool, int, float, str, type(None)}
FLAGS = {"_partial_": (True, False), "_recursive_": (True, False), "_convert_": ("none", "partial", "object", "all")}


def check_options(cfg: DictConfig) -> None:
    """Hold every option of every node with a ``_target_`` against the target's signature.

    Raises:
        Refusal: an option that the target does not have, one of a wrong type, or one without a value.
    """
    for path, node in _targets(cfg):
        _check_flags(path, node)
        parameters, hints = _signature(path, node)
        takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
        for name in map(str, node):
            if name.startswith("_"):
                continue
            option = f"{path}.{name}".lstrip(".")
            if not _is_typed(option):
                option = _typed_as(node, name) or option
            if name not in parameters and not takes_any:
                raise Refusal(option, node[name], f"no such option; {path} has {', '.join(parameters)}", "leave it out")
            if OmegaConf.is_missing(node, name):
                raise Refusal(option, "???", "has no value", f"give {option}=...")
            hint = hints.get(name, Any)
            if not _is_object(node[name]) or PLAIN.issuperset(_parts(hint)):
                _check_type(option, _plain(node[name]), hint)
            # else it becomes an object, and is checked at its own node


def build(cfg: DictConfig, key: str, **settings: Any) -> Any:
    """Make the object that ``cfg.<key>`` describes; all that can go wrong becomes a Refusal that names the option.

    Args:
        cfg: the whole composed config.
        key: of a node with a ``_target_``.
        settings: further arguments of the constructor.
    """
    node = OmegaConf.select(cfg, key)
    if not _is_object(node):
        remedy = f"python train.py --cfg job shows what {key} looks like"
        raise Refusal(key, _plain(node), "has to be a group of options with a _target_", remedy)
    try:
        return instantiate(node, **settings)
    except OmegaConfBaseException:  # names its option
        raise
    except Exception as error:
        cause = error.__cause__ if isinstance(error, InstantiationException) and error.__cause__ else error
        if isinstance(cause, Refusal | OmegaConfBaseException):
            raise cause from None
        found = re.search(r"full_key: (\S+)", str(error))
        path = found[1] if found else key
        words = str(cause).partition("\nfull_key:")[0]
        if not isinstance(cause, TypeError | ValueError | MisconfigurationException):  # the words of others say little
            words = f"{type(cause).__name__}: {words}"
        # A library's message quotes the value, but does not know the option.
        node_at = OmegaConf.select(cfg, path)
        named = [(f"{path}.{name}", value) for name, value in node_at.items()]
        given = {name: "{...}" if OmegaConf.is_config(value) else value for name, value in node_at.items()}
        option, value = next((pair for pair in named if f"'{pair[1]}'" in words), (path, given))
        raise Refusal(option, value, words, f"mend {option}") from error


def _is_object(node: Any) -> bool:
    return isinstance(node, DictConfig) and "_target_" in node


def _check_flags(path: str, node: DictConfig) -> None:
    """Hold what Hydra itself reads of a node against what it takes; some of the rest it would pass over in silence."""
    for flag, allowed in FLAGS.items():
        if flag in node and node[flag] not in allowed:
            problem = f"has to be one of {', '.join(str(value).lower() for value in allowed)}"
            raise Refusal(f"{path}.{flag}", node[flag], problem, "leave it out")


def _targets(node: Any, path: str = "") -> Iterator[tuple[str, DictConfig]]:
    """Every node that names a target, with its path; interpolations are visited where they point to."""
    if not isinstance(node, DictConfig):
        return
    if "_target_" in node:
        yield path, node
    for name in map(str, node):
        child = node._get_node(name)
        if isinstance(child, DictConfig) and not child._is_interpolation():
            yield from _targets(child, f"{path}.{name}".lstrip("."))


def _signature(path: str, node: DictConfig) -> tuple[typing.Mapping[str, inspect.Parameter], dict[str, Any]]:
    if not isinstance(node["_target_"], str):
        problem = "has to be the name of a class or function, such as torch.optim.Adam"
        raise Refusal(f"{path}._target_", node["_target_"], problem, "leave it as conf/ has it")
    try:
        target = get_object(node["_target_"])
    except Exception as error:  # whatever importing it raises
        remedy = "name a class or function with the module that it is in, which has to be on Python's path"
        raise Refusal(f"{path}._target_", node["_target_"], f"cannot be imported: {error}", remedy) from error
    try:
        hints = typing.get_type_hints(target.__init__ if inspect.isclass(target) else target)
    except NameError:  # a library's hints may name what it imports for type checkers only
        hints = {}
    return inspect.signature(target).parameters, hints


def _is_typed(option: str) -> bool:
    """Whether the command line itself gives this option its value."""
    if not HydraConfig.initialized():
        return False
    task: Any = OmegaConf.to_container(HydraConfig.get().overrides.task)  # with interpolations as they were typed
    return any(word.lstrip("+").startswith(f"{option}=") for word in task)


def _typed_as(node: DictConfig, name: str) -> str | None:
    """The option that an interpolation takes its value from, which is the one that the user typed."""
    value = node._get_node(name)._value()  # type: ignore[union-attr]
    found = re.fullmatch(r"\$\{([\w.]+)\}", value) if isinstance(value, str) else None
    return found[1] if found else None


def _plain(value: Any) -> Any:
    return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value


def _check_type(option: str, value: Any, hint: Any) -> None:
    # YAML has no tuples, so that a list passes for one.
    if not any(_fits(form, hint) for form in ((value, tuple(value)) if isinstance(value, list) else (value,))):
        problem = f"is of type {type(value).__name__}, and has to be {_spoken(hint)}"
        raise Refusal(option, value, problem, f"give {option} a value of that kind")
    if any(isinstance(part, float) and not math.isfinite(part) for part in _parts(value)):
        raise Refusal(option, value, "has to be a finite number", f"give {option} a number")
    if any(isinstance(part, int) and abs(part) >= 2**63 for part in _parts(value)):
        raise Refusal(option, value, "has more than 64 bits", f"give {option} a smaller number")


def _parts(value: Any) -> list[Any]:
    """A value's plain values, or a hint's types, however deep in lists."""
    inner = value if isinstance(value, list | tuple) else typing.get_args(value)
    return [part for each in inner for part in _parts(each)] if inner else [value]


def _spoken(hint: Any) -> str:
    """A type hint as a user may read it."""
    if typing.get_origin(hint) is typing.Literal:
        return "one of " + ", ".join(map(str, typing.get_args(hint)))
    if typing.get_origin(hint) is typing.Union and type(None) in typing.get_args(hint):  # Literal[...] | None
        return ", ".join([*(_spoken(part) for part in typing.get_args(hint) if part is not type(None)), "null"])
    name = hint.__name__ if inspect.isclass(hint) else re.sub(r"(typing|collections\.abc|torch)\.", "", str(hint))
    return name.replace("None", "null")


def _fits(value: Any, hint: Any) -> bool:
    try:
        check_type(value, hint, collection_check_strategy=CollectionCheckStrategy.ALL_ITEMS)
    except TypeCheckError:
        return False
    # To Python true is the number 1; to who types it, it is not.
    return bool in _parts(hint) or hint is Any or not any(isinstance(part, bool) for part in _parts(value))
