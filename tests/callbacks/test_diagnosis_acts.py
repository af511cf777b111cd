"""What a failing verdict does to a run: nothing, its end, or another try from its last good state."""

import csv
import functools
import json
import re
import signal
import sys

import pytest
import torch
from hydra.utils import instantiate
from hypothesis import given, settings
from hypothesis import strategies as st
from lightning.pytorch import Callback

from dcgan_lightning import rollback
from dcgan_lightning.callbacks.diagnosis import Diagnosis
from dcgan_lightning.callbacks.fid import FID
from dcgan_lightning.checkpoints import ROLES
from dcgan_lightning.course import Course, Instant, Span
from dcgan_lightning.diagnosing import diagnosed
from dcgan_lightning.diagnosis import Diagnosis as Verdict
from dcgan_lightning.diagnosis import with_rolled_back
from dcgan_lightning.rollback import lower
from dcgan_lightning.symptoms import Number
from tests.conftest import TINY, assert_refused
from tests.support import composed, finished

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
    "metrics=none",
)
ROLLBACK = ("callbacks.diagnosis.on_failure=rollback", "model.lr=0.004")
BACK = "rolled back   mode_collapse since iteration 20"
BEST = ("checkpoints/best.ckpt", "checkpoints/best.ckpt.sha256")
PREVIOUS = ("checkpoints/previous.ckpt", "checkpoints/previous.ckpt.sha256")
FAILING = ("diagnosis.d_wins_loss=100", "diagnosis.d_wins_accuracy=-1", "diagnosis.learnt_gap=-1")


@pytest.fixture
def shows(monkeypatch):
    """Have instants show what a function of their iteration and of the learning rate says."""
    rate, begin = [], Diagnosis.on_fit_start

    def note_rate(callback, trainer, pl_module):
        rate[:] = [pl_module.make_optimizers[0].keywords["lr"]]
        begin(callback, trainer, pl_module)

    def say(verdict_at):
        def judge(course, iteration, window):
            evidence = {"loss_d": Number(0.0, 0.1, "below", "for the test")}
            course.instants.append(Instant(iteration, verdict_at(iteration, *rate), evidence))
            course._let_hold(iteration)

        monkeypatch.setattr(Course, "_judge", judge)
        monkeypatch.setattr(Diagnosis, "on_fit_start", note_rate)

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


def newest(outcome, *before):
    (folder,) = set(outcome.folders) - set(before)
    return folder


def assert_same(one, other):
    """Bitwise."""
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, other)
    elif isinstance(one, dict | list | tuple):
        assert len(one) == len(other)
        for name in one if isinstance(one, dict) else range(len(one)):
            assert_same(one[name], other[name])
    else:
        assert one == other


def test_a_warning_changes_nothing(command):
    outcome = command.tiny(*QUICK, *FAILING, "trainer.max_steps=30")
    assert outcome.code == 0
    assert "verdict   convergence_failure since iteration 0" in outcome.out
    assert numbers(outcome.folder, "metrics.csv") == list(range(30))
    assert record_of(outcome.folder)["status"] == "finished"


def test_a_failure_stops_the_run_with_all_that_it_leaves_at_its_end(command):
    stop = ("callbacks.diagnosis.on_failure=stop", "metrics=fid_random")
    outcome = command.tiny(*QUICK, *FAILING, *stop, "trainer.max_steps=400")
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


class SpoilsOnce(Callback):
    """Makes a weight NaN in one iteration, once in a process."""

    done = False

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if trainer.global_step == 22 and not SpoilsOnce.done:
            SpoilsOnce.done = True
            with torch.no_grad():
                next(pl_module.discriminator.parameters()).fill_(torch.nan)


def rolled_back(folder):
    return [span for span in history_of(folder) if "rolled_back_to" in span]


def iterations(rows):
    return [int(row.split(",")[0]) for row in rows]


def once(before):
    """Collapses after an iteration, as long as the learning rate is what it was at first."""
    return lambda now, lr: "mode_collapse" if now > before and lr == 0.004 else "stable"


def better_and_better(fid, trainer):
    """An FID that falls, and that no lower learning rate comes near to."""
    rate = trainer.lightning_module.make_optimizers[0].keywords["lr"]
    return (1.0 if rate == 0.004 else 10.0) / trainer.global_step


@pytest.mark.slow
def test_a_failure_is_gone_back_from_with_lower_learning_rates(command, shows, monkeypatch):
    shows(once(20))
    monkeypatch.setattr(FID, "_distance", better_and_better)
    often = ("callbacks.fid.every=12", "callbacks.grid.every=5", "callbacks.checkpoints.every=12", "save_every=1")
    options = ("trainer.max_steps=35", "data.batch_size=300", "metrics=fid_random")
    outcome = command.tiny(*QUICK, *ROLLBACK, *often, *options)
    assert outcome.code == 0
    folder = outcome.folder
    aside = folder / "rolled_back" / "1"
    assert outcome.out.count(f"{BACK}: from 30 back to 20, with model.lr=0.002 (was 0.004); what came after it") == 1
    assert rates(last(folder)) == [0.002, 0.002]
    assert numbers(folder, "metrics.csv") == list(range(35))
    assert numbers(folder, "samples.csv") == list(range(5, 36, 5))
    assert numbers(folder, "fid.csv") == [12, 24, 35]
    (span,) = rolled_back(folder)
    assert (span["verdict"], span["since"], span["until"], span["rolled_back_to"]) == ("mode_collapse", 20, 30, 20)
    assert span["learning_rates"] == {"model.lr": [0.004, 0.002]}
    assert iterations(span["rows"]["metrics.csv"]) == list(range(20, 30))
    assert iterations(span["rows"]["samples.csv"]) == [25, 30]
    assert iterations(span["rows"]["fid.csv"]) == [24]
    assert [entry["verdict"] for entry in history_of(folder)] == ["warming_up", "mode_collapse", "stable"]
    made = sorted(str(path.relative_to(aside)) for path in aside.rglob("*.*"))
    weights = [f"weights/{role}_epoch_{epoch:04}.safetensors" for role in sorted(ROLES) for epoch in (6, 7)]
    assert made == [*BEST, *PREVIOUS, "grids/iteration_000025.png", *weights]
    assert [torch.load(aside / name, weights_only=True)["global_step"] for name in (BEST[0], PREVIOUS[0])] == [24, 24]
    # The best by then, that of 12, had given way to that of 24.
    assert torch.load(folder / BEST[0], weights_only=True)["global_step"] == 35
    assert len(list((folder / "grids").glob("*.png"))) == 7
    assert record_of(folder)["iterations"] == 35


@pytest.mark.slow
def test_going_back_is_what_going_on_from_the_good_checkpoint_by_hand_is(command, shows):
    shows(once(20))
    rare = ("callbacks.diagnosis.good_every=1000", "trainer.max_steps=40")
    alone = command.tiny(*QUICK, *ROLLBACK, *rare).folder
    assert [span["rolled_back_to"] for span in rolled_back(alone)] == [10]
    good = alone / "checkpoints" / "good.ckpt"
    assert rates(torch.load(good, weights_only=True)) == [0.004, 0.004]
    outcome = command("train", f"ckpt_path={good}", "model.lr=0.002")
    assert outcome.code == 0
    by_hand = next(folder for folder in outcome.folders if folder != alone)
    assert_same(last(alone)["state_dict"], last(by_hand)["state_dict"])
    assert_same(last(alone)["optimizer_states"], last(by_hand)["optimizer_states"])
    assert (alone / "metrics.csv").read_text() == (by_hand / "metrics.csv").read_text()


@pytest.mark.slow
def test_a_run_that_went_back_is_the_same_when_it_is_gone_on_from(command, shows):
    shows(lambda now, lr: "mode_collapse" if now > 20 and lr > 0.001 else "stable")  # twice
    whole = command.tiny(*QUICK, *ROLLBACK, "trainer.max_steps=45").folder
    assert [span["learning_rates"]["model.lr"] for span in rolled_back(whole)] == [[0.004, 0.002], [0.002, 0.001]]
    first = newest(command.tiny(*QUICK, *ROLLBACK, "trainer.max_steps=28"), whole)
    assert rolled_back(first) == []
    halves = [whole, first]
    for length in (33, 45):  # after it went back
        outcome = command("train", f"ckpt_path={halves[-1]}", f"trainer.max_steps={length}")
        assert outcome.code == 0
        halves.append(newest(outcome, *halves))
    end = halves[-1]
    assert_same(last(whole)["state_dict"], last(end)["state_dict"])
    assert (whole / "metrics.csv").read_text() == (end / "metrics.csv").read_text()
    assert history_of(whole) == history_of(end)
    assert (end / "checkpoints" / "good.ckpt").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("step", ["_put_aside", "prepared"])
def test_a_signal_while_a_run_goes_back_leaves_one_that_goes_on_as_if_none_had_come(command, shows, monkeypatch, step):
    shows(once(20))
    options = (*QUICK, *ROLLBACK, "callbacks.grid.every=5", "trainer.max_steps=40")
    whole = command.tiny(*options).folder
    done = getattr(rollback, step)

    def signalled(*arguments):
        signal.raise_signal(signal.SIGTERM)
        return done(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(rollback, step, signalled)
        outcome = command.tiny(*options)
    assert outcome.code == 143
    stopped = newest(outcome, whole)
    assert record_of(stopped)["status"] == "stopped"
    assert numbers(stopped, "metrics.csv") == list(range(20))
    outcome = command("train", f"ckpt_path={stopped}")
    assert outcome.code == 0
    end = newest(outcome, whole, stopped)
    assert_same(last(whole)["state_dict"], last(end)["state_dict"])
    assert (whole / "metrics.csv").read_text() == (end / "metrics.csv").read_text()
    assert history_of(whole) == history_of(end)


def test_the_number_of_rollbacks_is_bounded_and_the_way_on_has_the_lower_rates(command, shows):
    shows(lambda now, lr: "mode_collapse" if now > 15 else "stable")
    outcome = command.tiny(*QUICK, *ROLLBACK, "callbacks.diagnosis.rollbacks=2", "trainer.max_steps=60")
    assert outcome.code == 3
    words = "mode_collapse since iteration 15, stopped after 25 iterations; after 2 rollbacks, which is as many"
    assert f"Stopped: diagnosis: {words} as it was to have\n" in outcome.err
    assert outcome.out.count("rolled back   ") == 2
    assert rates(last(outcome.folder)) == [0.001, 0.001]
    (line,) = [line for line in outcome.out.splitlines() if line.startswith("go on")]
    assert re.findall(r"model.lr=(\S+)", line) == ["0.001"]
    assert [span["rolled_back_to"] for span in rolled_back(outcome.folder)] == [15, 15]
    assert numbers(outcome.folder, "metrics.csv") == list(range(25))
    assert [iterations(span["rows"]["metrics.csv"]) for span in rolled_back(outcome.folder)] == [
        list(range(15, 25))
    ] * 2
    assert record_of(outcome.folder)["status"] == "stopped"


def test_without_a_good_state_the_run_is_stopped(command):
    outcome = command.tiny(*QUICK, *FAILING, "trainer.max_steps=40", "callbacks.diagnosis.on_failure=rollback")
    assert outcome.code == 3
    assert "stopped after 10 iterations; there was no good state to go back to\n" in outcome.err
    assert not (outcome.folder / "rolled_back").exists()


@pytest.mark.slow
def test_numbers_that_are_not_finite_are_gone_back_from(command, shows, monkeypatch):
    monkeypatch.setattr(SpoilsOnce, "done", False)
    shows(lambda now, lr: "stable")
    spoils = "+callbacks.spoils={_target_:tests.callbacks.test_diagnosis_acts.SpoilsOnce}"
    outcome = command.tiny(*QUICK, *ROLLBACK, spoils, "callbacks.finite.every=5", "trainer.max_steps=30")
    assert outcome.code == 0
    (span,) = rolled_back(outcome.folder)
    assert (span["verdict"], span["rolled_back_to"], span["until"]) == ("diverged", 20, 25)
    assert numbers(outcome.folder, "metrics.csv") == list(range(30))
    assert "nan" not in (outcome.folder / "metrics.csv").read_text()


@pytest.mark.slow
def test_a_run_that_is_gone_on_from_on_purpose_has_its_time(command):
    stop = (*QUICK, *FAILING, "callbacks.diagnosis.on_failure=stop", "trainer.max_steps=40")
    stopped = command.tiny(*stop).folder
    outcome = command("train", f"ckpt_path={stopped}", "model.lr=1e-4")
    assert outcome.code == 3
    assert "stopped after 20 iterations" in outcome.err  # the hold, anew


@pytest.mark.slow
def test_a_run_that_was_only_warned_has_its_time_when_it_is_told_otherwise(command):
    warned = command.tiny(*QUICK, *FAILING, "trainer.max_steps=15").folder
    outcome = command("train", f"ckpt_path={warned}", "callbacks.diagnosis.on_failure=stop", "trainer.max_steps=60")
    assert outcome.code == 3
    assert "since iteration 0, stopped after 25 iterations" in outcome.err


@pytest.mark.slow
def test_a_sweep_goes_on_after_a_cell_that_was_stopped(command):
    swept = "callbacks.diagnosis.on_failure=stop,warn"
    outcome = command.tiny("-m", *QUICK, *FAILING, "trainer.max_steps=15", swept)
    assert outcome.code == 3
    (file,) = outcome.cwd.glob("outputs/sweeps/*/cells.json")
    cells = json.loads(file.read_text())
    assert [cell["status"] for cell in cells] == ["stopped", "finished"]
    assert cells[0]["error"].startswith("diagnosis: convergence_failure")


@pytest.mark.parametrize(
    ("option", "value"), [("lr_factor", "1"), ("lr_factor", "0"), ("rollbacks", "0"), ("good_every", "0")]
)
def test_numbers_that_cannot_work_are_refused(command, option, value):
    assert_refused(command.tiny(f"callbacks.diagnosis.{option}={value}"), f"callbacks.diagnosis.{option}={value}")


def test_learning_rates_are_lowered_where_they_stand():
    cfg = composed("model=dcgan", "model.optimizer_d.lr=0.3")
    assert lower(cfg, 0.1) == {"model.lr": (2e-4, 2e-5), "model.optimizer_d.lr": (0.3, pytest.approx(0.03))}
    assert (cfg.model.lr, cfg.model.optimizer_d.lr, cfg.model.optimizer_g.lr) == (2e-5, pytest.approx(0.03), 2e-5)
    cfg = composed("model=dcgan", "model.lr=${model.clip_grad_norm}", "model.clip_grad_norm=1")
    assert lower(cfg, 0.5) == {"model.lr": (1.0, 0.5)}
    assert (cfg.model.optimizer_g.lr, cfg.model.clip_grad_norm) == (0.5, 1)


def test_a_later_diagnosis_keeps_what_the_tables_have_no_more(tmp_path):
    (tmp_path / "metrics.csv").write_text("iteration,loss_d\n" + "".join(f"{k},0.7\n" for k in range(300)))
    back = {"verdict": "stuck", "since": 250, "until": 400, "rolled_back_to": 250, "rows": {"metrics.csv": ["250,0.7"]}}
    others = [{"verdict": "stable", "since": 0, "until": None}, {"rolled_back_to": "?"}, 3, None]
    for history, kept in (([others[0], back], [back]), ([back, *others], []), ("?", [])):  # the latter damaged
        (tmp_path / "diagnosis.json").write_text(json.dumps({"history": history}))
        found = diagnosed(str(tmp_path), None, True, the_thresholds())
        assert [span for span in history_of(tmp_path) if "rolled_back_to" in span] == kept
        assert found.history[-1].verdict == found.verdict


def test_what_was_gone_back_from_comes_before_what_began_later():
    spans = [Span("warming_up", 0, 100), Span("stable", 100, 400), Span("stuck", 400)]
    judged = Verdict("stuck", 400, 500, {}, spans, [])
    back = [Span("diverged", 350, 360, {"rolled_back_to": to}) for to in (50, 300, 450)]
    found = [(span.verdict, span.also.get("rolled_back_to")) for span in with_rolled_back(judged, back).history]
    rest = [("stable", None), ("diverged", 300), ("diverged", 450), ("stuck", None)]
    assert found == [("warming_up", None), ("diverged", 50), *rest]
    assert len(spans) == 3


@functools.cache
def the_thresholds():
    return instantiate(composed().diagnosis)


@settings(deadline=None)
@given(st.lists(st.sampled_from(["stable", "mode_collapse", "stuck", "warming_up"]), max_size=60))
def test_no_failure_reaches_back_behind_a_sound_state(shown):
    thresholds = the_thresholds()
    course, sound = Course(thresholds, True), []
    course._window = thresholds.window
    for number, verdict in enumerate(shown, 1):
        course.seen = number * thresholds.window
        course.instants.append(Instant(course.seen, verdict, {}))
        course._let_hold(course.seen)
        if (failure := course.failing(0)) is not None:
            assert all(at <= failure.since for at in sound if at < course.seen)
            assert not course.sound()
        if course.sound():
            sound.append(course.seen)


@pytest.fixture
def on_two_ranks(tmp_path):
    """Run a module on two processes: what it returned and printed, and its folder."""

    def run(module, *options):
        options = (*TINY, *QUICK, *options, "data.batch_size=32", "trainer.devices=2")
        place = (f"data.cache_dir={tmp_path / 'cache'}", f"hydra.run.dir={tmp_path / 'run'}")
        return finished([sys.executable, "-m", module, *options, *place]), tmp_path / "run"

    return run


@pytest.mark.slow
def test_two_ranks_stop_at_the_same_iteration(on_two_ranks):
    done, folder = on_two_ranks("train", *FAILING, "callbacks.diagnosis.on_failure=stop", "trainer.max_steps=100")
    assert done.returncode == 3, done.stderr
    assert done.stderr.count("Stopped: diagnosis: convergence_failure since iteration 0, stopped after 10") == 1
    assert last(folder)["global_step"] == 10
    assert record_of(folder)["status"] == "stopped"
    assert (folder / "generator.safetensors").is_file()


@pytest.mark.slow
def test_two_ranks_go_back_together(on_two_ranks):
    done, folder = on_two_ranks("tests.collapsing", *ROLLBACK, "trainer.max_steps=40")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(f"{BACK}: from 30 back to 20, with model.lr=0.002") == 1
    assert last(folder)["global_step"] == 40
    assert rates(last(folder)) == [0.002, 0.002]
    assert numbers(folder, "metrics.csv") == list(range(40))
    assert [span["rolled_back_to"] for span in rolled_back(folder)] == [20]
