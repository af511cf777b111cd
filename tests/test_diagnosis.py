"""Verdicts: on recorded runs, on curves of a known form, and unmoved by what should not move them."""

import itertools
import json
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.diagnosis.page import judge, thresholds
from benchmarks.diagnosis.runs import CALIBRATION, PARTS, SHIPPED, TEST
from benchmarks.diagnosis.train import CURVES, ENDING
from dcgan_lightning.course import FAILURES, Course
from dcgan_lightning.diagnosis import concluded, diagnose
from dcgan_lightning.judged_tables import read_run

LOG_2 = float(np.log(2))
names = pytest.mark.parametrize("run", CALIBRATION, ids=lambda run: run.name)


def is_clear(run):
    """Whether a verdict was passed by numbers a sixth of their threshold away from it; accuracies end at 1."""
    found = judge(run).diagnosis
    numbers = [number for name, number in found.evidence.items() if not name.startswith(("acc_", "d_gz"))]
    far = all(abs(number.value - number.threshold) > number.threshold / 6 for number in numbers)
    return found.verdict != "warming_up" and far


CLEAR = [run for run in CALIBRATION if is_clear(run)]


def curves(n, **columns):
    """Columns of n iterations: numbers, or functions of the iteration."""
    at = np.arange(n, dtype=np.float64)
    made = {name: value(at) if callable(value) else np.full(n, float(value)) for name, value in columns.items()}
    return {"iteration": at, **made}


HEALTHY = {
    "loss_d_real": LOG_2,
    "loss_d_fake": LOG_2,
    "loss_g": 0.75,
    "acc_real": 0.35,
    "acc_fake": 0.6,
    "d_gz_after": 0.49,
}
D_WINS = {"loss_d_real": 1e-3, "loss_d_fake": 1e-3, "loss_g": 9.0, "acc_real": 1, "acc_fake": 1, "d_gz_after": 1e-4}
G_WINS = {"loss_d_real": 0.1, "loss_d_fake": 6.0, "loss_g": 0.01, "acc_real": 1, "acc_fake": 0, "d_gz_after": 0.99}
VARIED = {"diversity": 20, "diversity_real": 21, "nearest": 9, "nearest_real": 10, "gap": 0.1}
REPEATED = VARIED | {"nearest": 0.5}
UNLIKE = VARIED | {"gap": 0.7}


def sampled(n, every=50, **columns):
    """Rows of sample statistics of n iterations."""
    done = np.arange(every, n + 1, every, dtype=np.float64)
    return {"iteration": done, **{name: np.full(len(done), float(value)) for name, value in columns.items()}}


def verdict(columns, samples=None, bce=True, **options):
    return diagnose(columns, samples, thresholds(), bce, **options)


def joined(*parts):
    """Stretches of columns, one after another."""
    lengths = np.cumsum([0, *(len(part["iteration"]) for part in parts)])
    together = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    shift = np.concatenate([np.full(len(p["iteration"]), start) for p, start in zip(parts, lengths, strict=False)])
    return together | {"iteration": together["iteration"] + shift}


def test_all_labelled_runs_are_kept_once():
    labelled = [run.name for part in PARTS.values() for run in part]
    assert sorted(labelled) == sorted(ending.parent.name for ending in CURVES.glob(f"*/{ENDING}"))


@names
def test_the_verdict_on_a_recorded_run_is_its_truth(run):
    judged = judge(run)
    assert judged.diagnosis.verdict == judged.ending["truth"]


def test_runs_that_set_no_threshold_are_judged_rightly_in_nine_of_ten_of_every_class():
    judged = [judge(run) for run in TEST]
    truths = Counter(one.ending["truth"] for one in judged)
    right = Counter(one.ending["truth"] for one in judged if one.right)
    assert {truth: right[truth] / count for truth, count in truths.items() if right[truth] < 0.9 * count} == {}


@pytest.mark.parametrize("run", SHIPPED, ids=lambda run: run.name)
def test_what_the_project_ships_is_never_called_a_failure(run):
    found = judge(run).diagnosis
    assert [span.verdict for span in found.history if span.verdict in FAILURES] == []


@pytest.mark.parametrize(
    ("columns", "samples", "expected"),
    [
        (HEALTHY, VARIED, "stable"),
        (HEALTHY, None, "stable"),
        (HEALTHY, REPEATED, "mode_collapse"),
        (HEALTHY, VARIED | {"diversity": 3}, "mode_collapse"),
        (HEALTHY, VARIED | {"entropy": 0.2, "entropy_real": 2.3}, "mode_collapse"),
        (D_WINS, UNLIKE, "convergence_failure"),
        (D_WINS, None, "convergence_failure"),
        (D_WINS | {"loss_g": 1e-3}, UNLIKE, "convergence_failure"),
        ({"loss_d": 0.004, "loss_g": 8}, None, "convergence_failure"),
        (D_WINS, VARIED, "stable"),  # a strong D beside good images is no failure
        (G_WINS, UNLIKE, "generator_wins"),
        (G_WINS, None, "generator_wins"),
        (HEALTHY, UNLIKE, "stuck"),
    ],
)
def test_curves_of_a_known_form(columns, samples, expected):
    found = verdict(curves(450, **columns), samples and sampled(450, **samples))
    assert found.verdict == expected
    assert found.judged_at == 450
    assert all(number.holds for number in found.evidence.values())
    assert found.evidence
    assert found.record()["advice"]
    json.dumps(found.record(), allow_nan=False)


def test_what_is_not_finite_is_said_with_its_first_iteration():
    spoilt = curves(300, **HEALTHY | {"loss_g": lambda at: np.where(at < 240, 0.75, np.inf)})
    found = verdict(spoilt, sampled(200, **VARIED))
    assert (found.verdict, found.since) == ("diverged", 240)
    assert found.history[-2].until == 240
    json.dumps(found.record(), allow_nan=False)


def test_one_overflow_that_passes_is_no_divergence():
    passing = curves(300, **HEALTHY | {"loss_g": lambda at: np.where(at == 240, np.inf, 0.75)})
    assert verdict(passing, sampled(300, **VARIED)).verdict == "stable"


def test_a_run_that_ended_for_its_weights_is_diverged_though_its_losses_are_finite():
    found = verdict(curves(300, **HEALTHY), failure="NonFiniteError: generator.main.0.weight")
    assert found.verdict == "diverged"
    assert "main.0" in json.dumps(found.record())


@pytest.mark.parametrize("n", [1, 9, 60])
@pytest.mark.parametrize("columns", [HEALTHY, D_WINS, G_WINS])
def test_too_short_a_run_is_warming_up(n, columns):
    assert verdict(curves(n, **columns), sampled(n, **REPEATED)).verdict == "warming_up"


def test_a_run_that_recovers_is_said_to_have_recovered():
    both = joined(curves(300, **D_WINS), curves(500, **HEALTHY))
    samples = joined(sampled(300, **UNLIKE), sampled(500, **VARIED))
    samples["iteration"] = np.arange(50, 801, 50.0)
    found = verdict(both, samples)
    assert [span.verdict for span in found.history] == ["warming_up", "convergence_failure", "stable"]
    assert found.history[1].until == found.since >= 300


def test_what_was_stable_and_is_so_no_longer_is_not_called_so():
    gaps = np.where(np.arange(50, 5001, 50) <= 500, 0.1, 0.45)
    samples = sampled(5000, **VARIED) | {"gap": gaps}
    found = verdict(curves(5000, **HEALTHY), samples)
    assert [span.verdict for span in found.history] == ["warming_up", "stable", "warming_up"]
    assert found.history[1].until == found.since < 1000
    assert found.evidence["gap"].value == 0.45
    assert not found.evidence["gap"].holds


def test_a_network_that_is_rarely_updated_has_its_time():
    often = curves(600, **D_WINS)
    rarely = often | {"loss_g": np.where(np.arange(600) % 5, np.nan, often["loss_g"])}
    assert verdict(often, sampled(600, **UNLIKE)).verdict == "convergence_failure"
    assert verdict(rarely, sampled(600, **UNLIKE)).verdict == "warming_up"
    both = {name: np.repeat(column, 5) for name, column in rarely.items()} | {"iteration": np.arange(3000.0)}
    assert verdict(both, sampled(3000, **UNLIKE)).verdict == "convergence_failure"


def test_images_that_repeat_themselves_less_and_less_are_no_collapse():
    at = np.arange(50, 451, 50.0)
    fewer = sampled(450, **REPEATED) | {"nearest": 0.014 * at}
    assert verdict(curves(450, **HEALTHY), fewer).verdict == "warming_up"
    assert verdict(curves(450, **HEALTHY), sampled(450, **REPEATED)).verdict == "mode_collapse"


def test_a_loss_that_was_never_finite_leaves_no_verdict_before():
    found = verdict(curves(300, **HEALTHY | {"loss_g": np.inf}), sampled(300, **VARIED))
    assert [(span.verdict, span.since, span.until) for span in found.history] == [
        ("warming_up", 0, 0),
        ("diverged", 0, None),
    ]


def test_of_another_loss_only_the_images_are_judged():
    critic = curves(450, loss_d=-3.0, loss_g=40.0, acc_real=1, acc_fake=1, d_gz_after=1e-9)
    for samples, expected in ((VARIED, "stable"), (REPEATED, "mode_collapse"), (UNLIKE, "stuck")):
        assert verdict(critic, sampled(450, **samples), bce=False).verdict == expected
    found = verdict(critic, None, bce=False)
    assert found.verdict == "warming_up"
    assert len(found.not_judged) == 2


def test_few_rows_far_apart_are_judged_as_many_close_together():
    dense = curves(20_000, **D_WINS)
    sparse = {name: column[::500] for name, column in dense.items()}
    assert verdict(sparse).verdict == verdict(dense).verdict == "convergence_failure"


@settings(max_examples=25, deadline=None)
@given(run=st.sampled_from(CALIBRATION), cuts=st.lists(st.integers(1, 900), max_size=8))
def test_piece_by_piece_is_the_same_as_at_once(run, cuts):
    table, samples = read_run(CURVES / run.name)
    course = Course(thresholds(), bce=True)
    bounds = sorted({0, *cuts, 10**6})
    for first, end in itertools.pairwise(bounds):
        rows = (table["iteration"] >= first) & (table["iteration"] < end)
        if samples is not None:
            known = (samples["iteration"] > first) & (samples["iteration"] <= end)
            some = {name: column[known] for name, column in samples.items()}
        else:
            some = None
        course.extend({name: column[rows] for name, column in table.items()}, some)
    assert concluded(course).record() == diagnose(table, samples, thresholds(), True).record()


@settings(max_examples=40, deadline=None)
@given(run=st.sampled_from(CALIBRATION), end=st.floats(0.1, 1))
def test_cutting_the_end_makes_no_other_verdict_than_the_run_had_by_then(run, end):
    table, samples = read_run(CURVES / run.name)
    whole = diagnose(table, samples, thresholds(), True)
    until = int(len(table["iteration"]) * end)
    cut = {name: column[:until] for name, column in table.items()}
    some = samples and {name: column[samples["iteration"] <= until] for name, column in samples.items()}
    found = diagnose(cut, some, thresholds(), True)
    assert found.verdict in {span.verdict for span in whole.history}
    if whole.verdict == "stable" and len(whole.history) == 2:
        assert found.verdict not in FAILURES


@settings(max_examples=40, deadline=None)
@given(run=st.sampled_from(CLEAR), seed=st.integers(0, 2**32 - 1))
def test_noise_of_a_few_percent_changes_no_verdict_that_is_clear(run, seed):
    table, samples = read_run(CURVES / run.name)
    draws = np.random.default_rng(seed)

    def noisy(columns):
        exact = ("iteration", "acc_real", "acc_fake")
        return {
            name: column if name in exact else column * (1 + 0.03 * draws.standard_normal(len(column)))
            for name, column in columns.items()
        }

    found = diagnose(noisy(table), samples and noisy(samples), thresholds(), True)
    assert found.verdict == diagnose(table, samples, thresholds(), True).verdict


def test_most_verdicts_are_clear():
    assert len(CLEAR) > 0.6 * len(CALIBRATION)


@names
@pytest.mark.parametrize("times", [2, 5])
def test_stretching_time_changes_no_verdict_that_was_passed(run, times):
    table, samples = read_run(CURVES / run.name)
    stretched = {name: np.repeat(column, times) for name, column in table.items()}
    stretched["iteration"] = np.arange(len(stretched["iteration"]), dtype=np.float64) + table["iteration"][0] * times
    later = samples and samples | {"iteration": samples["iteration"] * times}
    passed = diagnose(table, samples, thresholds(), True).verdict
    assert passed == "warming_up" or diagnose(stretched, later, thresholds(), True).verdict == passed
