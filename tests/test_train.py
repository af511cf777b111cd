"""train.py from the command line: lengths, files and axes counted; resuming; sweeps."""

import csv
import importlib.util
import re

import pytest
import torch
from lightning.pytorch import Trainer
from omegaconf import OmegaConf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

COLUMNS = "iteration,epoch,loss_d,loss_g,loss_d_real,loss_d_fake,d_x,d_gz_before,d_gz_after,acc_real,acc_fake"
OF_D = {"loss_d", "loss_d_real", "loss_d_fake", "d_x", "d_gz_before", "acc_real", "acc_fake"}
OF_G = {"loss_g", "d_gz_after"}


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def scalars_of(folder):
    events = EventAccumulator(str(folder / "tensorboard"), size_guidance={"scalars": 0, "images": 0}).Reload()
    return {tag: [event.step for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}, {
        tag: [event.step for event in events.Images(tag)] for tag in events.Tags()["images"]
    }


@pytest.mark.parametrize(("d_every", "g_every"), [(1, 1), (1, 5), (5, 1)])
def test_everything_counts_iterations_at_every_ratio(command, monkeypatch, d_every, g_every):
    saved = []
    save = Trainer.save_checkpoint

    def counted(self, path, *args, **kwargs):
        saved.append((path.name, self.global_step))
        save(self, path, *args, **kwargs)

    monkeypatch.setattr(Trainer, "save_checkpoint", counted)
    run = command.tiny(
        f"model.d_every={d_every}",
        f"model.g_every={g_every}",
        "trainer.max_steps=17",  # 974 images in batches of 64: the first epoch ends after iteration 15
        "callbacks.scalars.fetch_every=6",
        "callbacks.checkpoints.every=7",
        "callbacks.grid.every=4",
        "callbacks.fid.every=6",
    )
    assert run.code == 0
    header = (run.folder / "metrics.csv").read_text().splitlines()[0]
    assert header == COLUMNS
    metrics = rows(run.folder / "metrics.csv")
    assert [int(row["iteration"]) for row in metrics] == list(range(17))
    assert [int(row["epoch"]) for row in metrics] == [0] * 16 + [1]
    for i, row in enumerate(metrics):
        due = (OF_D if i % d_every == 0 else set()) | (OF_G if i % g_every == 0 else set())
        assert {name for name in OF_D | OF_G if row[name]} == due
    assert [(int(row["iteration"]), row["tag"]) for row in rows(run.folder / "fid.csv")] == [
        (6, "fid/digits"),
        (12, "fid/digits"),
        (17, "fid/digits"),
    ]
    grids = sorted(path.name for path in (run.folder / "grids").iterdir())
    assert grids == [f"iteration_{i:06d}.png" for i in (4, 8, 12, 16, 17)]
    assert [step for name, step in saved if name == "last.ckpt"] == [7, 14, 17]
    assert torch.load(run.folder / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == 17

    scalars, images = scalars_of(run.folder)
    assert scalars["loss_d"] == [i for i in range(17) if i % d_every == 0]
    assert scalars["loss_g"] == [i for i in range(17) if i % g_every == 0]
    assert scalars["fid/digits"] == [6, 12, 17]
    assert images == {"real": [0], "grid": [4, 8, 12, 16, 17]}


def test_the_values_in_metrics_csv_belong_together(trained):
    for row in rows(trained.folder / "metrics.csv"):
        value = {name: float(cell) for name, cell in row.items()}
        assert value["loss_d"] == pytest.approx(value["loss_d_real"] + value["loss_d_fake"], rel=1e-6)
        assert all(0 <= value[name] <= 1 for name in ("d_x", "d_gz_before", "d_gz_after", "acc_real", "acc_fake"))


@pytest.mark.parametrize(
    ("length", "iterations"),
    [
        (("trainer.max_epochs=2",), 2 * 16),
        (("trainer.max_epochs=2", "data.drop_last=true"), 2 * 15),
        (("trainer.default_epochs=1",), 16),
        (("trainer.max_epochs=9", "trainer.max_steps=3"), 3),
    ],
)
def test_length_of_a_run(command, length, iterations):
    run = command.tiny(*length, "metrics=none")
    assert len(rows(run.folder / "metrics.csv")) == iterations
    assert not (run.folder / "fid.csv").exists()
    assert sorted(path.name for path in (run.folder / "checkpoints").iterdir()) == ["last.ckpt", "last.ckpt.sha256"]


def test_the_run_folder_says_what_was_run(trained):
    folder = trained.folder
    assert folder.parent.name == "dcgan_small_mnist_mini"
    assert re.fullmatch(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d", folder.name)
    config = OmegaConf.load(folder / ".hydra" / "config.yaml")
    assert config.trainer.max_steps == 12
    assert config.data.digit == 8
    assert "trainer.max_steps=12" in OmegaConf.load(folder / ".hydra" / "overrides.yaml")
    weights = {"generator.safetensors", "discriminator.safetensors", "run.json"}
    pictures = {"losses.png", "losses_tutorial.png", "d_outputs.png", "real_vs_fake.png", "progress.gif"}
    pictures |= {"progress.mp4"} if importlib.util.find_spec("imageio_ffmpeg") else set()
    files = {"metrics.csv", "fid.csv", "diagnosis.json", "checkpoints", "grids", "real.png", "tensorboard", ".hydra"}
    assert files | weights | pictures == {path.name for path in folder.iterdir()}
    assert not [path for path in folder.rglob("*") if "=" in path.name or "," in path.name]


def test_checkpoints_hold_plain_values_and_the_gan_alone(trained):
    for name in ("last.ckpt", "best.ckpt"):
        checkpoint = torch.load(trained.folder / "checkpoints" / name, weights_only=True)
        networks = {key.split(".")[0] for key in checkpoint["state_dict"]}
        assert networks == {"generator", "discriminator"}
        assert len(checkpoint["optimizer_states"]) == 2
        assert checkpoint["dcgan_lightning"]["generator"]["family"] == "dcgan"
        tensors = sum(value.numel() for value in checkpoint["state_dict"].values())
        size = (trained.folder / "checkpoints" / name).stat().st_size
        assert size < 4 * (3 * tensors) + 100_000  # weights, two moments each, and little else


def test_best_checkpoint_is_that_of_the_best_fid(trained):
    table = rows(trained.folder / "fid.csv")
    best = min(table, key=lambda row: float(row["value"]))
    checkpoint = torch.load(trained.folder / "checkpoints" / "best.ckpt", weights_only=True)
    assert checkpoint["global_step"] == int(best["iteration"])


def test_the_end_of_a_run_says_what_to_type_next(command):
    run = command.tiny("trainer.max_steps=2")
    folder = run.folder
    here = str(folder.relative_to(run.cwd))
    fid = rows(folder / "fid.csv")[0]["value"]
    assert f"run folder    {here}" in run.out
    assert f"best FID      {float(fid):.2f} (fid/digits) after 2 iterations" in run.out
    assert f"tensorboard --logdir {here}" in run.out
    assert f"python generate.py ckpt_path={here} n=64 seed=0" in run.out
    (resume,) = re.findall(r"python train\.py (.*)", run.out)
    assert "global batch  64 = 64 images x 1 device(s)" in run.out

    again = command("train", *resume.split())
    assert again.code == 0
    (new,) = set(again.folders) - {folder}
    assert (new / "resumed_from.txt").read_text().strip() == f"{here}/checkpoints/last.ckpt"
    assert [int(row["iteration"]) for row in rows(new / "metrics.csv")] == [0, 1, 2, 3]
    before = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    after = torch.load(new / "checkpoints" / "last.ckpt", weights_only=True)
    assert after["global_step"] == 4
    latents = [c["callbacks"]["SampleGrid"]["latents"] for c in (before, after)]
    assert torch.equal(*latents)


def test_a_resumed_run_takes_new_learning_rates_and_keeps_the_best_checkpoint(command, trained):
    resumed = (f"ckpt_path={trained.folder}", "trainer.max_steps=14")
    run = command.tiny(*resumed, "model.lr=1e-3", "model.optimizer_g.lr=3e-4", "model.optimizer_g.betas=[0.4,0.9]")
    checkpoint = torch.load(run.folder / "checkpoints" / "last.ckpt", weights_only=True)
    d, g = (state["param_groups"][0] for state in checkpoint["optimizer_states"])
    assert (d["lr"], *d["betas"]) == (1e-3, 0.5, 0.999)
    assert (g["lr"], *g["betas"]) == (3e-4, 0.4, 0.9)
    best = min(rows(run.folder / "fid.csv"), key=lambda row: float(row["value"]))
    kept = torch.load(run.folder / "checkpoints" / "best.ckpt", weights_only=True)
    assert kept["global_step"] == int(best["iteration"])


def test_a_run_cut_short_in_an_epoch_goes_on_in_that_epoch(command):
    first = command.tiny("trainer.max_steps=10", "metrics=none").folder  # 16 batches an epoch
    resumed = set(command.tiny(f"ckpt_path={first}", "trainer.max_epochs=2", "metrics=none").folders) - {first}
    table = rows(resumed.pop() / "metrics.csv")
    assert [int(row["iteration"]) for row in table] == list(range(32))
    assert [int(row["epoch"]) for row in table] == [0] * 16 + [1] * 16


def test_the_best_by_one_metric_is_not_the_best_by_another(command, trained):
    run = command.tiny(f"ckpt_path={trained.folder}", "trainer.max_steps=13", "metrics=fid_random")
    *_, row = rows(run.folder / "fid.csv")
    kept = torch.load(run.folder / "checkpoints" / "best.ckpt", weights_only=True)
    assert (row["tag"], kept["global_step"]) == ("fid/random_conv", 13)


def test_callbacks_can_be_left_out_and_added(command):
    added = "+callbacks.mine._target_=lightning.pytorch.callbacks.LearningRateMonitor"
    run = command.tiny("callbacks.fid=null", "~callbacks.grid", "~callbacks.weights", added, "trainer.max_steps=2")
    assert run.code == 0
    assert {path.name for path in run.folder.iterdir()} == {
        ".hydra",
        "metrics.csv",
        "diagnosis.json",
        "checkpoints",
        "tensorboard",
        "run.json",
    }


def test_two_runs_with_the_same_seed_are_the_same_run(command):
    command.tiny("trainer.max_steps=3", "metrics=none", "seed=5")
    one, two = command.tiny("trainer.max_steps=3", "metrics=none", "seed=5").folders
    assert (one / "metrics.csv").read_bytes() == (two / "metrics.csv").read_bytes()
    other = command.tiny("trainer.max_steps=3", "metrics=none", "seed=6")
    (three,) = set(other.folders) - {one, two}
    assert (one / "metrics.csv").read_bytes() != (three / "metrics.csv").read_bytes()


def test_a_sweep_runs_every_cell_and_a_failing_one_stops_no_other(command):
    run = command.tiny("-m", "metrics=none", "trainer.max_steps=2", "data.batch_size=64,5000,32")
    assert run.code == 2
    assert "data.batch_size=5000" in run.err
    assert [OmegaConf.load(folder / ".hydra" / "config.yaml").data.batch_size for folder in run.folders] == [64, 32]
    assert all(len(rows(folder / "metrics.csv")) == 2 for folder in run.folders)


@pytest.mark.slow
def test_the_shared_options_of_a_sweep_reach_lr_and_ratio(command):
    run = command.tiny("-m", "metrics=none", "trainer.max_steps=2", "model.lr=1e-4,2e-4", "model.g_every=1,5")
    assert run.code == 0
    configs = [OmegaConf.load(folder / ".hydra" / "config.yaml").model for folder in run.folders]
    assert sorted((c.optimizer_d.lr, c.optimizer_g.lr, c.g_every) for c in configs) == [
        (1e-4, 1e-4, 1),
        (1e-4, 1e-4, 5),
        (2e-4, 2e-4, 1),
        (2e-4, 2e-4, 5),
    ]


@pytest.mark.parametrize("precision", ["bf16-mixed", "64-true"])
def test_other_precisions_train(command, precision):
    run = command.tiny(f"trainer.precision={precision}", "trainer.max_steps=3")
    assert run.code == 0
    assert f"precision {precision}" in run.out
    assert all(float(row["loss_d"]) > 0 for row in rows(run.folder / "metrics.csv"))
