"""What a failing verdict does to a run: nothing, its end, or another try from its last good state."""

import csv
import json

import pytest
import torch

from dcgan_lightning.callbacks.diagnosis import Diagnosis
from dcgan_lightning.diagnosis import Course, Diagnosis as Verdict, Instant, Span, with_rolled_back
from dcgan_lightning.errors import Refusal
from dcgan_lightning.symptoms import Number
from tests.conftest import assert_refused

# Instants every five iterations, and verdicts that hold after ten.
QUICK = (
    "diagnosis.window=5",
    "diagnosis.rows=1",
    "diagnosis.warm_up=5",
    "diagnosis.hold_least=10",
    "diagnosis.hold_most=10",
    "callbacks.samples.every=5",
    "callbacks.samples.num_samples=8",
    "callbacks.fid.every=1000",
    "callbacks.grid.every=10",
    "callbacks.grid.n=4",
    "callbacks.diagnosis.good_every=5",
    "logger=none",
)
FAILING = ("diagnosis.d_wins_loss=100", "diagnosis.d_wins_accuracy=-1", "diagnosis.learnt_gap=-1")


@pytest.fixture
def shows(monkeypatch):
    """Have instants show what a function of their iteration says."""

    def say(verdict_at):
        def judge(course, iteration, window):
            evidence = {"loss_d": Number(0.0, 0.1, "below", "for the test")}
            course.instants.append(Instant(iteration, verdict_at(iteration), evidence))
            course._let_hold(iteration)

        monkeypatch.setattr(Course, "_judge", judge)

    return say


def record_of(folder):
    return json.loads((folder / "run.json").read_text())


def history_of(folder):
    return json.loads((folder / "diagnosis.json").read_text())["history"]


def numbers(folder, name):
    with (folder / name).open() as file:
        return [int(row["iteration"]) for row in csv.DictReader(file)]


def last(folder):
    return torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)


def rates(checkpoint):
    return [state["param_groups"][0]["lr"] for state in checkpoint["optimizer_states"]]


def fails_after(iteration, verdict="mode_collapse"):
    return lambda now: verdict if now > iteration else "stable"


def test_a_warning_changes_nothing(command):
    outcome = command.tiny(*QUICK, *FAILING, "trainer.max_steps=30")
    assert outcome.code == 0
    assert "verdict   convergence_failure since iteration 0" in outcome.out
    assert numbers(outcome.folder, "metrics.csv") == list(range(30))
    assert record_of(outcome.folder)["status"] == "finished"


def test_a_failure_stops_the_run_with_all_that_it_leaves_at_its_end(command):
    outcome = command.tiny(*QUICK, *FAILING, "trainer.max_steps=400", "callbacks.diagnosis.on_failure=stop")
    assert outcome.code == 3
    words = "diagnosis: convergence_failure since iteration 0, stopped after 10 iterations"
    assert outcome.err.count(f"Stopped: {words}\n") == 1
    folder = outcome.folder
    record = record_of(folder)
    assert (record["status"], record["error"]) == ("stopped", words)
    assert (record["iterations"], record["planned_iterations"]) == (10, 400)
    assert numbers(folder, "metrics.csv") == list(range(10))
    assert last(folder)["global_step"] == 10
    assert numbers(folder, "fid.csv") == [10]
    left = ("generator.safetensors", "grids/iteration_000010.png", "diagnosis.json", "checkpoints/best.ckpt")
    assert all((folder / name).is_file() for name in left)
    assert f"checkpoint    {folder.relative_to(outcome.cwd)}/checkpoints/last.ckpt" in outcome.out
    assert f"go on         python train.py ckpt_path={folder.relative_to(outcome.cwd)} " in outcome.out
    assert "rebuild.py" not in outcome.out  # its pictures are there
