"""Train a GAN: ``python train.py model=dcgan data=celeba trainer.devices=4``."""

import logging

import dcgan_lightning.start  # noqa: F401  # refuses versions that not even an import may run

# isort: split
from lightning.pytorch import seed_everything
from lightning.pytorch.utilities import rank_zero_only
from omegaconf import DictConfig, OmegaConf

from dcgan_lightning import captured, cli, memory, precision, resuming, run_folder, strategies
from dcgan_lightning.callbacks.fid import FID
from dcgan_lightning.command_line import completed
from dcgan_lightning.errors import Refusal
from dcgan_lightning.launch import own_command_for_other_ranks
from dcgan_lightning.machine import keep_freed_memory, look_for_gpus_once
from dcgan_lightning.options import build, check_options
from dcgan_lightning.signals import leaving_at_once
from dcgan_lightning.trainer import world_size


def train(cfg: DictConfig) -> None:
    """Build everything, refuse what cannot work, claim a run folder, and train."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)  # its tips; what matters is said below
    keep_freed_memory()
    look_for_gpus_once()
    strategies.refuse_unfit(OmegaConf.select(cfg, "trainer.strategy", default="auto"))  # an object's config too
    check_options(cfg)
    asked = OmegaConf.to_container(OmegaConf.masked_copy(cfg.trainer, ["accelerator", "devices", "num_nodes"]))
    devices = world_size(**asked)
    captured.refuse_unfit(cfg.model.cuda_graph, cfg.trainer, devices)
    memory.refuse_too_much(cfg, devices // cfg.trainer.num_nodes)
    if not 0 <= cfg.seed < 2**32:
        raise Refusal("seed", cfg.seed, "has to be from 0 to 4294967295", "for instance seed=0")
    seed_everything(cfg.seed, workers=True, verbose=False)
    data, model = build(cfg, "data"), build(cfg, "model")
    told = resuming.told(cfg)
    resumed = resuming.opened(str(cfg.ckpt_path)) if cfg.ckpt_path is not None else None
    if resumed is not None:
        resuming.refuse_other_run(resumed, told, model)
    if rank_zero_only.rank == 0:  # the other ranks start once this is done
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
    record = resuming.RunRecord(told | resuming.trained_on(data, devices), resumed)
    with run_folder.claimed(cfg) as folder, own_command_for_other_ranks(folder):
        logger = build(cfg, "logger") if cfg.logger else False
        batches = data.batches(devices)  # in an epoch
        trainer = build(cfg, "trainer", batches=batches, callbacks=[record, *callbacks], logger=logger)
        if resumed is not None:
            resuming.refuse_finished(resumed, trainer, batches)
        why = precision.reason(cfg.trainer.precision, cfg.trainer.accelerator)
        run_folder.opening_words(trainer, data, folder, why)
        if resumed is not None:
            run_folder.take_over(resumed, told, trainer, data, folder)
        with run_folder.recorded(trainer, data, folder, resumed), record.restoring():
            trainer.fit(model, datamodule=data, ckpt_path=resumed and resumed.file, weights_only=True)
        run_folder.closing_words(trainer, folder)


if __name__ == "__main__":
    with leaving_at_once():
        cli.run(train, "train", completed)
