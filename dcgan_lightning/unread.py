"""Options that nothing would read: Hydra takes every name that a config file or ``+name=`` adds."""

from pathlib import Path

import yaml
from omegaconf import DictConfig, OmegaConf

from dcgan_lightning.errors import Refusal


def refuse_unread(cfg: DictConfig, conf: Path, config_name: str) -> None:
    """Refuse options of the top level, or of a group that is no object itself, which no file of ``conf/`` has.

    What becomes an object is held against its signature elsewhere. Options that others refer to, as in
    ``+width=32 model.generator.width='${width}'``, are read.

    Args:
        cfg: composed.
        conf: the folder of configs.
        config_name: of the primary config in it.

    Raises:
        Refusal: there is such an option.
    """
    primary = yaml.safe_load((conf / f"{config_name}.yaml").read_text(encoding="utf-8"))
    groups = [str(name) for entry in primary["defaults"] if isinstance(entry, dict) for name in entry]
    known = [
        name for name in [*groups, *primary] if " " not in name and name not in ("defaults", "experiment", "hydra")
    ]
    _refuse_others(cfg, cfg, "", known)
    for group in groups:
        node = cfg.get(group) if group in known and group in cfg else None
        if isinstance(node, DictConfig) and "_target_" not in node:
            files = [yaml.safe_load(file.read_text(encoding="utf-8")) for file in (conf / group).glob("*.yaml")]
            _refuse_others(cfg, node, f"{group}.", list({str(name) for file in files if file for name in file}))


def _refuse_others(cfg: DictConfig, node: DictConfig, prefix: str, known: list[str]) -> None:
    for name in map(str, node):
        child = node._get_node(name)
        is_object = isinstance(child, DictConfig) and not child._is_none() and "_target_" in child
        if name in known or (prefix and is_object) or f"${{{prefix}{name}" in str(OmegaConf.to_container(cfg)):
            continue
        value = "{...}" if OmegaConf.is_config(child) else child
        problem = f"no such option, and nothing would read it; there is {', '.join(known)}"
        remedy = "leave it out" if name != "experiment" else "begin the experiment's file with # @package _global_"
        raise Refusal(f"{prefix}{name}", value, problem, remedy)
