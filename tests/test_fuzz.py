"""Command lines at random: refused by name with nothing left, or accepted; and what would not pass as that."""

import pytest

from benchmarks.reliability import fuzz
from benchmarks.reliability.fuzz import Outcome, judged, trials
from benchmarks.reliability.overrides import leaves, lines


def lost(tmp_path, seed, count):
    losses = []
    for number, trial in enumerate(trials(seed, count)):
        (tmp_path / str(number)).mkdir()
        losses.append(trial.run(tmp_path / str(number)).loss)
    return [loss for loss in losses if loss]


@pytest.mark.slow
def test_some_command_lines(tmp_path):
    assert lost(tmp_path, seed=0, count=8) == []


@pytest.mark.slow
def test_more_command_lines(tmp_path):
    assert lost(tmp_path, seed=0, count=200) == []


@pytest.mark.slow
def test_the_same_seed_makes_the_same_lines_and_options_come_from_every_choice():
    assert lines(30, seed=3) == lines(30, seed=3)
    assert len(set(lines(30, seed=3))) == 30
    assert lines(30, seed=3) != lines(30, seed=4)
    assert {"seed", "model.lr", "data.allow_upscale", "metrics.features.weights_path", "logger.version"} <= set(
        leaves()
    )


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        (Outcome(2, "Refused: model.lr=x: no number", None, []), ""),
        (Outcome(None, "", None, []), ""),
        (Outcome(1, "Stopped: diverged", None, ["outputs"]), ""),
        (Outcome(2, "Refused: something is wrong", None, []), "no option is named"),
        (Outcome(2, "Refused: model.lr=x: no number", None, ["outputs"]), "left ['outputs']"),
        (Outcome(1, "Traceback (most recent call last)", None, []), "a traceback"),
        (Outcome(1, "", None, []), "neither refused nor accepted"),
        (Outcome(0, "", KeyError("lr"), []), "KeyError"),
    ],
)
def test_what_counts_as_a_loss(outcome, words):
    assert judged(["model.lr=x"], outcome).startswith(words)
    assert bool(judged(["model.lr=x"], outcome)) == bool(words)


@pytest.mark.parametrize("trained", [False, True])
def test_a_line_that_nothing_is_wrong_with_is_accepted_and_trains_if_asked(tmp_path, trained):
    outcome = fuzz.run(["model=mlp", "model.lr=1e-3", "metrics=none"], tmp_path, trained)
    assert (outcome.code, outcome.error) == ((0 if trained else None), None)
    assert outcome.cfg.model.lr == 1e-3
    assert bool(list(tmp_path.rglob("last.ckpt"))) == trained
    assert judged(["model.lr=true"], outcome) == ""
    outcome.cfg.model.lr = True
    assert "model.lr is True" in judged(["model.lr=true"], outcome)
