"""A run that was stopped and resumed is the run that was never stopped, bit by bit."""

import csv
import os
import re
import shlex
import sys
from pathlib import Path

import pytest
import torch
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import example, given, settings
from hypothesis import strategies as st
from lightning.pytorch.callbacks import Checkpoint
from omegaconf import OmegaConf
from PIL import Image

from dcgan_lightning.command_line import completed
from dcgan_lightning.curves import CARRIED_OVER
from dcgan_lightning.data.batches import Batches
from dcgan_lightning.errors import Refusal
from dcgan_lightning.settings import in_hydra, is_kept, settings_of
from tests.conftest import TINY, assert_refused
from tests.support import composed, finished

# 974 images in batches of 64 are 16 batches an epoch. In the middle of the first and of later epochs, with the last
# batch of an epoch done, and with the first of the next.
CUTS = (3, 15, 16, 17, 25, 32, 33)
TOTAL = 38
FINE = (
    f"trainer.max_steps={TOTAL}",
    "callbacks.fid.every=8",
    "callbacks.grid.every=5",
    "callbacks.scalars.fetch_every=7",
    "callbacks.samples.every=6",
    "diagnosis.window=6",
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
    """All that a run is: weights, BatchNorm's buffers, optimizers, callbacks' state, tables, pictures, the best."""
    before, after = last(whole), last(resumed)
    for key in ("state_dict", "optimizer_states", "callbacks", "global_step", "epoch", "dcgan_lightning"):
        equal(before[key], after[key], key)
    for name in CARRIED_OVER:
        assert (whole / name).read_bytes() == (resumed / name).read_bytes()
    for picture in (resumed / "grids").iterdir():
        assert picture.read_bytes() == (whole / "grids" / picture.name).read_bytes()
    best = [torch.load(folder / "checkpoints" / "best.ckpt", weights_only=True) for folder in (whole, resumed)]
    assert best[0]["global_step"] == best[1]["global_step"]
    equal(best[0]["state_dict"], best[1]["state_dict"], "best")


def run(*arguments, code=0):
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "train.py", *map(str, arguments)]
    done = finished(command, env=environment)
    assert done.returncode == code, done.stderr
    return done


@pytest.fixture(autouse=True)
def one_thread():
    """As many as the runs in processes of their own have: another number sums in another order."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


KINDS = {
    "one process": (),
    "two workers": ("data.num_workers=2",),
    "two ranks": ("trainer.devices=2", "data.batch_size=32"),
    "two ranks with workers": ("trainer.devices=2", "data.batch_size=32", "data.num_workers=2"),
    # All else that has a state, or a position in the data: latents that D keeps until G is updated, draws with
    # replacement, the newest batch of G's, an epoch's weights, other precisions and optimizers.
    "everything else": (
        "model.latents._target_=dcgan_lightning.schedule.CarriedLatents",
        "model.g_every=5",
        "callbacks.grid.latents=batch",
        "callbacks.console=guide",
        "data.sampling=replacement",
        "data.drop_last=true",
        "trainer.precision=32-true",
        "model.optimizer_d._target_=torch.optim.AdamW",
        "save_every=1",
    ),
}


@pytest.fixture(scope="module")
def whole(request, tmp_path_factory):
    """The folder of a run that was never stopped, with a checkpoint at every cut."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    options = [*TINY, *FINE, *KINDS[request.param], f"data.cache_dir={folder.parent / 'cache'}"]
    run(*options, cutting(), f"hydra.run.dir={folder}")
    return folder


every_cut = pytest.mark.parametrize("cut", CUTS)


@pytest.mark.parametrize("whole", ["one process"], indirect=True)
@pytest.mark.parametrize(
    "cut", [cut if cut in (3, 16, 33) else pytest.param(cut, marks=pytest.mark.slow) for cut in CUTS]
)
def test_a_resumed_run_is_the_run_that_was_never_stopped(whole, cut, command, tmp_path):
    resumed = tmp_path / "resumed"
    options = (f"data.cache_dir={whole.parent / 'cache'}", f"hydra.run.dir={resumed}")
    done = command("train", f"ckpt_path={whole}/checkpoints/{cut}.ckpt", *options)
    assert done.code == 0, done.err
    assert_same_run(whole, resumed)
    assert (resumed / "resumed_from.txt").read_text() == f"{whole}/checkpoints/{cut}.ckpt\n"


@pytest.mark.slow
@pytest.mark.parametrize("whole", [kind for kind in KINDS if kind != "one process"], indirect=True)
@every_cut
def test_so_it_is_with_workers_on_two_ranks_and_with_whatever_has_a_state(whole, cut, tmp_path):
    resumed = tmp_path / "resumed"
    options = (f"data.cache_dir={whole.parent / 'cache'}", f"hydra.run.dir={resumed}")
    kept = [word for word in KINDS["everything else"] if "_target_" in word]  # what is code, a checkpoint does not hold
    others = kept if "AdamW" in (whole / ".hydra" / "overrides.yaml").read_text() else []
    run(f"ckpt_path={whole}/checkpoints/{cut}.ckpt", *others, *options)
    assert_same_run(whole, resumed)


def test_the_test_sees_an_order_of_images_that_begins_anew(command, tmp_path, monkeypatch):
    first = command.tiny("trainer.max_steps=20", "metrics=none", cutting([5])).folder
    monkeypatch.setattr(Batches, "go_on_after", lambda self, batches: None)
    command("train", f"ckpt_path={first}/checkpoints/5.ckpt", f"hydra.run.dir={tmp_path}/other")
    with pytest.raises(AssertionError):
        equal(last(first)["state_dict"], last(tmp_path / "other")["state_dict"])


def test_settings_of_the_checkpoint_hold_and_others_that_are_given_are_said(command, tmp_path):
    told = ("model.lr=1e-3", "model.g_every=2", "trainer.precision=64-true", "callbacks.grid=null", "logger=none")
    first = command.tiny(*told, "metrics=fid_random", "trainer.max_epochs=1", "trainer.fraction=0.25").folder
    assert last(first)["global_step"] == 4
    held = command("train", f"ckpt_path={first}", "trainer.max_steps=6", f"hydra.run.dir={tmp_path}/held")
    assert held.code == 0, held.err
    config = OmegaConf.load(tmp_path / "held" / ".hydra" / "config.yaml")
    assert (config.model.lr, config.model.g_every, config.trainer.precision) == (1e-3, 2, "64-true")
    assert (config.callbacks.grid, config.trainer.max_epochs, config.trainer.fraction) == (None, None, 1)
    assert config.metrics.features._target_.endswith("RandomConvFeatures")
    assert "precision 64-true" in held.out
    assert "trainer.max_steps=6 from here on, null before" in held.out
    assert "model.lr=" not in held.out.partition("go on")[0]

    again = command(
        "train", f"ckpt_path={tmp_path}/held", "trainer.max_steps=8", "model.lr=2e-3", "model.g_every=1", "metrics=none"
    )
    assert again.code == 0, again.err
    assert "model.lr=0.002 from here on, 0.001 before" in again.out
    assert "model.g_every=1 from here on, 2 before" in again.out
    assert "metrics=none from here on, fid_random before" in again.out
    assert last(again.folders[-1])["optimizer_states"][0]["param_groups"][0]["lr"] == 2e-3


def test_code_that_was_typed_is_not_left_out_silently(command):
    code = "model.latents._target_=dcgan_lightning.schedule.CarriedLatents"
    first = command.tiny("trainer.max_steps=2", "metrics=none", code).folder
    refused = command("train", f"ckpt_path={first}", "trainer.max_steps=3")
    assert refused.code == 2
    assert code in refused.err
    assert command("train", f"ckpt_path={first}", "trainer.max_steps=3", code).code == 0


@pytest.mark.slow
def test_a_length_counts_from_the_very_first_iteration_and_replaces_the_checkpoints(command):
    first = command.tiny("trainer.max_steps=4", "metrics=none").folder
    run = command("train", f"ckpt_path={first}", "trainer.max_epochs=1")
    (second,) = set(run.folders) - {first}
    assert len(rows(second / "metrics.csv")) == 16
    assert "nothing is left" in command("train", f"ckpt_path={second}").err  # whose length holds


def test_the_precision_that_auto_took_holds(command, monkeypatch):
    monkeypatch.setattr("dcgan_lightning.precision.bf16_instructions", lambda: "AMX")
    first = command.tiny("trainer.max_steps=2", "metrics=none").folder
    monkeypatch.setattr("dcgan_lightning.precision.bf16_instructions", lambda: "")
    run = command("train", f"ckpt_path={first}", "trainer.max_steps=4")
    assert "precision bf16-mixed" in run.out
    given = command("train", f"ckpt_path={first}", "trainer.max_steps=4", "trainer.precision=32-true")
    assert "trainer.precision=32-true from here on, bf16-mixed before" in given.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("seed=3",), ("seed=3", "seed=0", "model.generator_weights=")),
        (("data.seed=3",), ("data.seed=3", "model.generator_weights=")),
        (("data.batch_size=32",), ("data.batch_size=32", "of 64 images", "data.batch_size=64")),
        (("data.digit=3",), ("data=", "974 of 1x32x32", "model.generator_weights=")),
        (("data.sampling=replacement",), ("data.sampling=replacement", "shuffle")),
        (("data.drop_last=true",), ("data.drop_last=true",)),
        (("model.generator.width=6",), ("width=4", "width=6", "model.generator_weights=")),
        (("model=mlp",), ("dcgan(", "mlp(", "model.generator_weights=")),
        (
            ("model.optimizer_g._target_=torch.optim.SGD", "~model.optimizer_g.betas", "~model.optimizer_g.eps"),
            ("SGD",),
        ),
        (("model.generator_weights=g.pth",), ("model.generator_weights=g.pth", "leave out")),
    ],
    ids=lambda value: " ".join(value),
)
def test_what_would_make_another_run_of_it_is_refused(command, trained, arguments, words):
    assert_refused(command("train", f"ckpt_path={trained.folder}", "trainer.max_steps=20", *arguments), *words)


@pytest.mark.slow
def test_other_images_of_the_same_number_and_size_are_refused(command, tmp_path):
    def pictures(folder, level):
        folder.mkdir()
        for number in range(8):
            Image.new("L", (32, 32), level + number).save(folder / f"{number}.png")
        return folder

    options = ("data=image_folder", "data.channels=1", "data.image_size=32", "data.batch_size=4", "metrics=none")
    root = pictures(tmp_path / "one", 10)
    cache = f"data.cache_dir={tmp_path / 'cache'}"
    first = command.tiny(*options, "data.digit=null", f"data.root={root}", "trainer.max_steps=2").folder
    refused = command(
        "train", f"ckpt_path={first}", f"data.root={pictures(tmp_path / 'two', 90)}", cache, "trainer.max_steps=4"
    )
    assert refused.code == 2
    assert "on other images, though as many of the same size" in refused.err
    moved = root.rename(tmp_path / "moved")
    run = command("train", f"ckpt_path={first}", f"data.root={moved}", cache, "trainer.max_steps=4")
    assert run.code == 0, run.err
    assert "8 of 8 images were compared, and are the same" in run.out


@pytest.mark.parametrize("key", ["loops", "optimizer_states", "callbacks"])
def test_a_state_that_is_none_is_refused(command, trained, tmp_path, key):
    checkpoint = last(trained.folder)
    checkpoint[key] = {"SampleGrid": 5, "fit_loop": {}}
    torch.save(checkpoint, tmp_path / "x.ckpt")
    run = command("train", f"ckpt_path={tmp_path}/x.ckpt", "trainer.max_steps=13", "metrics=none")
    assert run.code == 2, run.err
    assert "Traceback" not in run.err
    assert f"ckpt_path={tmp_path}/x.ckpt: its state cannot be restored" in run.err


def test_last_is_the_newest_run_or_none_is_started(command):
    nothing = command.tiny("ckpt_path=last", "metrics=none")
    assert_refused(nothing, "ckpt_path=last", "dcgan_small_mnist_mini")
    first = command.tiny("trainer.max_steps=2", "metrics=none").folder
    run = command("train", "ckpt_path=last", "trainer.max_steps=3")
    assert run.code == 0, run.err
    assert f"goes on from  {first.relative_to(run.cwd)}/checkpoints/last.ckpt, 2 iterations" in run.out


@pytest.mark.slow
def test_a_sweep_goes_on_from_one_checkpoint_with_the_options_swept_over(command, trained):
    options = ("trainer.max_steps=13", "model.lr=1e-4,2e-4", "metrics=none")
    run = command("train", "-m", f"ckpt_path={trained.folder}", *options)
    assert run.code == 0, run.err
    rates = [last(folder)["optimizer_states"][0]["param_groups"][0]["lr"] for folder in run.folders]
    assert sorted(rates) == [1e-4, 2e-4]
    two = command("train", "-m", f"ckpt_path={trained.folder},{trained.folder}", "trainer.max_steps=13")
    assert two.code == 2
    assert "one command goes on from one checkpoint" in two.err


def test_a_completed_command_line_is_complete(trained, monkeypatch):
    typed = ["-m", f"ckpt_path={trained.folder}", "trainer.max_steps=30", "model.lr=1e-4"]
    once = completed(typed)
    assert once[0] == "-m"
    assert set(typed) - set(once) == {f"ckpt_path={trained.folder}"}
    assert sorted(completed(once)) == sorted(once)
    assert completed(["model.lr=1e-4", "trainer.max_steps=30"]) == ["model.lr=1e-4", "trainer.max_steps=30"]
    assert completed(["ckpt_path=null"]) == ["ckpt_path=null"]


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=12),
    lambda inside: st.lists(inside, max_size=3),
    max_leaves=4,
)


@settings(max_examples=300, deadline=None)
@given(PLAIN.filter(lambda value: "${" not in str(value)))
@example("it's")
@example("a\\")
@example("\\'")
@example("null")
@example("1e3")
@example("[a")
def test_plain_values_come_back_from_hydras_grammar(value):
    override = OverridesParser.create().parse_override(f"x={in_hydra(value)}")
    assert not override.is_sweep_override()
    assert OmegaConf.to_container(OmegaConf.create({"x": override.value()})) == {"x": value}


def test_settings_are_plain_values_by_their_options(tmp_path):
    known = settings_of(composed("callbacks.figures=null", "run_dir=x", f"data.cache_dir={tmp_path}"))
    assert known["model.lr"] == 4e-4
    assert known["model.optimizer_d.betas"] == [0.5, 0.999]
    assert known["callbacks.figures"] is None
    left_out = {"run_dir", "data.cache_dir", "trainer.default_root_dir", "model.seed", "model.optimizer_d.lr"}
    assert not left_out & set(known)  # places, and what is taken from another option
    assert not any("_target_" in option for option in known)
    assert all(is_kept(option, value) for option, value in known.items())


def printed_to_go_on(run):
    (words,) = re.findall(r"^go on +python train\.py (.*)$", run.out, re.MULTILINE)
    return shlex.split(words)


@pytest.mark.slow
def test_n_iterations_and_n_more_are_two_n(command, tmp_path):
    """Ended, not cut: where the end is a multiple of the evaluations', it adds none."""
    often = ("callbacks.fid.every=10", "callbacks.grid.every=10", "callbacks.samples.every=10", "save_every=1")
    whole, half = tmp_path / "whole", tmp_path / "half"
    command.tiny("trainer.max_steps=40", *often, f"hydra.run.dir={whole}")
    ended = command.tiny("trainer.max_steps=20", *often, f"hydra.run.dir={half}")
    resumed = command("train", *printed_to_go_on(ended))  # which says twice as long
    assert resumed.code == 0, resumed.err
    (folder,) = resumed.folders
    assert_same_run(whole, folder)
    for name in ("generator.safetensors", "weights/generator_epoch_0002.safetensors"):
        assert (whole / name).read_bytes() == (folder / name).read_bytes()


def test_a_run_that_started_from_weights_goes_on_by_the_command_that_it_prints(command, trained):
    weights = f"model.generator_weights={trained.folder}/generator.safetensors"
    first = command.tiny("trainer.max_steps=2", "metrics=none", weights)
    assert first.code == 0, first.err
    assert command("train", *printed_to_go_on(first)).code == 0


def test_a_choice_that_holds_anyway_takes_no_settings_away(command):
    first = command.tiny("trainer.max_steps=2", "metrics=none", "model.lr=1e-3").folder
    run = command("train", f"ckpt_path={first}", "trainer.max_steps=3", "data=mnist_mini", "model=dcgan_small")
    assert run.code == 0, run.err
    assert last(run.folders[-1])["optimizer_states"][0]["param_groups"][0]["lr"] == 1e-3


def test_values_of_another_number_of_images_are_not_compared(command, trained):
    run = command("train", f"ckpt_path={trained.folder}", "trainer.max_steps=13", "callbacks.fid.num_samples=80")
    assert run.code == 0, run.err
    best = torch.load(run.folder / "checkpoints" / "best.ckpt", weights_only=True)
    assert best["global_step"] == 13  # the lowest of those with 80


def test_flags_with_a_word_of_their_own_are_flags(trained, tmp_path):
    typed = ["--info", "searchpath", f"ckpt_path={trained.folder}", "trainer.max_steps=30"]
    assert completed(typed)[:2] == typed[:2]
    assert "model.generator.width=4" in completed(typed)
    with pytest.raises(Refusal, match=r"--config-dir=.*laid over conf/"):
        completed(["--config-dir", str(tmp_path), f"ckpt_path={trained.folder}"])
