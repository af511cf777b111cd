"""Going back: a run whose verdict is a failure goes on from its last good checkpoint, with lower learning rates.

It goes on in the same processes and the same folder, as a run that is gone on from does: everything is built anew, and
takes its state from the checkpoint. What came after that one is taken out of the tables, and put aside.
"""

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch import Trainer
from omegaconf import DictConfig, OmegaConf

from dcgan_lightning import launch, signals
from dcgan_lightning.callbacks.diagnosis import Diagnosis, RolledBack
from dcgan_lightning.callbacks.fid import FID
from dcgan_lightning.checkpoint_io import WholeCheckpointIO
from dcgan_lightning.curves import carry_over, rows_after
from dcgan_lightning.digests import sidecar
from dcgan_lightning.errors import Refusal
from dcgan_lightning.finding import BEST, GOOD, LAST, PREVIOUS
from dcgan_lightning.finite import NonFiniteError
from dcgan_lightning.next_steps import ROLLED_BACK, shown
from dcgan_lightning.preparing import Prepared, prepared
from dcgan_lightning.resuming import RUN_KEY
from dcgan_lightning.settings import RATES
from dcgan_lightning.weights import read

Rates = dict[str, tuple[float, float]]  # by option: before and after


def fitted(trainer: Trainer, run: Prepared) -> RolledBack | None:
    """Train; returns where the run is to go back to, on all ranks, or None where it has come to its end."""
    checkpoint = None if run.resumed is None else run.resumed.file
    try:
        with run.record.restoring():
            trainer.fit(run.model, datamodule=run.data, ckpt_path=checkpoint, weights_only=True)
    except RolledBack as back:
        return back.with_traceback(None)  # which would hold the networks
    except NonFiniteError as error:
        diagnosis = judge(run)
        way = None if diagnosis is None else diagnosis.back_from(trainer, error)
        if way is None:
            raise
        return way
    return None


def judge(run: Prepared) -> Diagnosis | None:
    """The callback that may end a run; None where it was left out."""
    return next((callback for callback in run.callbacks if isinstance(callback, Diagnosis)), None)


def gone_back(back: RolledBack, trainer: Trainer, run: Prepared, cfg: DictConfig, folder: Path) -> Prepared:
    """Have a run's folder, config and parts be those of an earlier iteration, with lower learning rates.

    Args:
        back: to where; all ranks call this.
        trainer: that came out of training.
        run: what it trained.
        cfg: of the run; gets the learning rates and the ``ckpt_path`` that it goes on with.
        folder: of the run.

    Returns:
        What it goes on with.

    Raises:
        NoSpaceError: the checkpoint that it goes on from does not fit on the disk.
    """
    diagnosis = judge(run)
    assert diagnosis is not None
    rates = lower(cfg, diagnosis.lr_factor)
    if trainer.is_global_zero:
        signals.defer(True)
        try:
            _undo(back, rates, diagnosis, run, folder)
        finally:
            signals.defer(False)
    signals.raise_if_received()
    trainer.strategy.barrier("rolled back")
    launch.watch_again()
    cfg.ckpt_path = str(folder / "checkpoints" / LAST)
    try:
        return prepared(cfg, run)
    except Refusal as refusal:  # of a run that is under way
        raise RuntimeError(f"the run went back to iteration {back.to}, and cannot go on: {refusal}") from refusal


def lower(cfg: DictConfig, factor: float) -> Rates:
    """Multiply the learning rates in a run's config; one that refers to another follows it.

    Returns:
        Those that were changed.
    """
    before = {option: OmegaConf.select(cfg, option) for option in RATES}
    known = {option: float(rate) for option, rate in before.items() if isinstance(rate, int | float)}
    changed: Rates = {}
    for refers in (False, True):
        for option, rate in known.items():
            node, _, name = option.rpartition(".")
            follows = OmegaConf.is_interpolation(OmegaConf.select(cfg, node), name)
            if follows == refers and OmegaConf.select(cfg, option) == rate:
                OmegaConf.update(cfg, option, rate * factor)
                changed[option] = rate, rate * factor
    return changed


def _undo(back: RolledBack, rates: Rates, diagnosis: Diagnosis, run: Prepared, folder: Path) -> None:
    """Take the folder back to an iteration.

    The checkpoint is exchanged first, in one instant: it says that the run went back, and has the rows in it, so that
    whoever goes on from the folder, should all end in the next moment, goes on as this does.
    """
    aside = folder / ROLLED_BACK / str(len(diagnosis.rolled_back) + 1)
    spoken = {option: list(pair) for option, pair in rates.items()}
    record = {"verdict": back.verdict, "since": back.since, "until": back.at, "rolled_back_to": back.to}
    record |= {"learning_rates": spoken, "rows": rows_after(folder, back.to)}
    later = list(_later(folder, back.to, run.batches))
    lost_best = folder / "checkpoints" / BEST in later
    content = _told_of(read("ckpt_path", folder / "checkpoints" / GOOD), diagnosis, record, rates)
    if lost_best:
        _forget_best(content, run)
    _exchange(folder / "checkpoints" / LAST, content, folder, aside)
    carry_over(folder, folder, back.to)
    for file in later:
        _put_aside(file, folder, aside)
    words = ", ".join(f"{option}={after:g} (was {before:g})" for option, (before, after) in rates.items())
    print(f"rolled back   {back}, with {words}; what came after it is in {shown(aside)}", flush=True)


def _told_of(content: dict[str, Any], diagnosis: Diagnosis, record: Mapping[str, Any], rates: Rates) -> dict[str, Any]:
    """A good checkpoint that says what has come to pass since."""
    state, told = content["callbacks"][diagnosis.state_key], content[RUN_KEY]
    state = state | {"rolled_back": [*diagnosis.rolled_back, dict(record)]}
    settings = told["settings"] | {option: after for option, (_, after) in rates.items()}
    return content | {
        "callbacks": content["callbacks"] | {diagnosis.state_key: state},
        RUN_KEY: told | {"settings": settings},
    }


def _forget_best(content: dict[str, Any], run: Prepared) -> None:
    """The next FID is the best again: the file of the one that was the best by then has been replaced since."""
    for key in (callback.state_key for callback in run.callbacks if isinstance(callback, FID)):
        content["callbacks"][key] |= {"best_value": None, "best_iteration": None}


def _exchange(last: Path, content: dict[str, Any], folder: Path, aside: Path) -> None:
    """Put a checkpoint into the place of the last one, and put that aside."""
    WholeCheckpointIO().save_checkpoint(content, last)
    previous = last.with_name(PREVIOUS)  # what was the last
    for file in (previous, sidecar(previous)):
        if file.is_file():
            _put_aside(file, folder, aside)


def _later(folder: Path, iterations: int, batches: int) -> Iterator[Path]:
    """Files that tell of a later iteration, and would be replaced; ``batches`` make an epoch."""
    for kind, unit in (("grids/iteration_", 1), ("weights/*_epoch_", batches)):
        for file in sorted(folder.glob(f"{kind}*")):
            number = re.search(r"_(\d+)\.\w+$", file.name)
            if number is not None and int(number[1]) * unit > iterations:
                yield file
    best = folder / "checkpoints" / BEST
    if best.is_file() and read("ckpt_path", best)["global_step"] > iterations:
        yield from (file for file in (best, sidecar(best)) if file.is_file())


def _put_aside(file: Path, folder: Path, aside: Path) -> None:
    target = aside / file.relative_to(folder)
    target.parent.mkdir(parents=True, exist_ok=True)
    os.replace(file, target)
