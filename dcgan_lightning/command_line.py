"""A command line that goes on from a checkpoint, completed with what its run was told."""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import hydra
from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig

from dcgan_lightning import checkpoints
from dcgan_lightning.errors import Refusal
from dcgan_lightning.resuming import GROUPS, Resumed, opened
from dcgan_lightning.settings import CONF, WEIGHTS, Settings, composed, has, in_hydra, settings_of, targets_of

# What may have been added for Lightning's Trainer and holds; of all else a user is told that it does not.
ADDED = ("trainer.benchmark", "trainer.detect_anomaly", "trainer.limit_train_batches")
ENDLESS = {"trainer.max_steps": None, "trainer.max_epochs": None, "trainer.fraction": 1.0}


def completed(arguments: list[str]) -> list[str]:
    """A command line with ``ckpt_path``, completed with all that its checkpoint's run was told and it does not tell.

    Args:
        arguments: without the program's name.

    Returns:
        The same where nothing is gone on from. Else ``ckpt_path`` names the file that is taken, and what comes from the
        checkpoint stands before what was typed.

    Raises:
        Refusal: there is no such checkpoint, or it was made with a choice that ``conf/`` does not have.
    """
    try:
        flags = get_args_parser().parse_args(arguments)
        given = [OverridesParser.create().parse_override(word) for word in flags.overrides]
    except (SystemExit, HydraException):
        return arguments  # Hydra says what is wrong with them
    path = next((override for override in given if override.key_or_group == "ckpt_path"), None)
    if path is None or path.value() is None:
        return arguments
    if path.is_sweep_override():
        problem = "one command goes on from one checkpoint"
        raise Refusal("ckpt_path", str(path.input_line).partition("=")[2], problem, "a command for each of them")
    for flag in ("config_dir", "config_name", "config_path"):
        if (value := getattr(flags, flag)) is not None:
            problem = "what a checkpoint's run was told is laid over conf/, and over nothing else"
            raise Refusal(f"--{flag.replace('_', '-')}", value, problem, "copy what is needed to conf/")
    for weights in (o for o in given if o.key_or_group in WEIGHTS and o.value() is not None):
        problem = "the checkpoint has weights of its own, which would take the place of these"
        raise Refusal(weights.key_or_group, weights.get_value_element_as_str(), problem, "leave out that or ckpt_path")
    named = str(path.value())
    if named == "last" and not Path(named).exists():
        named = str(checkpoints.newest_run(_runs(flags.overrides)))
    resumed = opened(named)
    choices = _choices(resumed, given)
    held = [*choices, *_settings(resumed, given, choices)]
    before = [word for word in arguments if word not in flags.overrides]  # which come in one piece
    own = [word for word in flags.overrides if word != path.input_line]
    return [*before, *held, *own, f"ckpt_path={in_hydra(str(resumed.file))}"]


def _runs(overrides: list[str]) -> Path:
    """The folder that the folder of this command's run would be made in."""
    wanted = [
        word for word in overrides if re.match(r"(\w+|hydra\.run\.dir)=", word) and not word.startswith("ckpt_path=")
    ]
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = hydra.compose("train", wanted, return_hydra_config=True)
    before = HydraConfig.instance().cfg
    HydraConfig.instance().set_config(cfg)  # the folder's name refers to it
    try:
        return Path(cfg.hydra.run.dir).parent
    finally:
        HydraConfig.instance().cfg = before


def _choices(resumed: Resumed, given: list[Override]) -> list[str]:
    """Choices of groups, as overrides, that lead to the run's together with those that are given."""
    recorded: Mapping[str, str | None] = resumed.run["choices"]
    typed = {override.key_or_group: override for override in given if override.key_or_group in GROUPS}
    if "experiment" in typed and typed["experiment"].value() != recorded.get("experiment"):  # swept over, too
        return []  # another experiment brings its own
    held: list[str] = []
    chosen: Mapping[str, str | None] | None = None
    for group in GROUPS:
        choice = recorded.get(group)
        if group in typed or choice is None:
            continue
        if not (re.fullmatch(r"\w+", choice) and (CONF / group / f"{choice}.yaml").is_file()):
            problem = f"its run has {group}={choice}, and there is no conf/{group}/{choice}.yaml"
            raise Refusal("ckpt_path", resumed.file, problem, f"give {group}=...")
        chosen = composed([*held, *_lines(typed.values())])[1] if chosen is None else chosen
        if chosen.get(group) != choice:
            held.append(f"{group}={choice}")
            chosen = None
    return held


def _settings(resumed: Resumed, given: list[Override], choices: list[str]) -> list[str]:
    """Settings of the run, as overrides, that neither ``conf/`` has with its choices nor the command line gives."""
    typed = _lines(override for override in given if override.key_or_group in GROUPS)
    before = composed(_as_choices(resumed.run["choices"]))[0]
    cfg = composed([*choices, *typed])[0]
    recorded = resumed.run["choices"].items()  # giving a choice that holds anyway gives nothing
    named = [o.key_or_group for o in given if o.is_sweep_override() or (o.key_or_group, o.value()) not in recorded]

    def is_given(option: str) -> bool:
        return any(option == name or option.startswith(f"{name}.") for name in named)

    _refuse_lost_code(resumed, before, named)
    then, now, told = settings_of(before), settings_of(cfg), resumed.run["settings"]
    held = {}
    for option, value in told.items():
        kept = then.get(option, ...) == now.get(option, ...) and not is_given(option)
        if kept and (option not in now or now[option] != value) and not isinstance(value, dict):
            held[option] = value
    for callback in dict.fromkeys(".".join(name.split(".")[:2]) for name in now if name.startswith("callbacks.")):
        if not is_given(callback) and not any(f"{name}.".startswith(f"{callback}.") for name in told):
            held[callback] = None  # the run was told to do without
    if any(map(is_given, ("trainer.max_steps", "trainer.max_epochs"))):  # a length that is given replaces the run's
        held = {name: value for name, value in held.items() if name not in ENDLESS}
        held |= {name: value for name, value in ENDLESS.items() if not is_given(name) and now[name] != value}
    return list(_as_overrides(held, cfg))


def _refuse_lost_code(resumed: Resumed, cfg: DictConfig, named: list[str]) -> None:
    """Refuse to leave out what the run's command line named as code, such as another rule for D.

    Args:
        resumed: the checkpoint.
        cfg: composed from its choices alone.
        named: options on this command line.
    """
    targets = targets_of(cfg)
    for option, was in resumed.run["targets"].items():
        code = f"{option}._target_"
        again = any(code.startswith(f"{name}.") or code == name for name in named)
        if option in targets and targets[option] != was and not again:
            problem = f"its run was told {code}={was}, which is code, and that is not taken from a checkpoint"
            raise Refusal("ckpt_path", resumed.file, problem, "give it again, with the options beside it")


def _lines(overrides: Iterable[Override]) -> list[str]:
    """As they were typed; not what is swept over, which is composed cell by cell."""
    return [str(override.input_line) for override in overrides if not override.is_sweep_override()]


def _as_overrides(held: Settings, cfg: DictConfig) -> Iterator[str]:
    for option, value in held.items():
        if has(cfg, option):
            yield f"{option}={in_hydra(value)}"
        elif option in ADDED:
            yield f"+{option}={in_hydra(value)}"


def _as_choices(choices: Mapping[str, str | None]) -> list[str]:
    return [f"{group}={choice}" for group, choice in choices.items() if group in GROUPS and choice is not None]
