"""Train a GAN: ``python train.py model=dcgan data=celeba trainer.devices=4``."""

import logging

import dcgan_lightning.start  # noqa: F401  # refuses versions that not even an import may run

# isort: split
from typing import Any

from lightning.pytorch import Trainer
from omegaconf import DictConfig

from dcgan_lightning import cli, precision, resuming, run_folder, run_record, run_words
from dcgan_lightning.command_line import completed
from dcgan_lightning.launch import own_command_for_other_ranks
from dcgan_lightning.machine import keep_freed_memory, look_for_gpus_once
from dcgan_lightning.options import build
from dcgan_lightning.preparing import Prepared, prepared
from dcgan_lightning.rollback import fitted, gone_back, judge
from dcgan_lightning.signals import leaving_at_once


def train(cfg: DictConfig) -> None:
    """Build everything, refuse what cannot work, claim a run folder, and train; again from where the run goes back."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)  # its tips; what matters is said below
    keep_freed_memory()
    look_for_gpus_once()
    run = prepared(cfg)
    with run_folder.claimed(cfg) as folder, own_command_for_other_ranks(folder):
        trainer = _trainer(cfg, run)
        if run.resumed is not None:
            resuming.refuse_finished(run.resumed, trainer, run.batches)
        why = precision.reason(cfg.trainer.precision, cfg.trainer.accelerator)
        run_words.opening_words(trainer, run.data, folder, why)
        if run.resumed is not None:
            run_folder.take_over(run.resumed, run.record.record, trainer, run.data, folder)
        with run_record.recorded(trainer, run.data, folder, run.resumed) as now:
            while (back := fitted(trainer, run)) is not None:
                run = gone_back(back, trainer, run, cfg, folder)
                trainer = _trainer(cfg, run, purge_step=back.to + 1)
                now.goes_back(trainer, back)
            if (diagnosis := judge(run)) is not None:
                diagnosis.raise_if_given_up(trainer)
        run_words.closing_words(trainer, folder)


def _trainer(cfg: DictConfig, run: Prepared, **of_tensorboard: int) -> Trainer:
    logger: Any = False
    if cfg.logger:
        logger = build(cfg, "logger", **(of_tensorboard if cfg.logger._target_.endswith("TensorBoardLogger") else {}))
    return build(cfg, "trainer", batches=run.batches, callbacks=run.callbacks, logger=logger)


if __name__ == "__main__":
    with leaving_at_once():
        cli.run(train, "train", completed)
