"""What to type after a run: to sample from it, to go on from it, to make it again; from its folder alone.

Each command is a list of words, as :func:`shlex.join` takes them. Folders are named as seen from the current directory.
"""

import json
from pathlib import Path
from typing import Any

import yaml

from dcgan_lightning.settings import RATES, WEIGHTS, in_hydra

ROLLED_BACK = "rolled_back"  # folder in a run's, one for each time that it went back
LENGTHS = ("trainer.max_steps", "trainer.max_epochs", "trainer.fraction")


def shown(folder: Path) -> str:
    """As short as it can be typed from the current directory."""
    return str(folder.relative_to(Path.cwd())) if folder.is_relative_to(Path.cwd()) else str(folder)


def option(name: str, folder: Path) -> str:
    """An override with a folder for its value, quoted for Hydra where its grammar needs that."""
    return f"{name}={in_hydra(shown(folder))}"


def curves(folder: Path) -> list[str]:
    """TensorBoard on the run."""
    return ["tensorboard", "--logdir", shown(folder)]


def sample(folder: Path) -> list[str]:
    """64 images from the run's best checkpoint, or the newest where there is no best."""
    return ["python", "generate.py", option("ckpt_path", folder), "n=64", "seed=0"]


def rebuild(folder: Path) -> list[str]:
    """All that a run or a sweep leaves at its end."""
    return ["python", "rebuild.py", option("run", folder)]


def diagnose(folder: Path) -> list[str]:
    """The verdict on the run, from its curves."""
    return ["python", "diagnose.py", option("run", folder)]


def repeat(folder: Path) -> list[str]:
    """The same run, from its first iteration on, or from the checkpoint that it went on from."""
    return ["python", "train.py", *overrides(folder)]


def finish(folder: Path) -> list[str]:
    """Go on from where the run was stopped, to the length that it was to have; from its start if it saved nothing."""
    if not (folder / "checkpoints" / "last.ckpt").is_file():
        return repeat(folder)
    rates = _lowered(folder)
    kept = overrides(folder, "ckpt_path", *WEIGHTS, *(option for option in RATES if rates))
    return ["python", "train.py", option("ckpt_path", folder), *kept, *rates]


def lengthen(folder: Path, max_steps: int) -> list[str]:
    """Go on until so many iterations are done, counted from the very first."""
    length = _section(folder, "trainer")
    rates = _lowered(folder)
    kept = [*overrides(folder, "ckpt_path", *LENGTHS, *WEIGHTS, *(option for option in RATES if rates)), *rates]
    # What an experiment sets would end the run earlier.
    freed = [] if length.get("max_epochs") is None else ["trainer.max_epochs=null"]
    freed += [] if length.get("fraction", 1) == 1 else ["trainer.fraction=1"]
    return ["python", "train.py", option("ckpt_path", folder), *kept, f"trainer.max_steps={max_steps}", *freed]


def overrides(folder: Path, *but: str) -> list[str]:
    """Those of a run as they were typed, interpolations too, except those that set these options.

    Raises:
        OSError, ValueError: its ``.hydra/overrides.yaml`` cannot be read.
    """
    words = _yaml(folder / ".hydra" / "overrides.yaml")
    if not isinstance(words, list) or not all(isinstance(word, str | int | float) for word in words):
        raise ValueError("overrides.yaml is damaged: it is no list of words")
    return [word for word in map(str, words) if not word.startswith(tuple(f"{name}=" for name in but))]


def _lowered(folder: Path) -> list[str]:
    """The learning rates, as overrides, that a run went on with since it went back; none where it did not."""
    try:
        history = json.loads((folder / "diagnosis.json").read_text())["history"]
        records = [record for record in history if "rolled_back_to" in record]
        if not (folder / ROLLED_BACK / str(len(records))).is_dir():  # it was a run before this one
            return []
        rates = records[-1]["learning_rates"]
        return [f"{option}={float(rates[option][1])!r}" for option in RATES if option in rates]
    except (OSError, ValueError, KeyError, TypeError, IndexError, RecursionError):
        return []


def _section(folder: Path, name: str) -> dict[str, Any]:
    """A part of the composed config, nothing resolved."""
    config = _yaml(folder / ".hydra" / "config.yaml")
    section = config.get(name) if isinstance(config, dict) else None
    return section if isinstance(section, dict) else {}


def _yaml(file: Path) -> Any:
    try:
        return yaml.safe_load(file.read_text())
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(f"{file.name} is damaged: {error}") from error
