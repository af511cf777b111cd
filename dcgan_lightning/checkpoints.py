"""Finding and reading checkpoints and weights; nothing that stands in them is ever executed."""

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from lightning.pytorch import Trainer
from safetensors import SafetensorError
from torch import Tensor

from dcgan_lightning.errors import Refusal
from dcgan_lightning.gan_module import CHECKPOINT_KEY, GANModule
from dcgan_lightning.networks import Network, describe, find_family, rebuild

ROLES = ("generator", "discriminator")
UNREADABLE = (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError, KeyError, SafetensorError)


def find(path: str, *prefer: str) -> Path:
    """The checkpoint that ``ckpt_path`` names.

    Args:
        path: a checkpoint, or a run folder.
        prefer: names in the run folder's ``checkpoints/``, the one to take first coming first.

    Raises:
        Refusal: there is none.
    """
    given = Path(path).expanduser()
    if given.is_file():
        return given
    for candidate in (given / "checkpoints" / name for name in prefer):
        if candidate.is_file():
            return candidate
    problem = (
        f"there is no checkpoints/{' or '.join(prefer)} in it" if given.is_dir() else "there is no such file or folder"
    )
    raise Refusal("ckpt_path", path, problem, "give a run folder (outputs/...) or a file (*.ckpt)")


def read(option: str, path: Path) -> dict[str, Any]:
    """Load a file of tensors and plain values onto the CPU: a checkpoint, ``.pth`` or ``.safetensors``.

    Raises:
        Refusal: it cannot be read so.
    """
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except UNREADABLE as error:
        reason = str(error).strip().partition("\n")[0]
        raise Refusal(
            option, path, f"cannot be read as tensors and plain values: {reason}", "give another file"
        ) from error
    if not isinstance(content, dict):
        raise Refusal(option, path, "holds no names", "give a checkpoint, or a state dict")
    return content


def to_resume(path: str | None, model: GANModule) -> Path | None:
    """The checkpoint that training goes on from, once it is known to fit the model.

    Raises:
        Refusal: it is of other networks, or other optimizers.
    """
    if path is None:
        return None
    file = find(path, "last.ckpt")
    recorded = _record(file, read("ckpt_path", file))
    for name in ROLES:
        record = recorded[name]
        if (composed := describe(getattr(model, name))) != record:
            raise Refusal(
                "ckpt_path",
                path,
                f"its {name} is {_spoken(record)}, and this command makes {_spoken(composed)}",
                "repeat the options of the run that it comes from (.hydra/overrides.yaml in its folder)",
            )
    optimizers = [make.func.__name__ for make in model.make_optimizers]
    if recorded["optimizers"] != optimizers:
        problem = f"it was trained with {recorded['optimizers']}, and this command would go on with {optimizers}"
        raise Refusal("ckpt_path", path, problem, "keep the optimizers")
    return file


def refuse_finished(file: Path | None, trainer: Trainer) -> None:
    """Refuse to go on from a checkpoint that is as long as the run is to be, or longer."""
    if file is None:
        return
    checkpoint = read("ckpt_path", file)
    iterations = checkpoint["global_step"]
    epochs = checkpoint["loops"]["fit_loop"]["epoch_progress"]["current"]["completed"]
    limits = {"max_steps": (trainer.max_steps, iterations), "max_epochs": (trainer.max_epochs, epochs)}
    for name, (limit, done) in limits.items():
        if limit not in (None, -1) and done >= limit:
            problem = f"{iterations} iterations ({epochs} epochs) are done in that checkpoint: nothing is left"
            raise Refusal(f"trainer.{name}", limit, problem, f"for instance trainer.max_steps={2 * iterations}")


def load_generator(file: Path) -> Network:
    """The generator of a checkpoint, in eval mode, built from its family's name and plain values."""
    checkpoint = read("ckpt_path", file)
    generator = rebuild(_record(file, checkpoint)["generator"], "Generator")
    prefix = "generator."
    weights = {
        key.removeprefix(prefix): value for key, value in checkpoint["state_dict"].items() if key.startswith(prefix)
    }
    return _filled(generator, weights, "ckpt_path", file)


def generator_of_weights(path: str, family: str) -> Network:
    """The generator whose state dict this file is, built from the shapes in it."""
    file = Path(path).expanduser()
    if not file.is_file():
        raise Refusal("weights", path, "there is no such file", "give a state dict, *.pth or *.safetensors")
    weights = {str(key): value for key, value in read("weights", file).items()}
    if not all(isinstance(value, Tensor) for value in weights.values()):
        raise Refusal("weights", path, "not a state dict: it holds more than tensors", "ckpt_path= takes checkpoints")
    return _filled(find_family(family).Generator.from_state_dict(weights), weights, "weights", file)


def _filled(generator: Network, weights: Mapping[str, Tensor], option: str, file: Path) -> Network:
    try:
        generator.load_state_dict(weights, strict=True)
    except RuntimeError as error:
        raise Refusal(option, file, str(error), "name the family that it belongs to: model=...") from error
    return generator.eval()


def _record(file: Path, checkpoint: dict[str, Any]) -> dict[str, Any]:
    record = checkpoint.get(CHECKPOINT_KEY)
    needed = {"state_dict", "global_step", "loops", "optimizer_states"} <= set(checkpoint)
    if not needed or not isinstance(record, dict) or not all(isinstance(record.get(name), dict) for name in ROLES):
        raise Refusal("ckpt_path", file, "not a checkpoint of this project", "weights= takes state dicts")
    return record


def _spoken(record: Mapping[str, Any]) -> str:
    settings = ", ".join(f"{name}={value}" for name, value in record["kwargs"].items())
    return f"{record['family']}({settings})"
