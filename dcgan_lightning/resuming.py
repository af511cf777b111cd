"""Going on from a checkpoint: the settings of its run hold, unless the command line gives others.

A checkpoint carries plain values only. What they are laid over is composed from ``conf/``, so that nothing that stands
in a checkpoint is ever imported or called, and no file is written where a checkpoint says.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from lightning.pytorch import Callback, LightningModule, Trainer
from omegaconf import DictConfig, OmegaConf

from dcgan_lightning import checkpoints
from dcgan_lightning.data.module import ImageDataModule
from dcgan_lightning.errors import Refusal
from dcgan_lightning.gan_module import GANModule
from dcgan_lightning.networks import describe
from dcgan_lightning.precision import resolved
from dcgan_lightning.settings import in_hydra, is_kept, settings_of, targets_of
from dcgan_lightning.weights import read

RUN_KEY = "run"  # where a checkpoint keeps what its run was told
GROUPS = ("experiment", "data", "model", "loss", "metrics", "trainer", "callbacks", "logger")  # in this order of effect
# Another value would make another run of it: other images, or the same in another order.
FIXED = ("seed", "model.seed", "data.seed", "data.sampling", "data.drop_last")


@dataclass(frozen=True)
class Resumed:
    """A checkpoint to go on from.

    Attributes:
        file: the checkpoint.
        iteration: how many are done in it.
        networks: the record of its networks and optimizers.
        run: what :func:`told` and :func:`trained_on` say of its run.
    """

    file: Path
    iteration: int
    networks: Mapping[str, Any]
    run: Mapping[str, Any]

    @property
    def folder(self) -> Path | None:
        """The run folder that it lies in, if it does."""
        return self.file.parent.parent if self.file.parent.name == "checkpoints" else None


class RunRecord(Callback):
    """Keeps in every checkpoint what has to be known to go on from it.

    Any other part that has state joins through Lightning's own hooks: ``state_dict`` and ``load_state_dict`` of a
    callback or a data module, ``on_save_checkpoint`` and ``on_load_checkpoint`` of the module. What they keep is
    tensors and plain values, since nothing else is read back.

    Args:
        record: plain values: what :func:`told` and :func:`trained_on` say.
        resumed: the checkpoint that this run goes on from, if it does.
    """

    def __init__(self, record: dict[str, Any], resumed: Resumed | None) -> None:
        self.record, self.resumed = record, resumed
        self.restored = False

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.resumed is not None and trainer.global_step != self.resumed.iteration:
            raise ValueError(f"it counts {trainer.global_step} iterations, and says {self.resumed.iteration}")
        self.restored = True

    @contextmanager
    def restoring(self) -> Iterator[None]:
        """Turn what goes wrong before training goes on, whatever states that are none lead to, into a refusal."""
        try:
            yield
        except Exception as error:
            if self.resumed is None or self.restored or isinstance(error, Refusal):
                raise
            problem = f"its state cannot be restored: {type(error).__name__}: {error}"
            raise Refusal("ckpt_path", self.resumed.file, problem, _anew(self.resumed.file)) from error

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        checkpoint[RUN_KEY] = self.record


def told(cfg: DictConfig, choices: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What a run was told, for its checkpoints: the choices of groups and the settings that were composed.

    Of ``trainer.precision=auto`` it is what that took. ``choices`` are those of groups, where Hydra is asked no more.
    """
    choices = HydraConfig.get().runtime.choices if choices is None else choices
    precision = {"trainer.precision": resolved(cfg.trainer.precision, cfg.trainer.accelerator)}
    return {
        "choices": {group: choices.get(group) for group in GROUPS},
        "settings": settings_of(cfg) | precision,
        "targets": targets_of(cfg),
        "fixed": {option: OmegaConf.select(cfg, option) for option in FIXED},  # which may refer to others
    }


def trained_on(data: ImageDataModule, devices: int) -> dict[str, Any]:
    """What a run's checkpoints say of its images: the data set, and how many make a batch of all devices."""
    place = {"cache_dir": str(data.cache_dir)}  # only to be told of
    return {"data": data.identity() | place, "global_batch": data.batch_size * devices}


def opened(path: str) -> Resumed:
    """The checkpoint that ``ckpt_path`` names: a file, or a run folder, of which it is the newest valid one.

    Raises:
        Refusal: there is none, or it was not made by a run.
    """
    file = checkpoints.find(path, "last.ckpt", "previous.ckpt")
    content = read("ckpt_path", file)
    networks, run = checkpoints.record_of(file, content), content.get(RUN_KEY)
    if not _is_record(run):
        problem = "does not say what its run was told, so that going on from it might be another run"
        raise Refusal("ckpt_path", file, problem, _anew(file))
    assert run is not None
    return Resumed(file, int(content["global_step"]), networks, run)


def refuse_other_run(resumed: Resumed, now: Mapping[str, Any], model: GANModule) -> None:
    """Refuse to go on with what would make another run: other networks or optimizers, or another seed.

    Args:
        resumed: the checkpoint.
        now: what this run is told.
        model: that it would train.
    """
    for name in checkpoints.ROLES:
        record, composed = resumed.networks[name], describe(getattr(model, name))
        if composed != record:
            problem = f"its {name} is {_spoken(record)}, and this command makes {_spoken(composed)}"
            raise Refusal("ckpt_path", resumed.file, problem, f"leave those options out; or {_anew(resumed.file)}")
    optimizers = [make.func.__name__ for make in model.make_optimizers]
    if resumed.networks["optimizers"] != optimizers:
        was = resumed.networks["optimizers"]
        problem = f"it was trained with {was}, and this command would go on with {optimizers}"
        raise Refusal("ckpt_path", resumed.file, problem, f"keep the optimizers; or {_anew(resumed.file)}")
    for option in FIXED:
        was, value = resumed.run["fixed"].get(option), now["fixed"][option]
        if was != value:
            problem = f"the checkpoint's run has {option}={_typed(was)}; with another it is another run"
            raise Refusal(option, value, problem, f"leave it out; or {_anew(resumed.file)}")


def refuse_other_images(resumed: Resumed, data: ImageDataModule, devices: int) -> None:
    """Refuse to go on with other images, or with batches of another size, over so many devices."""
    _refuse_other_data(resumed, data)
    _refuse_other_batch(resumed, data, devices)


def refuse_finished(resumed: Resumed, trainer: Trainer, batches: int) -> None:
    """Refuse to go on from a checkpoint that is as long as the run is to be, or longer; ``batches`` make an epoch."""
    iterations, epochs = resumed.iteration, resumed.iteration // batches
    limits = {"max_steps": (trainer.max_steps, iterations), "max_epochs": (trainer.max_epochs, epochs)}
    for name, (limit, done) in limits.items():
        if limit not in (None, -1) and done >= limit:
            problem = f"{iterations} iterations ({epochs} epochs) are done in that checkpoint: nothing is left"
            remedy = f"for instance trainer.max_steps={2 * iterations}; trainer.fraction= shortens every run of a sweep"
            raise Refusal(f"trainer.{name}", limit, problem, remedy)


def words(resumed: Resumed, now: Mapping[str, Any], data: ImageDataModule) -> Iterator[str]:
    """What a user has to know who goes on: each option that is not as it was in the checkpoint's run.

    Args:
        resumed: the checkpoint.
        now: what this run is told.
        data: with its images.
    """
    for option, (was, value) in _differences(resumed, now).items():
        yield f"{option}={_typed(value)} from here on, {_typed(was)} before"
    then = resumed.run["choices"]
    others = [group for group in GROUPS if then.get(group) != now["choices"].get(group)]
    for group in others:
        yield f"{group}={_typed(now['choices'].get(group))} from here on, {_typed(then.get(group))} before"
    for option in resumed.run["settings"]:
        if option not in now["settings"] and option.partition(".")[0] not in others:
            yield f"{option} of that run does not hold; give it again if it is to"
    if resumed.run["data"].get("cache_dir") != str(data.cache_dir):
        yield (
            f"data.cache_dir is {data.cache_dir}, and was {resumed.run['data'].get('cache_dir')}: where it has no "
            "statistics of the real images, they are computed anew, which may change the last digits of FIDs"
        )
    if resumed.run["data"].get("fingerprint") != data.fingerprint:
        yield (
            "the files of the images have another place, name, size or date than they had; "
            f"{min(len(data.images), data.COMPARED):,} of {len(data.images):,} images were compared, and are the same"
        )


def _differences(resumed: Resumed, now: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Options with another value than the checkpoint's run had: (then, now)."""
    there, here = resumed.run["settings"], now["settings"]
    return {name: (there[name], here[name]) for name in here if name in there and here[name] != there[name]}


def _refuse_other_batch(resumed: Resumed, data: ImageDataModule, devices: int) -> None:
    was, now = resumed.run["global_batch"], data.batch_size * devices
    if was != now:
        per_device = (
            f"data.batch_size={was // devices}" if was % devices == 0 else f"a number of devices that divides {was}"
        )
        problem = f"its batches are of {was} images over all devices, and here of {now} ({devices} device(s))"
        raise Refusal("data.batch_size", data.batch_size, problem, f"{per_device}; or {_anew(resumed.file)}")


def _refuse_other_data(resumed: Resumed, data: ImageDataModule) -> None:
    was, now = resumed.run["data"], data.identity()
    if was.get("shape") != now["shape"]:
        shapes = [f"{count:,} of {'x'.join(map(str, shape))}" for count, *shape in (was["shape"], now["shape"])]
        problem = f"the checkpoint's run was trained on another data set: {shapes[0]}, and here there are {shapes[1]}"
    elif was.get("sample") != now["sample"]:
        problem = "the checkpoint's run was trained on other images, though as many of the same size"
    else:
        return
    raise Refusal("data", "...", problem, f"leave the options of data out, or mend data.root; or {_anew(resumed.file)}")


def _anew(file: Path) -> str:
    """How to start a new run from a checkpoint's weights."""
    run = file.parent.parent if file.parent.name == "checkpoints" else Path("<run folder>")
    files = " ".join(f"model.{role}_weights={run / role}.safetensors" for role in checkpoints.ROLES)
    return f"start anew from its weights: {files} (where they are missing, python rebuild.py run={run} makes them)"


def _typed(value: Any) -> str:
    if value == {}:  # a node, such as a callback without options
        return "{...}"
    return in_hydra(value) if not isinstance(value, str) else value


def _spoken(record: Mapping[str, Any]) -> str:
    settings = ", ".join(f"{name}={value}" for name, value in record["kwargs"].items())
    return f"{record['family']}({settings})"


def _is_record(run: Any) -> bool:
    if not isinstance(run, dict) or not {"choices", "settings", "targets", "fixed", "global_batch", "data"} <= set(run):
        return False
    choices, settings = run["choices"], run["settings"]
    return (
        isinstance(choices, dict)
        and all(isinstance(choice, str | None) for choice in choices.values())
        and isinstance(settings, dict)
        and all(isinstance(name, str) and is_kept(name, value) for name, value in settings.items())
        and isinstance(run["targets"], dict)
        and isinstance(run["fixed"], dict)
        and isinstance(run["global_batch"], int)
        and isinstance(run["data"], dict)
        and isinstance(run["data"].get("shape"), list)
    )
