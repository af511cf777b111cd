"""diagnose.py: a run gets the verdict that it got while it trained; anybody's CSV gets one, too."""

import json

import pytest

from tests.conftest import assert_refused

SOON = ("diagnosis.window=2", "diagnosis.rows=1", "diagnosis.warm_up=2", "diagnosis.hold_least=4", "diagnosis.hold=0.1")
FAILS = ("diagnosis.d_wins_loss=100", "diagnosis.d_wins_accuracy=-1", "diagnosis.learnt_gap=-2")


def table(folder, header, rows):
    folder.mkdir(exist_ok=True)
    file = folder / "losses.csv"
    file.write_text("\n".join([header, *rows]) + "\n")
    return file


def test_a_finished_run_gets_the_verdict_that_it_got_while_it_trained(command):
    run = command.tiny("trainer.max_steps=12", "metrics=none", "callbacks.samples.every=2", *SOON, *FAILS)
    assert run.code == 0, run.err
    assert "verdict   convergence_failure" in run.out
    before = (run.folder / "diagnosis.json").read_text()
    assert json.loads(before)["verdict"] == "convergence_failure"
    made = run.made
    (run.folder / "diagnosis.json").unlink()
    again = command("diagnose", f"run={run.folder}")
    assert again.code == 0, again.err
    assert (run.folder / "diagnosis.json").read_text() == before
    assert again.made == made
    assert "try       " in again.out


def test_thresholds_that_are_typed_come_before_those_of_the_run(command):
    run = command.tiny("trainer.max_steps=6", "metrics=none", "callbacks.samples.every=2", *SOON, *FAILS)
    done = command("diagnose", f"run={run.folder}", "diagnosis.d_wins_loss=0")
    assert "convergence_failure" not in done.out


@pytest.mark.parametrize("columns", ["{D:loss_d,G:loss_g,at:iteration}", "{loss_d:D,loss_g:G,iteration:at}"])
def test_anybodys_columns_are_named_either_way(command, tmp_path, columns):
    file = table(tmp_path / "theirs", "at,D,G,lr", [f"{at},0.001,9,1e-4" for at in range(450)])
    done = command("diagnose", f"run={file}", f"columns={columns}")
    assert done.code == 0, done.err
    found = json.loads((file.parent / "diagnosis.json").read_text())
    assert (found["verdict"], found["judged_at"]) == ("convergence_failure", 450)
    assert found["evidence"]["loss_d"] == {
        "value": 0.001,
        "threshold": 0.1,
        "relation": "below",
        "meaning": "D's losses on real and fake images [nats]",
    }
    assert done.made == []


def test_rows_without_iterations_are_numbered_and_empty_cells_are_no_numbers(command, tmp_path):
    rows = [f"{'' if at % 5 else 0.7},0.7,0.8" for at in range(400)]
    file = table(tmp_path / "theirs", "loss_d_real,loss_d_fake,loss_g", rows)
    done = command("diagnose", f"run={file}")
    assert "verdict   stable" in done.out


def test_nan_in_a_cell_is_divergence(command, tmp_path):
    file = table(tmp_path / "theirs", "loss_d,loss_g", [f"{0.7 if at < 200 else 'nan'},0.8" for at in range(230)])
    assert "verdict   diverged since iteration 200" in command("diagnose", f"run={file}").out


def test_a_row_that_was_being_written_is_left_out(command, tmp_path):
    file = table(tmp_path / "theirs", "iteration,loss_d,loss_g", [f"{at},0.7,0.8" for at in range(400)])
    file.write_text(file.read_text() + "400,0.")
    assert "judged after 400" in command("diagnose", f"run={file}").out


@pytest.mark.parametrize(
    ("header", "rows", "arguments", "words"),
    [
        ("a,b", ["1,2"], (), ("none of the columns", "a, b", "columns=")),
        ("loss_d", [], (), ("no row",)),
        ("loss_d,loss_g", ["1,2", "many,2"], (), ("line 3", "'many'")),
        ("loss_d,loss_g", ["1,2"], ("columns={D:loss_d}",), ("no column 'D'",)),
        ("D,G", ["1,2"], ("columns={D:loss_x}",), ("'loss_x' is none",)),
        ("iteration,loss_d", [",2"], (), ("no iteration",)),
    ],
)
def test_what_cannot_be_judged_is_refused(command, tmp_path, header, rows, arguments, words):
    file = table(tmp_path / "theirs", header, rows)
    assert_refused(command("diagnose", f"run={file}", *arguments), *words)
    assert not (file.parent / "diagnosis.json").exists()


@pytest.mark.parametrize("run", ["null", "nowhere", "https://example.org/losses.csv", "."])
def test_what_is_no_run_is_refused(command, run):
    assert_refused(command("diagnose", f"run={run}"), "run=")
