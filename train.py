"""Train a GAN: ``python train.py model=dcgan data=celeba trainer.devices=4``."""

import logging

import dcgan_lightning.start  # noqa: F401  # refuses versions that not even an import may run

# isort: split
from omegaconf import DictConfig

from dcgan_lightning import cli, precision, resuming, run_folder
from dcgan_lightning.command_line import completed
from dcgan_lightning.launch import own_command_for_other_ranks
from dcgan_lightning.machine import keep_freed_memory, look_for_gpus_once
from dcgan_lightning.options import build
from dcgan_lightning.preparing import prepared
from dcgan_lightning.signals import leaving_at_once


def train(cfg: DictConfig) -> None:
    """Build everything, refuse what cannot work, claim a run folder, and train."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)  # its tips; what matters is said below
    keep_freed_memory()
    look_for_gpus_once()
    run = prepared(cfg)
    with run_folder.claimed(cfg) as folder, own_command_for_other_ranks(folder):
        logger = build(cfg, "logger") if cfg.logger else False
        trainer = build(cfg, "trainer", batches=run.batches, callbacks=run.callbacks, logger=logger)
        if run.resumed is not None:
            resuming.refuse_finished(run.resumed, trainer, run.batches)
        why = precision.reason(cfg.trainer.precision, cfg.trainer.accelerator)
        run_folder.opening_words(trainer, run.data, folder, why)
        if run.resumed is not None:
            run_folder.take_over(run.resumed, run.record.record, trainer, run.data, folder)
        with run_folder.recorded(trainer, run.data, folder, run.resumed), run.record.restoring():
            checkpoint = run.resumed and run.resumed.file
            trainer.fit(run.model, datamodule=run.data, ckpt_path=checkpoint, weights_only=True)
        run_folder.closing_words(trainer, folder)


if __name__ == "__main__":
    with leaving_at_once():
        cli.run(train, "train", completed)
