"""What cannot work is refused: one message with the option, no traceback, nothing made."""

import pytest
import torch
from PIL import Image

from tests.conftest import assert_refused


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("model.lrr=1e-4",), ("model.lrr=1e-4", "did you mean model.lr?")),
        (("model.lr=abc",), ("model.lr=abc", "float")),
        (("trainer.max_steps=abc",), ("trainer.max_steps=abc", "int")),
        (("trainer.max_steps=0",), ("trainer.max_steps=0", "at least 1")),
        (("trainer.fraction=0",), ("trainer.fraction=0", "above 0 and at most 1")),
        (("trainer.fraction=1.5",), ("trainer.fraction=1.5", "above 0 and at most 1")),
        (("seed=x",), ("seed=x", "int")),
        (("model.lr=-1",), ("lr=-1", "above 0")),
        (("model.optimizer_d.betas=[0.5,2]",), ("model.optimizer_d", "beta")),
        (("model.d_every=2", "model.g_every=3"), ("model.d_every=2", "model.g_every=3", "has to be 1")),
        (("model.g_every=0",), ("model.g_every=0", "positive")),
        (("+model.depth=3",), ("model.depth=3", "no such option", "generator")),
        (("model=stylegan",), ("model/stylegan", "dcgan")),
        (("experiment=foo",), ("experiment/foo", "celeba_cpu")),
        (("seed=-1",), ("seed=-1", "0 to 4294967295")),
        (("seed=null",), ("seed=null", "int")),
        (("logger=null",), ("logger=null", "Remedy")),
        (("~loss",), ("loss", "Remedy: python train.py --cfg job")),
        (("~model", "model.generator.width=4"), ("model.generator.width",)),
        (("model.loss=null",), ("model.loss=null", "Loss")),
        (("model.generator.image_size=64",), ("[1, 32, 32]", "[1, 64, 64]", "data.image_size")),
        (("model.discriminator.channels=3",), ("D takes others", "data.channels")),
        (("+callbacks.mine._target_=nope.Mine",), ("callbacks.mine._target_=nope.Mine", "cannot be imported")),
        (("+trainer.gradient_clip_val=0.5",), ("trainer.gradient_clip_val=0.5", "model.clip_grad_norm")),
        (("+trainer.no_such_thing=1",), ("no_such_thing",)),
        (("trainer.strategy=ddp",), ("trainer.strategy=ddp", "ddp_find_unused_parameters_true")),
        (("trainer.num_nodes=0",), ("trainer.num_nodes=0", "at least 1")),
        (("trainer.devices=[0,1]",), ("trainer.devices=[0, 1]", "core(s)")),
        (("trainer.devices=-1",), ("trainer.devices=-1", "core(s)")),
        (("run_dir=elsewhere",), ("run_dir=elsewhere", "hydra.run.dir")),
        (("hydra.job.chdir=true",), ("hydra.job.chdir=true",)),
        (("trainer.devices=64",), ("trainer.devices=64", "core(s)", "Remedy: trainer.devices=1 to")),
        (("trainer.devices=0",), ("trainer.devices=0",)),
        (("trainer.precision=7",), ("trainer.precision=7", "bf16-mixed")),
        (("trainer.strategy=carrier_pigeon",), ("trainer.strategy=carrier_pigeon",)),
        (("trainer.accelerator=abacus",), ("trainer.accelerator=abacus",)),
        (("data.image_size=30",), ("data.image_size=30", "28, 32, 48")),
        (("data.batch_size=5000",), ("data.batch_size=5000", "974")),
        (("callbacks.fid.num_samples=1",), ("callbacks.fid.num_samples=1",)),
        (("callbacks.grid.every=0",), ("callbacks.grid.every=0",)),
        (("callbacks.checkpoints.every=-3",), ("callbacks.checkpoints.every=-3",)),
        (("callbacks.scalars.fetch_every=0",), ("callbacks.scalars.fetch_every=0",)),
        (("ckpt_path=nowhere",), ("ckpt_path=nowhere", "no such file")),
        (("model.lr=[",), ("model.lr=[", "no viable alternative")),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_bad_options(command, arguments, words):
    assert_refused(command.tiny(*arguments), *words)


def test_a_checkpoint_of_other_networks(command, trained):
    run = command.tiny(f"ckpt_path={trained.folder}", "trainer.max_steps=20", "model.generator.width=6")
    assert_refused(run, "ckpt_path", "width=4", "width=6")


def test_a_run_that_has_nothing_left_to_train(command, trained):
    assert_refused(command.tiny(f"ckpt_path={trained.folder}", "trainer.max_steps=12"), "trainer.max_steps", "12")


def test_a_checkpoint_that_is_none(command, tmp_path):
    file = tmp_path / "x.ckpt"
    file.write_bytes(b"not a checkpoint")
    assert_refused(command.tiny(f"ckpt_path={file}"), str(file), "cannot be read")
    torch.save({"weights": torch.zeros(3)}, file)
    assert_refused(command.tiny(f"ckpt_path={file}"), str(file), "not a checkpoint of this project")


@pytest.mark.skipif(torch.accelerator.is_available(), reason="there is a GPU")
def test_a_gpu_where_there_is_none(command):
    run = command.tiny("trainer.accelerator=gpu", "trainer.devices=4")
    assert_refused(run, "trainer.devices=4", "finds 0 device(s)", "Remedy: trainer.accelerator=cpu")


def test_folders_that_were_there_before_stay(command, tmp_path):
    (tmp_path / "work" / "mine").mkdir(parents=True)
    (tmp_path / "work" / "outputs").mkdir()
    for given in ((), ("hydra.run.dir=mine",)):
        run = command.tiny("model.lr=-1", *given)
        assert run.code == 2
        assert run.made == ["mine", "outputs"]


def test_a_place_for_the_run_folder_that_cannot_be_one(command, tmp_path):
    (tmp_path / "work" / "outputs").touch()
    run = command.tiny("trainer.max_steps=1")
    assert run.code == 2
    assert "Refused:" in run.err
    assert "outputs" in run.err
    assert "Traceback" not in run.err


def test_a_checkpoint_of_another_optimizer(command, trained):
    other = "model.optimizer_d._target_=torch.optim.RMSprop"
    run = command.tiny(f"ckpt_path={trained.folder}", "trainer.max_steps=20", other, "~model.optimizer_d.betas")
    assert_refused(run, "ckpt_path", "['RMSprop', 'Adam']")


def test_one_image_has_no_fid(command, tmp_path):
    Image.new("RGB", (64, 64)).save(tmp_path / "one.png")
    folder = (f"data.root={tmp_path}", "data=image_folder", "metrics=fid_random", "data.batch_size=1")
    sizes = ("model.generator.width=4", "model.discriminator.width=4", "trainer.accelerator=cpu")
    run = command("train", *folder, *sizes, f"data.cache_dir={tmp_path.parent / 'cache'}")
    assert_refused(run, "at least 2 images", "metrics=none")


def test_a_run_folder_with_something_in_it(command, trained):
    before = sorted(trained.folder.rglob("*"))
    run = command.tiny(f"hydra.run.dir={trained.folder}")
    assert_refused(run, "hydra.run.dir", "there is something in it")
    assert sorted(trained.folder.rglob("*")) == before
