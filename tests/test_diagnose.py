"""diagnose.py: a run gets the verdict that it got while it trained; anybody's CSV gets one, too."""

import functools
import json

import pytest
from hydra.utils import instantiate

from dcgan_lightning import diagnosing
from dcgan_lightning.diagnosing import diagnosed
from dcgan_lightning.errors import Refusal
from tests.conftest import assert_refused
from tests.support import composed

SOON = ("diagnosis.window=2", "diagnosis.rows=1", "diagnosis.warm_up=2", "diagnosis.hold_least=4", "diagnosis.hold=0.1")
FAILS = ("diagnosis.d_wins_loss=100", "diagnosis.d_wins_accuracy=-1", "diagnosis.learnt_gap=-2")


@functools.cache
def thresholds():
    return instantiate(composed().diagnosis)


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


def judged(file, **columns):
    return diagnosed(str(file), columns, None, thresholds())


WINS = [f"{at};0.001;9;100;100" for at in range(450)]


@pytest.mark.parametrize(("separator", "beginning", "end"), [(",", "\ufeff", "\n\n"), (";", "", "\n"), ("\t", "", "")])
def test_a_table_as_spreadsheets_and_loops_leave_it(tmp_path, separator, beginning, end):
    text = "\n".join(["iteration;loss_d;loss_g;acc_real;acc_fake", *WINS])
    (file := tmp_path / "losses.csv").write_text(beginning + text.replace(";", separator) + end, encoding="utf-8")
    found = judged(file)
    assert (found.verdict, found.judged_at) == ("convergence_failure", 450)
    assert found.evidence["acc_real"].value == 1  # of percentages


def test_a_column_that_is_named_comes_before_one_that_is_called_so(tmp_path):
    file = table(tmp_path, "D,loss_d,loss_g", ["0.001,0.7,9"] * 450)
    assert judged(file, D="loss_d").evidence["loss_d"].value == 0.001


def test_negative_losses_are_not_those_of_the_original_loss(tmp_path):
    found = judged(table(tmp_path, "loss_d,loss_g", ["-3.1,-2.5"] * 450))
    assert found.verdict == "warming_up"
    assert "the loss is not that of the original GAN" in " ".join(found.not_judged)


def test_a_runs_own_table_is_judged_as_its_folder(tmp_path):
    table(tmp_path, "iteration,loss_d,loss_g", [f"{at},0.7,0.8" for at in range(450)]).rename(tmp_path / "metrics.csv")
    (tmp_path / "run.json").write_text('{"error": "NonFiniteError: a weight"}')
    assert judged(tmp_path / "metrics.csv").verdict == "diverged"


@pytest.mark.parametrize("samples", ["", "iteration,gap\n", "iteration,gap\n50,0.1\n100,0.9e-"])
def test_a_table_that_was_being_written_when_the_run_was_killed_is_judged_as_far_as_it_goes(tmp_path, samples):
    (tmp_path / "metrics.csv").write_text("iteration,loss_d\n" + "".join(f"{at},1.2\n" for at in range(200)) + "200,1.")
    (tmp_path / "samples.csv").write_text(samples)
    assert judged(tmp_path).judged_at == 200


def test_where_nothing_can_be_written_the_verdict_is_said(tmp_path, capsys, monkeypatch):
    file = table(tmp_path, "loss_d,loss_g", ["0.7,0.8"] * 450)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(diagnosing, "write", full)
    with pytest.raises(Refusal, match="No space left"):
        judged(file)
    assert "verdict   stable" in capsys.readouterr().out


def test_one_row_far_away_is_not_waited_for(tmp_path):
    rows = [f"{at},1.2,0.8" for at in [*range(2_000), 10**15]]
    assert judged(table(tmp_path, "iteration,loss_d,loss_g", rows)).verdict == "stable"


@pytest.mark.parametrize(
    "option",
    ["window=0", "rows=0", "hold=0", "agreeing=7", "hold_most=0", "healthy.loss_d=[1]", "healthy.loss_g=[2,1]"],
)
def test_thresholds_that_cannot_work_are_refused(command, tmp_path, option):
    file = table(tmp_path / "theirs", "loss_d", ["1.2"])
    assert_refused(command("diagnose", f"run={file}", f"diagnosis.{option}"), f"diagnosis.{option.partition('=')[0]}")


@pytest.mark.parametrize(
    ("header", "rows", "arguments", "words"),
    [
        ("a,b", ["1,2"], (), ("none of the columns", "a, b", "columns=")),
        ("loss_d", [], (), ("no row",)),
        ("loss_d,loss_g", ["1,2", "many,2"], (), ("line 3", "'many'")),
        ("loss_d,loss_g", ["1,2"], ("columns={D:loss_d}",), ("no column 'D'",)),
        ("D,G", ["1,2"], ("columns={D:loss_x}",), ("'loss_x' is none",)),
        ("iteration,loss_d", [",2"], (), ("no iteration",)),
        ("loss_d,acc_real", ["1,300"], (), ("acc_real", "300")),
        ("loss_d,d_x", ["1,60"], (), ("d_x", "60")),
        ("loss_d,loss_d", ["1,2"], (), ("more than one column", "loss_d")),
    ],
)
def test_what_cannot_be_judged_is_refused(command, tmp_path, header, rows, arguments, words):
    file = table(tmp_path / "theirs", header, rows)
    assert_refused(command("diagnose", f"run={file}", *arguments), *words)
    assert not (file.parent / "diagnosis.json").exists()


@pytest.mark.parametrize("run", ["null", "nowhere", "https://example.org/losses.csv", "."])
def test_what_is_no_run_is_refused(command, run):
    assert_refused(command("diagnose", f"run={run}"), "run=")
