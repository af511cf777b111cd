"""What a run does about a full disk, networks that are not finite, and the best checkpoint of the run before."""

import math
import shutil
import sys
from collections import namedtuple

import pytest
import torch
from lightning.pytorch import Callback

from dcgan_lightning.callbacks.checkpoints import Checkpoints, _inherit
from dcgan_lightning.checkpoint_io import NoSpaceError, WholeCheckpointIO
from dcgan_lightning.digests import damage
from dcgan_lightning.finite import NonFiniteError
from dcgan_lightning.networks.dcgan import Discriminator, Generator
from tests.conftest import TINY
from tests.support import Images, finished, gan, some_images, trainer

SIZES = {"image_size": 28, "channels": 1, "width": 4}
Usage = namedtuple("Usage", "total used free")


def train(folder, *callbacks, iterations=6):
    module = gan(Generator(**SIZES, latent_dim=6), Discriminator(**SIZES))
    fit = trainer(folder, iterations, [*callbacks, Checkpoints(every=2)], enable_checkpointing=True)
    fit.fit(module, datamodule=Images(some_images(16), 8, folder / "cache"))


def steps(folder):
    """Iterations of the checkpoints that are there and whole."""
    files = sorted((folder / "checkpoints").glob("*.ckpt"))
    assert [damage(file) for file in files] == [None] * len(files)
    return {file.stem: torch.load(file, weights_only=True)["global_step"] for file in files}


@pytest.fixture
def full_at(monkeypatch):
    """Make the disk full from some iterations on, as a callback that has to come before the checkpoints."""
    free = [10**12]
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: Usage(10**12, 0, free[0]))

    class Fill(Callback):
        def __init__(self, *iterations):
            self.iterations = iterations

        def on_train_batch_end(self, trainer, *args):
            free[0] = 1000 if trainer.global_step in self.iterations else 10**12

    return Fill


def test_a_full_disk_keeps_what_there_is_says_so_and_training_goes_on(tmp_path, full_at):
    said = r"last.ckpt was not saved: it needs .* MB, and 0.0 MB are free .*last.ckpt is that of iteration 2\. Training"
    with pytest.warns(UserWarning, match=said):
        train(tmp_path, full_at(4))
    assert steps(tmp_path) == {"last": 6, "previous": 2}


def test_a_disk_that_was_full_at_the_last_iteration_is_tried_again_at_the_end(tmp_path, full_at):
    class Cleared(full_at):
        def on_train_end(self, *args):
            self.on_train_batch_end(namedtuple("Trainer", "global_step")(0))

    with pytest.warns(UserWarning, match="was not saved"):
        train(tmp_path, Cleared(6))
    assert steps(tmp_path) == {"last": 6, "previous": 4}


def test_a_run_whose_end_is_not_saved_fails_and_names_the_newest_checkpoint(tmp_path, full_at):
    with pytest.warns(UserWarning, match="was not saved"), pytest.raises(NoSpaceError) as error:
        train(tmp_path, full_at(5, 6))
    assert f"{tmp_path}/checkpoints/last.ckpt is that of iteration 4." in str(error.value)
    assert f"make space, then python train.py ckpt_path={tmp_path}" in str(error.value)
    assert steps(tmp_path) == {"last": 4, "previous": 2}


def test_on_the_command_line_that_is_one_message_and_exit_code_1(command, monkeypatch):
    def full(*args, **kwargs):
        raise NoSpaceError("it does not fit")

    monkeypatch.setattr(WholeCheckpointIO, "save_checkpoint", full)
    with pytest.warns(UserWarning, match=r"There is no .*last.ckpt yet\. Training goes on"):
        run = command.tiny("trainer.max_steps=2", "metrics=none", "logger=none", "~callbacks.grid")
    assert run.code == 1
    assert "Stopped: the end of this run is not saved: " in run.err
    assert "Traceback" not in run.err


@pytest.mark.parametrize("place", ["generator.main.0.weight", "discriminator.main.3.running_var"])
def test_networks_that_are_not_finite_are_not_saved(tmp_path, place):
    class Spoil(Callback):
        def on_train_batch_end(self, trainer, pl_module, *args):
            if trainer.global_step == 5:
                named = {**dict(pl_module.named_parameters()), **dict(pl_module.named_buffers())}
                named[place].data.view(-1)[0] = math.nan

    with pytest.raises(NonFiniteError, match=r"is not finite .* after 6 iterations.*last.ckpt is that of iteration 4"):
        train(tmp_path, Spoil())
    assert steps(tmp_path) == {"last": 4, "previous": 2}


def test_other_errors_in_saving_end_the_run(tmp_path, monkeypatch):
    def fail(*args, **kwargs):
        raise PermissionError("not yours")

    monkeypatch.setattr(WholeCheckpointIO, "save_checkpoint", fail)
    with pytest.raises(PermissionError, match="not yours"):
        train(tmp_path)


def test_the_best_checkpoint_of_the_run_before_is_kept_if_it_is_whole_and_that_of_the_best_fid(tmp_path):
    source = tmp_path / "parent" / "checkpoints" / "best.ckpt"
    WholeCheckpointIO().save_checkpoint({"global_step": 500, "w": torch.zeros(10)}, source)
    _inherit(source, tmp_path / "later" / "checkpoints" / "best.ckpt", 250)
    assert not (tmp_path / "later").exists()
    _inherit(source, tmp_path / "child" / "checkpoints" / "best.ckpt", 500)
    assert steps(tmp_path / "child") == {"best": 500}
    assert (tmp_path / "child" / "checkpoints" / "best.ckpt.sha256").is_file()
    source.write_bytes(source.read_bytes()[:-1])
    with pytest.warns(UserWarning, match=r"best.ckpt, the best by FID so far, is not kept in .*its sha256"):
        _inherit(source, tmp_path / "other" / "checkpoints" / "best.ckpt", 500)
    assert not (tmp_path / "other").exists()


@pytest.mark.slow
def test_what_rank_0_cannot_save_ends_all_ranks(tmp_path):
    """The limit is on the size of any file: the checkpoint is the largest one by far."""
    pytest.importorskip("resource")
    options = [*TINY, "metrics=none", "logger=none", "~callbacks.grid", "~callbacks.weights", "data.batch_size=32"]
    options += ["model.generator.width=16", "model.discriminator.width=16", f"data.cache_dir={tmp_path / 'cache'}"]
    options += ["trainer.devices=2", "trainer.max_steps=5", "callbacks.checkpoints.every=2"]
    limited = "import resource, runpy; resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, -1)); "
    limited += "import sys; sys.argv[0] = 'train.py'; runpy.run_path('train.py', run_name='__main__')"
    command = [sys.executable, "-c", limited, *options, f"hydra.run.dir={tmp_path}/run"]
    done = finished(command)
    assert done.returncode == 1, done.stderr
    assert "Stopped: the end of this run is not saved" in done.stderr
    assert "Traceback" not in done.stderr
    assert not [file for file in (tmp_path / "run").rglob("*") if "unfinished" in file.name]
