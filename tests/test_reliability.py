"""The campaign of trials: what it keeps, where it goes on, and what it takes for a loss."""

import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from benchmarks.reliability import full_disk, kills, page, records, worker
from benchmarks.reliability.kinds import KINDS, ROOT
from tests import fake_trials
from tests.fake_trials import campaign


@pytest.fixture
def notes(tmp_path, monkeypatch):
    """The names of the trials that were run, in turn."""
    file = tmp_path / "notes"
    monkeypatch.setenv(fake_trials.NOTES, str(file))
    monkeypatch.setattr(worker, "GRACE", 0.5)
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # of the folders that losses leave
    monkeypatch.setattr("tempfile.tempdir", None)
    return lambda: file.read_text().split() if file.exists() else []


def test_each_trial_is_done_once_also_where_more_are_asked_for_later(tmp_path, notes):
    campaign(tmp_path).run(["good", "missing"])
    campaign(tmp_path).run(["good"])
    campaign(tmp_path, good=6, jobs=3).run(["good"])
    assert Counter(notes()) == Counter(f"good_{i}" for i in range(6))
    assert [(record.name, record.faults, record.loss) for record in campaign(tmp_path).done("good")] == [
        (f"good_{i}", 1, "") for i in range(4)
    ]
    campaign(tmp_path, seed=1).run(["good"])
    assert len(notes()) == 10


def test_what_goes_wrong_in_any_way_is_a_loss_with_its_folder_kept_and_the_others_are_done(tmp_path, notes):
    campaign(tmp_path).run(["bad"])
    said, raised, exited, hung, orphan, after_all = (record.loss for record in campaign(tmp_path).done("bad"))
    assert said.startswith("one image gone [")
    assert "RuntimeError: cannot" in raised
    assert "with 3" in exited
    assert "not done after 2 s" in hung
    assert "time.sleep(60) still ran" in orphan
    assert after_all == ""
    kept = [re.search(r"\[(.*)\]", loss)[1] for loss in (said, raised, exited, hung, orphan)]
    assert all(Path(folder, "trial", "made").exists() for folder in kept)
    assert sorted(map(str, tmp_path.glob("reliability_*"))) == sorted(kept)
    lines = "\n".join(page.table(campaign(tmp_path)))
    assert "| bad | go wrong | 6 | 3 | 5 |" in lines
    assert "| slow | take a while | 0 of 12 | 0 | 0 |" in lines
    assert "| missing | are to come | 0 of none | 0 | 0 |" in lines
    assert "- bad `said`: one image gone\n" in lines


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_campaign_that_was_stopped_goes_on_where_it_was(tmp_path, notes, number):
    code = f"from tests.fake_trials import campaign; campaign({str(tmp_path)!r}).run(['slow'])"
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.DEVNULL)
    kept = campaign(tmp_path).records("slow")
    while len(kept.read()) < 3:
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(number)
    assert process.wait(10) != 0
    done = len(kept.read())
    assert 3 <= done < 12
    with kept.path.open("a") as file:
        file.write('{"name": "slow_11", "fau')  # what a kill in the middle of a line leaves
    assert len(kept.read()) == done
    time.sleep(1)  # the killed campaign's worker comes to its end
    before = len(notes())
    assert before - done <= 1  # the one under way
    if number == signal.SIGINT:
        assert not [*tmp_path.glob("reliability_*")]
    campaign(tmp_path).run(["slow"])
    assert len(notes()) == before + 12 - done
    assert len(campaign(tmp_path).done("slow")) == 12


def test_another_kit_or_another_trial_is_another_campaign(tmp_path, monkeypatch):
    (tmp_path / "conf").mkdir()
    (tmp_path / "benchmarks" / "reliability").mkdir(parents=True)
    monkeypatch.setattr(records, "ROOT", tmp_path)
    seen = {records.what_is_tried(KINDS["kills"])}
    for name in ("train.py", "conf/train.yaml", "benchmarks/reliability/kills.py"):
        (tmp_path / name).write_text(name)
        assert records.what_is_tried(KINDS["kills"]) == records.what_is_tried(KINDS["kills"])
        seen.add(records.what_is_tried(KINDS["kills"]))
    assert len(seen) == 4
    last = records.what_is_tried(KINDS["kills"])
    for name in ("README.md", "benchmarks/reliability/zoo.py", "benchmarks/reliability/campaign.py"):
        (tmp_path / name).write_text(name)
        assert records.what_is_tried(KINDS["kills"]) == last


@pytest.mark.slow
@pytest.mark.parametrize("trial", kills.trials(seed=0, count=5), ids=lambda trial: trial.name)
def test_a_kill_loses_at_most_the_save_under_way(trial, tmp_path):
    result = trial.run(tmp_path)
    assert (result.loss, result.faults) == ("", 1)


# Full at once and for good; a limit on files; and room again before the end.
@pytest.mark.slow
@pytest.mark.parametrize("trial", [full_disk.trials(0, 7)[i] for i in (0, 3, 6)], ids=lambda trial: trial.name)
def test_a_full_disk_keeps_what_was_saved_and_is_told_of(trial, tmp_path):
    result = trial.run(tmp_path)
    assert (result.loss, result.faults) == ("", 1)
