"""All that comes before a run has a folder: what it needs is built, and what cannot work is refused."""

from dataclasses import dataclass

from lightning.pytorch import Callback, seed_everything
from lightning.pytorch.utilities import rank_zero_only
from omegaconf import DictConfig, OmegaConf

from dcgan_lightning import captured, memory, resuming, strategies
from dcgan_lightning.callbacks.fid import FID
from dcgan_lightning.data.module import ImageDataModule
from dcgan_lightning.errors import Refusal
from dcgan_lightning.gan_module import GANModule
from dcgan_lightning.options import build, check_options
from dcgan_lightning.resuming import Resumed, RunRecord
from dcgan_lightning.trainer import world_size


@dataclass(frozen=True)
class Prepared:
    """What a run is made of.

    Attributes:
        data: with its images.
        model: with its initial weights.
        callbacks: those of the config, after ``record``.
        record: what checkpoints say of the run.
        resumed: the checkpoint that it goes on from, if it does.
        batches: in an epoch, on each device.
    """

    data: ImageDataModule
    model: GANModule
    callbacks: list[Callback]
    record: RunRecord
    resumed: Resumed | None
    batches: int


def prepared(cfg: DictConfig, before: Prepared | None = None) -> Prepared:
    """Build what ``cfg`` describes; nothing is written but the cache of the images.

    Args:
        cfg: the composed config.
        before: the same run with other values, which goes on; its images are kept.

    Raises:
        Refusal: something cannot work.
    """
    devices = _refuse_options(cfg)
    seed_everything(cfg.seed, workers=True, verbose=False)
    data, model = build(cfg, "data") if before is None else before.data, build(cfg, "model")
    told = resuming.told(cfg, None if before is None else before.record.record["choices"])
    resumed = resuming.opened(str(cfg.ckpt_path)) if cfg.ckpt_path is not None else None
    if resumed is not None:
        resuming.refuse_other_run(resumed, told, model)
    if rank_zero_only.rank == 0:  # type: ignore[attr-defined]  # the other ranks start once this is done
        data.prepare_data()
    data.setup("fit")
    data.refuse_small_set(devices)
    memory.refuse_too_much(cfg, devices // cfg.trainer.num_nodes)  # again, now that the images are there
    if resumed is not None:
        resuming.refuse_other_images(resumed, data, devices)
    model.refuse_other_images(data.images.shape[1:], data.smallest_batch(devices))
    made = [name for name, node in cfg.callbacks.items() if node is not None and name != "console"]  # an option of one
    callbacks = [build(cfg, f"callbacks.{name}") for name in made]
    for fid in (callback for callback in callbacks if isinstance(callback, FID)):
        fid.refuse_unfit(data.images)
    record = RunRecord(told | resuming.trained_on(data, devices), resumed)
    return Prepared(data, model, [record, *callbacks], record, resumed, data.batches(devices))


def _refuse_options(cfg: DictConfig) -> int:
    """Refuse what the options alone tell; returns how many devices train."""
    strategies.refuse_unfit(OmegaConf.select(cfg, "trainer.strategy", default="auto"))  # an object's config too
    check_options(cfg)
    asked = OmegaConf.masked_copy(cfg.trainer, ["accelerator", "devices", "num_nodes"])
    count = world_size(**OmegaConf.to_container(asked))  # type: ignore[arg-type]
    captured.refuse_unfit(cfg.model.cuda_graph, cfg.trainer, count)
    memory.refuse_too_much(cfg, count // cfg.trainer.num_nodes)
    if not 0 <= cfg.seed < 2**32:
        raise Refusal("seed", cfg.seed, "has to be from 0 to 4294967295", "for instance seed=0")
    return count
