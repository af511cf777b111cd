"""Finding checkpoints, and networks made of what stands in them; none of it is ever executed."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch import Trainer

from dcgan_lightning.errors import Refusal
from dcgan_lightning.gan_module import CHECKPOINT_KEY, GANModule
from dcgan_lightning.networks import Network, describe, rebuild
from dcgan_lightning.weights import fill, read

ROLES = ("generator", "discriminator")


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


def refuse_finished(file: Path | None, trainer: Trainer, batches: int) -> None:
    """Refuse to go on from a checkpoint that is as long as the run is to be, or longer; ``batches`` make an epoch."""
    if file is None:
        return
    iterations = read("ckpt_path", file)["global_step"]
    epochs = iterations // batches
    limits = {"max_steps": (trainer.max_steps, iterations), "max_epochs": (trainer.max_epochs, epochs)}
    for name, (limit, done) in limits.items():
        if limit not in (None, -1) and done >= limit:
            problem = f"{iterations} iterations ({epochs} epochs) are done in that checkpoint: nothing is left"
            remedy = f"for instance trainer.max_steps={2 * iterations}; trainer.fraction= shortens every run of a sweep"
            raise Refusal(f"trainer.{name}", limit, problem, remedy)


def load_generator(file: Path) -> Network:
    """The generator of a checkpoint, in eval mode, built from its family's name and plain values."""
    return _load(file, "generator")


def load_discriminator(file: Path) -> Network:
    """The discriminator of a checkpoint, in eval mode, built likewise."""
    return _load(file, "discriminator")


def _load(file: Path, role: str) -> Network:
    checkpoint = read("ckpt_path", file)
    network = rebuild(_record(file, checkpoint)[role], role.capitalize())
    prefix = f"{role}."
    weights = {
        key.removeprefix(prefix): value for key, value in checkpoint["state_dict"].items() if key.startswith(prefix)
    }
    fill(network, weights, "ckpt_path", file)
    return network.eval()


def _record(file: Path, checkpoint: dict[str, Any]) -> dict[str, Any]:
    record = checkpoint.get(CHECKPOINT_KEY)
    needed = {"state_dict", "global_step", "loops", "optimizer_states"} <= set(checkpoint)
    if not needed or not isinstance(record, dict) or not all(isinstance(record.get(name), dict) for name in ROLES):
        raise Refusal("ckpt_path", file, "not a checkpoint of this project", "weights= takes state dicts")
    return record


def _spoken(record: Mapping[str, Any]) -> str:
    settings = ", ".join(f"{name}={value}" for name, value in record["kwargs"].items())
    return f"{record['family']}({settings})"
