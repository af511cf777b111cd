"""Train a GAN: ``python train.py model=dcgan data=celeba trainer.devices=4``."""

import logging

from lightning.pytorch import seed_everything
from lightning.pytorch.utilities import rank_zero_only
from omegaconf import DictConfig

from dcgan_lightning import checkpoints, cli, run_folder
from dcgan_lightning.options import build, check_options
from dcgan_lightning.trainer import count_devices


def train(cfg: DictConfig) -> None:
    """Build everything, refuse what cannot work, claim a run folder, and train."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)  # its tips; what matters is said below
    check_options(cfg)
    devices = count_devices(cfg.trainer.accelerator, cfg.trainer.devices) * cfg.trainer.num_nodes
    seed_everything(cfg.seed, workers=True, verbose=False)
    data, model = build(cfg, "data"), build(cfg, "model")
    checkpoint = checkpoints.to_resume(cfg.ckpt_path, model)
    if rank_zero_only.rank == 0:  # the other ranks start once this is done
        data.prepare_data()
    data.setup("fit")
    data.refuse_small_set(devices)
    callbacks = [build(cfg, f"callbacks.{name}") for name in cfg.callbacks]
    with run_folder.claimed(cfg) as folder:
        logger = build(cfg, "logger") if cfg.logger else False
        trainer = build(cfg, "trainer", callbacks=callbacks, logger=logger)
        checkpoints.refuse_finished(checkpoint, trainer)
        run_folder.opening_words(trainer, data, folder, checkpoint)
        trainer.fit(model, datamodule=data, ckpt_path=checkpoint, weights_only=True)
        run_folder.closing_words(trainer, folder)


if __name__ == "__main__":
    cli.run(train, "train")
