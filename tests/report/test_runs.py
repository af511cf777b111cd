"""Every run ends with its report, however it ends."""

import json
import re

import pytest

from dcgan_lightning import report
from tests.conftest import REPORT
from tests.report.synthetic import Page
from tests.test_signals import send
from tests.test_sweep import ends

SHORT = ("trainer.max_steps=3", "metrics=none", "callbacks.weights=null", "logger=none", "callbacks.grid.n=4", REPORT)


def page_of(run):
    return Page(run.folder / "report.html")


def test_a_finished_run_has_one_and_rebuild_makes_the_same(command, monkeypatch):
    run = command.tiny(*SHORT)
    assert run.code == 0
    file = run.folder / "report.html"
    assert f"report        {file.relative_to(run.cwd)}" in run.out
    page, before = Page(file), file.read_bytes()
    assert "finished The run came to its end." in page.words
    assert "Warming up" in page.words
    assert "data.digit=8" in page.words
    record = json.loads((run.folder / "run.json").read_text())
    assert record["data"]["fingerprint"] in page.words
    assert re.search(r"Go on, to twice this length python train.py ckpt_path=\S+ .*trainer.max_steps=6", page.words)
    file.unlink()
    again = command("rebuild", f"run={run.folder}")
    assert f"wrote     {file}" in again.out
    assert file.read_bytes() == before


def test_a_run_that_fails_before_its_first_iteration_ends_has_one(command):
    run = command.tiny(*SHORT, *ends("exit"))
    assert run.code == 3
    page = page_of(run)
    assert "failed The run failed. SystemExit: 3" in page.words
    assert "No grid of generated images is there." in page.words


def test_a_run_that_a_signal_stops_has_one_after_its_checkpoint(command):
    run = command.tiny(*SHORT, "+callbacks.mine._target_=tests.test_signals.Sends", "+callbacks.mine.signum=15")
    assert run.code == 143
    page = page_of(run)
    assert "stopped The run was stopped. SIGTERM after 1 iterations" in page.words
    assert "checkpoints/last.ckpt" in page.words
    assert "Go on, to the planned length" in page.words
    assert run.out.index("checkpoint    ") < run.out.index("report        ")


def test_a_report_that_cannot_be_written_is_a_warning(command, monkeypatch):
    def write(folder):
        raise OSError("no room")

    monkeypatch.setattr(report, "write", write)
    with pytest.warns(UserWarning, match=r"OSError: no room. Later: python rebuild.py run=outputs"):
        run = command.tiny(*SHORT)
    assert run.code == 0
    assert json.loads((run.folder / "run.json").read_text())["status"] == "finished"


def test_impatience_leaves_the_report_out_and_changes_nothing_else(command, monkeypatch):
    def write(folder):
        monkeypatch.setattr("dcgan_lightning.signals.IMPATIENT", -1.0)
        send(2)
        send(2)

    monkeypatch.setattr(report, "write", write)
    run = command.tiny(*SHORT, "+callbacks.mine._target_=tests.test_signals.Sends", "+callbacks.mine.signum=2")
    assert run.code == 130
    assert "Stopped by SIGINT after 1 iterations" in run.err
    assert not (run.folder / "report.html").exists()
