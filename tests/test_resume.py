"""A run that was stopped and resumed is the run that was never stopped, bit by bit."""

import csv
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from lightning.pytorch.callbacks import Checkpoint
from omegaconf import OmegaConf

from dcgan_lightning.settings import in_hydra, settings_of
from tests.conftest import TINY, assert_refused
from tests.support import ROOT, composed

# 974 images in batches of 64 are 16 batches an epoch. In the middle of the first and of later epochs, with the last
# batch of an epoch done, and with the first of the next.
CUTS = (3, 15, 16, 17, 25, 32, 33)
TOTAL = 38
FINE = (
    f"trainer.max_steps={TOTAL}",
    "callbacks.fid.every=8",
    "callbacks.grid.every=5",
    "callbacks.scalars.fetch_every=7",
)


class Cuts(Checkpoint):
    """Saves a checkpoint at each cut of a run, after all other callbacks, as the run's own are saved."""

    def __init__(self, folder, cuts):
        self.folder, self.cuts = folder, cuts

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if trainer.global_step in self.cuts:
            pl_module.sync_buffers()
            trainer.save_checkpoint(Path(trainer.default_root_dir) / self.folder / f"{trainer.global_step}.ckpt", False)


def cutting(cuts=CUTS):
    return f"+callbacks.cuts={{_target_:tests.test_resume.Cuts,folder:checkpoints,cuts:{in_hydra(list(cuts))}}}"


def last(folder):
    return torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def equal(one, two, path=""):
    """Whether two trees of plain values and tensors are bitwise the same; names the first place where not."""
    if isinstance(one, torch.Tensor):
        assert one.dtype == two.dtype, path
        assert torch.equal(one, two), path
    elif isinstance(one, dict):
        assert list(one) == list(two), path
        for name in one:
            equal(one[name], two[name], f"{path}/{name}")
    elif isinstance(one, list | tuple):
        assert len(one) == len(two), path
        for place, pair in enumerate(zip(one, two, strict=True)):
            equal(*pair, f"{path}/{place}")
    else:
        assert one == two, path


def assert_same_run(whole, resumed):
    """All that a run is: weights, BatchNorm buffers, both Adams, callbacks' state, tables, pictures, best checkpoint."""
    before, after = last(whole), last(resumed)
    for key in ("state_dict", "optimizer_states", "callbacks", "global_step", "epoch", "dcgan_lightning"):
        equal(before[key], after[key], key)
    for name in ("metrics.csv", "fid.csv"):
        assert (whole / name).read_bytes() == (resumed / name).read_bytes()
    for picture in (resumed / "grids").iterdir():
        assert picture.read_bytes() == (whole / "grids" / picture.name).read_bytes()
    best = [torch.load(folder / "checkpoints" / "best.ckpt", weights_only=True) for folder in (whole, resumed)]
    assert best[0]["global_step"] == best[1]["global_step"]
    equal(best[0]["state_dict"], best[1]["state_dict"], "best")


@pytest.fixture(scope="module", params=["0", pytest.param("2", marks=pytest.mark.slow)], ids="workers={}".format)
def whole(request, tmp_path_factory):
    """A run that was never stopped, with a checkpoint at every cut, and the options that it had."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    options = [*TINY, *FINE, f"data.num_workers={request.param}", f"data.cache_dir={folder.parent / 'cache'}"]
    run(*options, cutting(), f"hydra.run.dir={folder}")
    return folder, options


def run(*arguments, code=0):
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "train.py", *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == code, done.stderr
    return done


@pytest.mark.parametrize("cut", CUTS)
def test_a_resumed_run_is_the_run_that_was_never_stopped(whole, cut, command, tmp_path):
    folder, options = whole
    checkpoint = folder / "checkpoints" / f"{cut}.ckpt"
    resumed = tmp_path / "resumed"
    done = command(
        "train", f"ckpt_path={checkpoint}", f"data.cache_dir={folder.parent / 'cache'}", f"hydra.run.dir={resumed}"
    )
    assert done.code == 0, done.err
    assert_same_run(folder, resumed)
