"""Signals: when they raise and when they wait, what a stopped run leaves, and that nothing of it stays behind."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from lightning.pytorch import Callback

from benchmarks.reliability import stops
from dcgan_lightning import signals
from dcgan_lightning.callbacks import fid, figures
from tests.conftest import FIGURES
from tests.support import finished
from tests.test_sweep import cells_of, rows


def send(signum):
    os.kill(os.getpid(), signum)


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGUSR1, 138)])
def test_a_signal_raises_at_once_and_only_inside(signum, code):
    before = signal.getsignal(signum)
    with pytest.raises(signals.Stopped) as stopped, signals.heeded():
        send(signum)
    assert stopped.value.exit_code == code
    assert not isinstance(stopped.value, Exception)
    assert signal.getsignal(signum) is before
    assert signals.received() == 0


def test_while_iterations_run_a_signal_is_noted_and_handed_on_once():
    told = []
    handed_on = signals.passed_on(told.append, lambda: 1)
    with pytest.raises(signals.Stopped, match="SIGTERM"), signals.heeded(), handed_on:  # noqa: PT012
        signals.defer(True)
        send(signal.SIGTERM)
        send(signal.SIGUSR1)
        assert signals.received() == signal.SIGTERM
        assert signals.agreed() == 0
    assert told == [signal.SIGTERM]


def test_a_second_interrupt_counts_only_when_it_is_not_the_first_by_another_way(monkeypatch):
    reached = []
    handed_on = signals.passed_on(id, lambda: 2)
    with pytest.raises(signals.Stopped, match="SIGINT"), signals.heeded(), handed_on:  # noqa: PT012
        signals.defer(True)
        send(signal.SIGINT)
        monkeypatch.setattr(signals, "IMPATIENT", 0.0)
        send(signal.SIGINT)  # handed on by another rank, late
        reached.append(2)
        monkeypatch.setattr(signals, "IMPATIENT", 100.0)
        send(signal.SIGINT)  # at the same time by whatever way
        reached.append(3)
        monkeypatch.setattr(signals, "IMPATIENT", 0.0)
        send(signal.SIGINT)
        reached.append(4)
    assert reached == [2, 3]


def test_an_error_after_a_signal_is_a_stop_that_names_it():
    words = "SIGTERM; since then RuntimeError: no rank 1"
    with pytest.raises(signals.Stopped, match=words), signals.heeded():  # noqa: PT012
        signals.defer(True)
        send(signal.SIGTERM)
        raise RuntimeError("no rank 1")


def _work(ready):
    signals.leave_to_parent()
    ready.set()
    time.sleep(60)


@pytest.mark.skipif(sys.platform != "linux", reason="the sender of a signal is told by Linux")
def test_a_worker_ends_by_its_parents_signal_only():
    context = multiprocessing.get_context("fork")
    ready = context.Event()
    worker = context.Process(target=_work, args=(ready,), daemon=True)
    worker.start()
    assert ready.wait(10)
    for name in ("INT", "TERM", "USR1"):
        subprocess.run(["/bin/sh", "-c", f"kill -{name} {worker.pid}"], check=True)
    worker.join(0.3)
    assert worker.is_alive()
    worker.terminate()
    worker.join(10)
    assert worker.exitcode == 0


def test_an_fid_under_way_is_given_up_and_the_run_saved_where_it_is(command, monkeypatch):
    draw = fid.sample_images

    def stopped(*arguments):
        send(signal.SIGTERM)
        return draw(*arguments)

    monkeypatch.setattr(fid, "sample_images", stopped)
    run = command.tiny("trainer.max_steps=12", "callbacks.fid.every=5", "callbacks.fid.batch_size=8", FIGURES)
    folder = run.folder
    assert run.code == 143
    assert "Stopped by SIGTERM after 5 iterations" in run.err
    assert "Traceback" not in run.err
    assert not (folder / "fid.csv").exists()
    assert torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == 5
    assert len(rows(folder / "metrics.csv")) == 5
    record = json.loads((folder / "run.json").read_text())
    assert (record["status"], record["error"]) == ("stopped", "SIGTERM after 5 iterations")
    here = folder.relative_to(run.cwd)
    assert f"python rebuild.py run={here}" in run.out
    assert f"python train.py ckpt_path={here} data.digit=8" in run.out
    assert not (folder / "losses.png").exists()
    monkeypatch.undo()
    monkeypatch.chdir(run.cwd)
    again = command.tiny("trainer.max_steps=12", "callbacks.fid.every=5", f"ckpt_path={here}")
    assert again.code == 0
    resumed = next(made for made in again.folders if made != folder)
    assert [row["iteration"] for row in rows(resumed / "fid.csv")] == ["5", "10", "12"]


def test_a_drawing_under_way_is_given_up_with_everything_saved_before(command, monkeypatch):
    monkeypatch.setattr(figures, "make", lambda *_: send(signal.SIGUSR1))
    run = command.tiny("trainer.max_steps=3", "metrics=none", FIGURES)
    assert run.code == 138
    assert torch.load(run.folder / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == 3
    monkeypatch.undo()
    monkeypatch.chdir(run.cwd)
    assert "go on" not in run.out  # nothing is left
    assert command("rebuild", f"run={run.folder}").code == 0
    assert (run.folder / "losses.png").is_file()
    assert (run.folder / "generator.safetensors").is_file()


class Sends(Callback):
    def __init__(self, signum):
        self.signum = signum

    def on_train_batch_start(self, *_):
        if self.signum:
            send(self.signum)


def test_a_signal_ends_a_sweep_after_its_table(command):
    mine = "+callbacks.mine._target_=tests.test_signals.Sends", "+callbacks.mine.signum=0,15,0"
    run = command.tiny("-m", "metrics=none", "trainer.max_steps=2", *mine)
    assert run.code == 143
    folder, cells = cells_of(run)
    assert [(cell["status"], cell["error"]) for cell in cells] == [
        ("finished", None),
        ("stopped", "SIGTERM after 1 iterations"),
    ]
    assert len(rows(folder / "table.csv")) == 2


@pytest.mark.slow
def test_a_real_run_with_loader_workers_ends_in_time_saved_and_leaves_no_process(tmp_path):
    with stops.Run(tmp_path / "run", tmp_path, *stops.SMALL, "trainer.max_steps=100000", "data.num_workers=2") as run:
        assert stops.wait_for(run, lambda: stops.rows_of(run) >= 3) == ""
        assert [*stops.stop(run, signal.SIGTERM, "group"), *stops.left(run, signal.SIGTERM)] == []


TRIALS = {trial.name: trial for trial in stops.trials()}


# The campaign does all of them; here each signal, target and number of workers comes once, and each thing under way.
SOME = (
    *("SIGTERM_group_2_workers", "SIGINT_rank_1_0_workers", "SIGUSR1_both_ranks_2_workers"),
    *("SIGINT_process_2_workers", "SIGUSR1_rank_0_0_workers", "SIGTERM_process_in_fid", "SIGUSR1_rank_1_in_fid"),
    *("SIGINT_group_in_decoding", "SIGTERM_group_in_figures", "SIGKILL_rank_0", "SIGKILL_rank_1"),
)


@pytest.mark.slow
@pytest.mark.parametrize("name", SOME)
def test_whatever_the_signal_whoever_gets_it(name, tmp_path):
    assert TRIALS[name].run(tmp_path).loss == ""


LEFT_BEHIND = """
import multiprocessing, signal, sys, threading, time
from dcgan_lightning.signals import leaving_at_once

def deaf():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(600)

with leaving_at_once():
    multiprocessing.get_context("fork").Process(target=deaf, daemon=True).start()
    threading.Thread(target=time.sleep, args=(600,)).start()
    print("said", flush=False)
    {end}
"""


@pytest.mark.parametrize(
    ("end", "code", "words"),
    [("pass", 0, ""), ("sys.exit(3)", 3, ""), ("sys.exit('why')", 1, "why"), ("1 / 0", 1, "ZeroDivisionError")],
)
def test_a_process_leaves_at_its_end_whatever_still_runs_in_it(end, code, words):
    done = finished([sys.executable, "-c", LEFT_BEHIND.format(end=end)], seconds=60)
    assert (done.returncode, done.stdout) == (code, "said\n")
    assert words in done.stderr
