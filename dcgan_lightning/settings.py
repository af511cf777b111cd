"""The plain values of a composed config, as a checkpoint keeps them and as a command line tells them."""

import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import hydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

CONF = Path(__file__).parent.parent / "conf"
WEIGHTS = ("model.generator_weights", "model.discriminator_weights")  # to start from; a checkpoint has its own
RATES = ("model.lr", "model.optimizer_d.lr", "model.optimizer_g.lr")
# Where something is written, or what a run starts from; a run that goes on has its own.
NOT_KEPT = {
    "metrics.features.weights_sha256",  # by which a file is known to be what it should be
    "run_dir",
    "trainer.default_root_dir",
    "data.cache_dir",
    "ckpt_path",
    "continues",
    *WEIGHTS,
}

Settings = dict[str, Any]  # plain values by option, as in {"model.lr": 2e-4}


def settings_of(cfg: DictConfig) -> Settings:
    """Every plain value of a config by its option, without targets, interpolations, and what :data:`NOT_KEPT` names.

    A node that holds no such value, like a callback without options, is there with an empty dict.
    """
    return dict(_leaves(OmegaConf.to_container(cfg, resolve=False), ""))


def targets_of(cfg: DictConfig) -> dict[str, str]:
    """What each node of a config names as its ``_target_``, by the node's option."""

    def inside(node: Any, path: str) -> Iterator[tuple[str, str]]:
        if isinstance(node, dict):
            if isinstance(node.get("_target_"), str):
                yield path, node["_target_"]
            for name, child in node.items():
                yield from inside(child, f"{path}.{name}".lstrip("."))

    return dict(inside(OmegaConf.to_container(cfg, resolve=False), ""))


def has(cfg: DictConfig, option: str) -> bool:
    """Whether a config has such an option, or node, whatever its value."""
    parent, _, name = option.rpartition(".")
    node = OmegaConf.select(cfg, parent) if parent else cfg
    return isinstance(node, DictConfig) and name in node


def is_kept(option: str, value: Any) -> bool:
    """Whether it is what :func:`settings_of` makes, and nothing else that somebody wrote into a checkpoint."""
    parts = option.split(".")
    named = all(re.fullmatch(r"[A-Za-z]\w*", part) for part in parts)
    if value not in ({}, None) and (CONF / option).is_dir():
        return False  # a group: the value would be taken for the name of a config, which may lie anywhere
    return named and option not in NOT_KEPT and parts[0] != "hydra" and (value == {} or _is_plain(value))


def composed(overrides: list[str]) -> tuple[DictConfig, Mapping[str, str | None]]:
    """The config of ``train.py`` with these choices, and the choices of all groups."""
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = hydra.compose("train", overrides, return_hydra_config=True)
    choices = dict(cfg.hydra.runtime.choices)
    OmegaConf.set_struct(cfg, False)
    del cfg["hydra"]
    return cfg, choices


def in_hydra(value: Any) -> str:
    """A plain value in the grammar of Hydra's overrides, strings quoted where they need it."""
    if isinstance(value, list):
        return f"[{','.join(map(in_hydra, value))}]"
    if isinstance(value, str):
        if re.fullmatch(r"[A-Za-z0-9_./-]*[A-Za-z0-9_/-]", value) and not _is_other_than_text(value):
            return value
        # Backslashes count as themselves except before a quote.
        return "'" + re.sub(r"(\\*)('|$)", lambda m: m[1] * 2 + ("\\'" if m[2] else ""), value) + "'"
    return (
        {None: "null", True: "true", False: "false"}.get(value, repr(value)) if not _is_number(value) else repr(value)
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_other_than_text(word: str) -> bool:
    return not isinstance(OverridesParser.create().parse_override(f"x={word}").value(), str)


def _leaves(node: Any, path: str) -> Iterator[tuple[str, Any]]:
    if path in NOT_KEPT:
        return
    if isinstance(node, dict):
        inside = [
            pair
            for name, child in node.items()
            if name[:1] != "_"
            for pair in _leaves(child, f"{path}.{name}".lstrip("."))
        ]
        yield from inside or [(path, {})]
    elif _is_plain(node):
        yield path, node


def _is_plain(value: Any) -> bool:
    """Whether it is a value that a command line could hold: no interpolation, nothing that is not finite."""
    if isinstance(value, list):
        return all(map(_is_plain, value))
    if isinstance(value, str):
        return "${" not in value and "\n" not in value
    return value is None or isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value))
