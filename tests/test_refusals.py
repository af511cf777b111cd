"""What cannot work is refused: one message with the option, no traceback, nothing made."""

import pytest
import torch

from tests.conftest import assert_refused


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("model.lrr=1e-4",), ("model.lrr=1e-4", "did you mean model.lr?")),
        (("model.lr=abc",), ("model.lr=abc", "float")),
        (("trainer.max_steps=abc",), ("trainer.max_steps=abc", "int")),
        (("trainer.max_steps=0",), ("trainer.max_steps=0", "at least 1")),
        (("seed=x",), ("seed=x", "int")),
        (("model.lr=-1",), ("lr=-1", "above 0")),
        (("model.optimizer_d.betas=[0.5,2]",), ("model.optimizer_d", "beta")),
        (("model.d_every=2", "model.g_every=3"), ("model.d_every=2", "model.g_every=3", "has to be 1")),
        (("model.g_every=0",), ("model.g_every=0", "positive")),
        (("+model.depth=3",), ("model.depth=3", "no such option", "generator")),
        (("model=stylegan",), ("model/stylegan", "dcgan")),
        (("experiment=foo",), ("experiment/foo",)),
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


def test_a_run_folder_with_something_in_it(command, trained):
    before = sorted(trained.folder.rglob("*"))
    run = command.tiny(f"hydra.run.dir={trained.folder}")
    assert_refused(run, "hydra.run.dir", "there is something in it")
    assert sorted(trained.folder.rglob("*")) == before
