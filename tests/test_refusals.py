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
        (("model.latents='${seed}'",), ("model.latents=0", "LatentsPolicy")),
        (("logger.default_hp_metric='${data}'",), ("logger.default_hp_metric=", "bool")),
        (("callbacks='${oc.env:NOPE}'",), ("callbacks='${oc.env:NOPE}'", "Error resolving interpolation")),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_bad_options(command, arguments, words):
    assert_refused(command.tiny(*arguments), *words)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("model.lr=${nope}",), ("model.lr=${nope}: Interpolation key 'nope' not found", "--cfg job")),
        (("model.lr=${model.lr}",), ("model.lr=${model.lr}: Recursive interpolation",)),
        (("model.lr=${oc.env:NOPE_NOPE}",), ("model.lr=", "'NOPE_NOPE' not found")),
        (("model.lr=${nope:1}",), ("model.lr=${nope:1}: Unsupported interpolation type nope",)),
        (("seed=???",), ("seed=???: has no value", "give seed=...")),
        (("model.lr=???",), ("model.lr=???: has no value",)),
        (("model.generator={width:abc}",), ("model.generator.width=abc", "int")),
        (("model.lr=1e-4,2e-4",), ("model.lr=1e-4,2e-4: several values are a sweep", "train.py -m")),
        (("seed=range(1,4)",), ("seed=range(1,4): several values are a sweep", "train.py -m")),
        (("model=dcgan,mlp",), ("model=dcgan,mlp: several values are a sweep",)),
        (("model.lr",), ("model.lr: cannot be read: missing EQUAL", "name=value")),
        (("seed=\u4e2d\u6587",), ("seed=\u4e2d\u6587: cannot be read", "quoted twice")),
        (("model.lr='a\n\x1b[31mb'",), ("model.lr=a\\n\\x1b[31mb: is of type str",)),
        ((f"model.lr={'x' * 5000}",), ("model.lr=xxx", "(5000 characters): is of type str")),
        (("+model.lr=3",), ("+model.lr=3: Could not append", "'model.lr=3'")),
        (("~model.nope",), ("~model.nope: Could not delete",)),
        (("~model.lr=7",), ("~model.lr=7: Could not delete", "0.0004 and not 7")),
        (("+model=dcgan",), ("+model=dcgan: Multiple values for model",)),
        (("model=null",), ("model=null: Config group override",)),
        (("experiment=null",), ("experiment=null: Config group override",)),
        (("callbacks.fid=[1]",), ("callbacks.fid=[1]", "Cannot merge DictConfig with ListConfig")),
        (("callbacks.grid=3",), ("callbacks.grid=3", "_target_")),
        (("+callbacks.mine={}",), ("callbacks.mine", "nothing would read it")),
        (("+modle=dcgan",), ("modle=dcgan: no such option, and nothing would read it",)),
        (("+metrics.evry=3",), ("metrics.evry=3: no such option", "every")),
        (("hydra.run.dir=/proc/x/y",), ("hydra.run.dir=/proc/x/y: the run folder cannot be made",)),
        (("metrics=none", "metrics.features={}"), ("metrics.features={}: is of type dict",)),
        (("export_pth=${data}",), ("export_pth={", "is of type dict, and has to be bool")),
        (("model.d_every=true",), ("model.d_every=true: is of type bool",)),
        (("model.optimizer_d.betas=[true,0.9]",), ("model.optimizer_d.betas",)),
        (("model.lr=inf",), ("model.lr=inf: has to be a finite number",)),
        (("model.init.std=nan",), ("model.init.std=nan: has to be a finite number",)),
        (("seed=18446744073709551616",), ("seed=18446744073709551616: has more than 64 bits",)),
        (("data.num_workers=1000000000",), ("data.num_workers=1000000000", "processes")),
        (("data.batch_size=1099511627776",), ("data.batch_size=1099511627776", "GiB")),
        (("model.generator.width=100000",), ("model.generator.width=100000", "these networks take", "GiB")),
        (("model.generator.width=1000000000",), ("width", "1000000000", "overflow")),
        (("model.generator.latent_dim=1000000000000",), ("model.generator.latent_dim=1000000000000", "GiB")),
        (("callbacks.grid.n=1000000000",), ("callbacks.grid.n=1000000000", "GiB")),
        (("callbacks.fid.num_samples=10000000000",), ("callbacks.fid.num_samples=10000000000", "GiB")),
        (("model=mlp", "data.image_size=1000000"), ("data.image_size=1000000", "GiB")),
        (("trainer.devices=1000000",), ("trainer.devices=1000000",)),
    ],
    ids=lambda value: " ".join(value)[:60] if isinstance(value, tuple) else None,
)
def test_the_option_and_the_cause_are_named(command, arguments, words):
    assert_refused(command.tiny(*arguments), *words)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [1", ("experiment=mine", "a config file cannot be read", "mine.yaml", "line 1")),
        ("model:\n\tlr: 3", ("experiment=mine", "mine.yaml", "line 2")),
        ("seed: 1\nseed: 2", ("experiment=mine", "found duplicate key seed")),
        ('!!python/object/apply:os.mkdir ["made"]', ("experiment=mine", "could not determine a constructor")),
        ("3", ("experiment=mine", "Invalid loaded object type: int")),
        ("# @package a b\nseed: 3", ("experiment=mine", "Too many components")),
        ("# @package _global_\ndefaults: 3", ("experiment=mine", "defaults must be a list")),
        ("# @package _global_\ndefaults:\n  - mine", ("experiment=mine", "RecursionError")),
        ("# @package _global_\ndefaults:\n  - override /model: nope", ("model/nope", "dcgan_small")),
        ("# @package _global_\nmodel:\n  lr: ${nope}", ("model.lr: Interpolation key 'nope' not found",)),
        ("# @package _global_\nmodel:\n  lr: fast", ("model.lr=fast", "float")),
        ("# @package _global_\ntrianer:\n  max_steps: 1", ("trianer={...}: no such option",)),
        ("# @package _global_\nmetrics:\n  evry: 1", ("metrics.evry=1: no such option",)),
        ("seed: 4", ("experiment", "# @package _global_")),
    ],
)
def test_a_file_of_ones_own_with_an_error_in_it(command, tmp_path, text, words):
    (tmp_path / "conf" / "experiment").mkdir(parents=True)
    (tmp_path / "conf" / "experiment" / "mine.yaml").write_text(text)
    assert_refused(command.tiny(f"--config-dir={tmp_path / 'conf'}", "experiment=mine"), *words)


def test_an_option_that_others_refer_to_is_no_stray_one(command):
    run = command.tiny("+width=4", "model.generator.width=${width}", "trainer.max_steps=1", "metrics=none")
    assert run.code == 0


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
