"""What Hydra and OmegaConf have against a config, as one message: the option, what is wrong with it, the way out."""

import difflib
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import hydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, ListConfig
from omegaconf.errors import InterpolationResolutionError, MissingMandatoryValue, OmegaConfBaseException
from yaml import YAMLError

from dcgan_lightning.errors import Refusal, shortened
from dcgan_lightning.settings import CONF

GRAMMAR = r"no viable alternative|LexerNoViable|Error parsing override|extraneous input|mismatched input|token recog"


class NotComposedError(Exception):
    """Hydra raised something that is no error of its own before there was a config; in words."""


def message(error: BaseException, config_name: str) -> str:
    """The words for an error of composing or reading a config; of any other error its own.

    Args:
        error: what was raised.
        config_name: of the primary config, train for ``train.py``.
    """
    if isinstance(error, OmegaConfBaseException) and (error.full_key or error.key):
        return _about_a_value(error, config_name)
    words = str(error).strip().partition("\nConfig search path:")[0].strip()
    if isinstance(error, Refusal) or not isinstance(error, HydraException | OmegaConfBaseException):
        return words
    unknown = re.search(r"Could not override '([^']+)'", words)
    if unknown is not None:
        return _unknown_option(unknown[1].partition("@")[0], config_name)
    return _about_composing(error, words, config_name)


def not_composed(error: Exception, config_name: str) -> str:
    """The words for what Hydra raised before there was a config: of a file that is no YAML, a group set to a number."""
    if isinstance(error, HydraException | OmegaConfBaseException):
        return message(error, config_name)
    cause, names = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__, _typed()
    if isinstance(error, YAMLError):
        file = re.search(r'in "(.+?)", line', str(error))
        names = [word for word in names if file and word.endswith(f"={Path(file[1]).stem}")] or names
        return _refusal(names, f"a config file cannot be read: {cause}", "mend the file; conf/ has examples")
    if isinstance(error, OSError) and error.filename:
        names = [word for word in names if word.startswith("hydra.run.dir=")] or [f"hydra.run.dir={error.filename}"]
        return _refusal(names, f"the run folder cannot be made: {error}", "hydra.run.dir=<a new folder>")
    if "group override" in cause:
        names = [word for word in names if _sets_group_to_no_name(word)] or names
        remedy = f"name a file of that group: python {config_name}.py --help shows all of them"
        return _refusal(names, str(error), remedy)
    names = [word for word in names if (CONF / _name(word)).is_dir()] or names  # what chooses files
    return _refusal(names, f"cannot be composed: {cause}", f"python {config_name}.py --cfg job shows all options")


def _about_a_value(error: OmegaConfBaseException, config_name: str) -> str:
    option = str(error.full_key or error.key)
    problem = str(error).partition("\n    full_key:")[0].strip()
    if error.__cause__ is not None and str(error.__cause__).partition("\n")[0] not in problem:
        problem += f" ({str(error.__cause__).partition(chr(10))[0]})"
    missing = re.search(r"Missing mandatory value: ([\w.]+)", problem)
    if missing is not None or isinstance(error, MissingMandatoryValue):
        option = missing[1] if missing else option
        return _refusal(_typed_for(option) or [f"{option}=???"], "has no value", f"give {option}=...")
    if isinstance(error, InterpolationResolutionError):
        remedy = f"python {config_name}.py --cfg job shows all options; give it a value, or refer to one of them"
    else:
        remedy = f"mend {option}"
    return _refusal(_typed_for(option) or [option], problem, remedy)


def _about_composing(error: BaseException, words: str, config_name: str) -> str:
    if isinstance(error, OverrideParseException):
        named = [error.override]
    else:
        quoted = re.findall(r"['=]?([\w./@-]+)", words)
        named = [word for word in _typed() if _name(word) in quoted]
    if (broken := re.search(r"Error resolving interpolation '([^']+)'", words)) is not None:
        named = [word for word in _typed() if broken[1] in word] or named
    cause = error.__cause__
    if isinstance(cause, OmegaConfBaseException):
        words += f": {str(cause).partition(chr(10))[0]}"
    remedy = f"python {config_name}.py --cfg job shows all options, --help all groups"
    if isinstance(error, MissingConfigException) and (file := re.search("Could not find '([^']*)'", words)):
        named = [word for word in _typed() if file[1].startswith(f"{_name(word)}/")] or [file[1]]
        there = re.search(r"Available options in [^:]*:\n(.+)", words, re.DOTALL)
        choices = ", ".join(there[1].split()) if there else "nothing in that folder"
        return _refusal(named, f"{words.splitlines()[0]}; there is {choices}", "name one of these")
    if re.search("Ambiguous value|requires --multirun", words):
        words = "several values are a sweep, and this is a single run"
        remedy = f"python {config_name}.py -m ... runs one after the other; a list is written name=[a,b]"
    elif re.search(GRAMMAR, words):
        lines = [line for line in words.splitlines() if not re.match(r"Error parsing|See https|\s*\^", line)]
        words = f"cannot be read: {' '.join(lines)}"
        remedy = "options are name=value; a value with special characters is quoted twice: 'name=\"a value\"'"
    return _refusal(named, words, remedy)


def _refusal(named: list[str], problem: str, remedy: str) -> str:
    """As :class:`Refusal` says it; ``named`` are the options as they were typed, as far as the error tells them."""
    return "\n  Remedy: ".join([": ".join(filter(None, [shortened(" ".join(named)), problem])), remedy])


def _typed() -> list[str]:
    """The overrides of the command line."""
    return [word for word in sys.argv[1:] if not word.startswith("-")]


def _name(word: str) -> str:
    return word.lstrip("+~").partition("=")[0].partition("@")[0]


def _typed_for(option: str) -> list[str]:
    """The overrides that give an option its value: its own, or one of what it is part of."""
    return [word for word in _typed() if option == _name(word) or option.startswith(f"{_name(word)}.")][-1:]


def _sets_group_to_no_name(word: str) -> bool:
    if not (CONF / _name(word)).is_dir():
        return False
    value = OverridesParser.create().parse_override(word).value()
    return not isinstance(value, str | list | ListConfig)


def _unknown_option(option: str, config_name: str) -> str:
    given = next((word for word in _typed() if word.lstrip("+~").startswith(f"{option}=")), option)
    known = _known_options(config_name)
    parent = option.rpartition(".")[0]
    siblings = [name for name in known if name.rpartition(".")[0] == parent]
    near = [name for name in difflib.get_close_matches(option, known, n=2) if name != option]
    name, _, value = given.partition("=")
    problem = f"no such option; there is {', '.join(siblings) or 'no ' + parent}"
    remedy = f"did you mean {near[0]}?" if near else f"python {config_name}.py --cfg job shows all of them"
    return str(Refusal(name, value, problem, remedy))


def _known_options(config_name: str) -> list[str]:
    """Every option there is with the groups that the command line chose."""
    groups = [word for word in sys.argv[1:] if re.fullmatch(r"\w+=\w+", word)]
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        try:
            cfg = hydra.compose(config_name, groups)
        except (HydraException, OmegaConfBaseException):
            cfg = hydra.compose(config_name)

    def names(node: DictConfig, prefix: str) -> Iterator[str]:
        for name in map(str, node):
            yield f"{prefix}{name}"
            child = node._get_node(name)
            if isinstance(child, DictConfig) and not child._is_interpolation():
                yield from names(child, f"{prefix}{name}.")

    return list(names(cfg, ""))
