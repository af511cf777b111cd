"""Two processes on the CPU (gloo) train the same GAN as one."""

import csv
import json
import os
import sys

import pytest
import torch
from omegaconf import OmegaConf

from tests.conftest import TINY
from tests.support import finished


def run(*command, env=None):
    return finished([sys.executable, *command], env=env)


@pytest.fixture(scope="module")
def trained_by(tmp_path_factory):
    """What each rank has after twenty iterations: (devices, kind of networks) -> list over ranks."""

    def train(devices, kind, d_every=1, g_every=1, rules="SharedLatents+SummedLosses", clip="none"):
        out = tmp_path_factory.mktemp(f"{kind}{devices}")
        done = run("-m", "tests.ranks", out, devices, kind, d_every, g_every, rules, clip)
        assert done.returncode == 0, done.stderr
        return [torch.load(out / f"rank{rank}.pt", weights_only=True) for rank in range(devices)]

    return train


@pytest.mark.slow
def test_ranks_keep_bitwise_equal_weights_and_draw_different_latents(trained_by):
    first, second = trained_by(2, "dcgan")
    for name, value in first["weights"].items():
        assert torch.equal(value, second["weights"][name])
    for one, two in zip(first["latents"], second["latents"], strict=True):
        assert not torch.isin(one.contiguous(), two.contiguous()).any()


@pytest.mark.slow
@pytest.mark.parametrize(("d_every", "g_every"), [(1, 1), (1, 5), (5, 1)])
def test_two_ranks_equal_one_process_on_the_whole_batch(trained_by, d_every, g_every):
    (alone,), (first, second) = (trained_by(devices, "plain", d_every, g_every) for devices in (1, 2))
    assert len(alone["latents"]) == 20
    for whole, one, two in zip(alone["latents"], first["latents"], second["latents"], strict=True):
        assert torch.equal(torch.stack([one, two], dim=1).flatten(0, 1), whole)
    for name, value in alone["weights"].items():
        torch.testing.assert_close(first["weights"][name], value, rtol=0, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rules", "d_every", "g_every"),
    [
        ("FreshLatents+SummedLosses", 1, 1),
        ("FreshLatents+SeparateSteps", 1, 1),
        ("FreshLatents+StackedBatch", 1, 1),
        ("CarriedLatents+SummedLosses", 1, 5),
        ("CarriedLatents+SeparateSteps", 5, 1),
    ],
)
def test_two_ranks_equal_one_process_under_every_schedule(trained_by, rules, d_every, g_every):
    (alone,), (first, second) = (trained_by(devices, "plain", d_every, g_every, rules) for devices in (1, 2))
    for name, value in alone["weights"].items():
        assert torch.equal(first["weights"][name], second["weights"][name])
        torch.testing.assert_close(first["weights"][name], value, rtol=0, atol=1e-6)


@pytest.mark.slow
def test_two_ranks_shorten_the_gradients_of_the_whole_batch(trained_by):
    (alone,), (first, second) = (trained_by(devices, "plain", clip=0.01) for devices in (1, 2))
    (free,) = trained_by(1, "plain")
    for name, value in alone["weights"].items():
        assert torch.equal(first["weights"][name], second["weights"][name])
        torch.testing.assert_close(first["weights"][name], value, rtol=0, atol=1e-6)
    assert not all(torch.equal(value, free["weights"][name]) for name, value in alone["weights"].items())


@pytest.fixture(scope="module")
def two_ranks(tmp_path_factory):
    """A run from the command line on two processes: its folder, what was printed, and what each rank noted."""
    tmp_path = tmp_path_factory.mktemp("two")
    folder, noted = tmp_path / "runs" / "one", tmp_path / "noted"
    noted.mkdir()
    often = ["callbacks.fid.every=4", "callbacks.grid.every=3", "callbacks.checkpoints.every=2", "export_pth=true"]
    options = [*TINY, *often, "data.batch_size=32", "trainer.devices=2", "trainer.max_steps=9"]
    command = ["-m", "tests.watched", *options, f"data.cache_dir={tmp_path / 'cache'}", f"hydra.run.dir={folder}"]
    done = run(*command, env=os.environ | {"WATCHED": str(noted)})
    assert done.returncode == 0, done.stderr
    return folder, done.stdout, [json.loads((noted / f"rank{rank}.json").read_text()) for rank in range(2)]


@pytest.mark.slow
def test_the_command_line_on_two_processes_leaves_one_run_folder(two_ranks):
    folder, printed, _ = two_ranks
    assert "global batch  64 = 32 images x 2 device(s)" in printed
    assert printed.count("run folder") == 2  # at the start and at the end, by one process
    assert [path.name for path in folder.parent.iterdir()] == ["one"]
    with (folder / "metrics.csv").open() as file:
        assert [int(row["iteration"]) for row in csv.DictReader(file)] == list(range(9))
    with (folder / "fid.csv").open() as file:
        assert [(int(row["iteration"]), row["samples_fake"]) for row in csv.DictReader(file)] == [
            (4, "64"),
            (8, "64"),
            (9, "64"),
        ]
    assert OmegaConf.load(folder / ".hydra" / "config.yaml").run_dir == str(folder)
    assert torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == 9


@pytest.mark.slow
def test_rank_0_alone_writes(two_ranks):
    folder, _, noted = two_ranks
    first, second = ({path for path in rank["written"] if path.startswith(str(folder.parents[1]))} for rank in noted)
    names = {path.removeprefix(f"{folder}/") for path in first}
    assert {"metrics.csv", "fid.csv", "run.json", ".hydra", "real.png"} <= names  # what is watched for is seen
    assert any("safetensors" in name for name in names)
    assert any(name.startswith("checkpoints/") for name in names)
    assert {path for path in second if not path.endswith("noted/rank1.json")} == set()


@pytest.mark.slow
def test_the_ranks_buffers_are_equal_wherever_they_are_read(two_ranks):
    *_, noted = two_ranks
    first, second = (rank["buffers"] for rank in noted)
    assert [moment[:2] for moment in first] == [moment[:2] for moment in second]  # all ranks come to all of them
    drifted = {what for (what, _, one), (*_, other) in zip(first, second, strict=True) if one != other}
    assert drifted == {"step"}
    assert {what for what, *_ in first} == {"step", "checkpoint", "grid", "fid", "weights", "end"}
    assert [iteration for what, iteration, _ in first if what == "grid"] == [3, 6, 9]


@pytest.mark.slow
def test_images_that_are_not_finite_stop_both_ranks(tmp_path):
    options = [*TINY, "data.batch_size=32", "trainer.devices=2", "model.lr=1e30", "callbacks.grid.every=5"]
    done = run(
        "train.py", *options, "metrics=none", f"data.cache_dir={tmp_path / 'cache'}", f"hydra.run.dir={tmp_path}/r"
    )
    assert done.returncode == 1
    assert "not finite" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_what_one_rank_finds_stops_both_with_its_words(tmp_path):
    spoils = "_target_:tests.callbacks.test_finite.SpoilsRankOne,place:generator.main.1.running_var,iteration:12"
    often = ["callbacks.finite.every=5", "callbacks.checkpoints.every=4", f"+callbacks.a={{{spoils}}}", "metrics=none"]
    options = [*TINY, *often, "data.batch_size=32", "trainer.devices=2", "trainer.max_steps=30"]
    done = run("train.py", *options, f"data.cache_dir={tmp_path / 'cache'}", f"hydra.run.dir={tmp_path}/r")
    assert done.returncode == 1
    assert "Stopped: generator.main.1.running_var is not finite (NaN or infinity), found after 15" in done.stderr
    assert "Traceback" not in done.stderr
    with (tmp_path / "r" / "metrics.csv").open() as file:
        assert [int(row["iteration"]) for row in csv.DictReader(file)] == list(range(15))
    assert torch.load(tmp_path / "r" / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == 12


@pytest.mark.slow
def test_rows_for_which_rank_0_has_no_room_keep_no_rank_waiting(tmp_path):
    options = [*TINY, "data.batch_size=32", "trainer.devices=2", "trainer.max_steps=30", "metrics=none"]
    often = ["callbacks.checkpoints.every=5", "callbacks.scalars.fetch_every=4", f"data.cache_dir={tmp_path / 'cache'}"]
    done = run("-m", "tests.without_room", *options, *often, f"hydra.run.dir={tmp_path}/r")
    assert done.returncode == 0, done.stderr
    assert "Its rows wait in memory" in done.stderr
    with (tmp_path / "r" / "metrics.csv").open() as file:
        assert [int(row["iteration"]) for row in csv.DictReader(file)] == list(range(30))


@pytest.mark.slow
def test_a_sweep_over_two_processes_runs_each_cell_once(tmp_path):
    swept = [f"hydra.sweep.dir={tmp_path}/sweep", "hydra.sweep.subdir=${hydra:job.num}", "model.g_every=1,5"]
    options = [*TINY, "metrics=none", "data.batch_size=32", "trainer.devices=2", "trainer.max_steps=3"]
    done = run("train.py", "-m", *options, f"data.cache_dir={tmp_path / 'cache'}", *swept)
    assert done.returncode == 0, done.stderr
    folders = sorted(path.parent for path in tmp_path.glob("sweep/**/.hydra"))
    assert [OmegaConf.load(folder / ".hydra" / "config.yaml").model.g_every for folder in folders] == [1, 5]
    for folder in folders:
        assert len((folder / "metrics.csv").read_text().splitlines()) == 4
