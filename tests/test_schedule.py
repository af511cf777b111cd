"""Whose turn it is, which latents serve whom, and what D's rules step on."""

import pytest
import torch
from torch import nn

from dcgan_lightning.errors import Refusal
from dcgan_lightning.losses import BCE
from dcgan_lightning.schedule import (
    CarriedLatents,
    Fakes,
    FreshLatents,
    Latents,
    SeparateSteps,
    SharedLatents,
    StackedBatch,
    SummedLosses,
    UpdateRatio,
)

RATIOS = [(1, 1), (1, 5), (5, 1)]


@pytest.mark.parametrize(("d_every", "g_every"), RATIOS)
def test_turns_follow_the_counts(d_every, g_every):
    ratio, last_g = UpdateRatio(d_every, g_every), None
    for i in range(23):
        turn = ratio.turn(i)
        assert (turn.d_due, turn.g_due, turn.last_g) == (i % d_every == 0, i % g_every == 0, last_g)
        last_g = i if turn.g_due else last_g


@pytest.mark.parametrize(("d_every", "g_every"), RATIOS)
def test_carried_latents_are_those_of_g_s_last_update(d_every, g_every):
    ratio, policy = UpdateRatio(d_every, g_every), CarriedLatents()
    carried = policy.for_d(ratio.turn(0))
    assert carried != policy.for_g(ratio.turn(0))
    for i in range(23):
        turn = ratio.turn(i)
        assert policy.for_d(turn) == carried
        if turn.g_due:
            carried = policy.for_g(turn)


def test_fresh_latents_differ_from_d_s_and_are_so_many_for_each_image():
    turn = UpdateRatio(1, 1).turn(3)
    assert FreshLatents(2).for_d(turn) == Latents("d", 3, per_image=1)
    assert FreshLatents(2).for_g(turn) == Latents("g", 3, per_image=2)
    with pytest.raises(Refusal, match="g_per_image"):
        FreshLatents(0)


class Counting(nn.Linear):
    calls = 0

    def forward(self, z):
        self.calls += 1
        return super().forward(z)


@pytest.mark.parametrize(
    ("policy", "g_every", "iteration", "forwards", "with_graph"),
    [
        (SharedLatents(), 1, 0, 1, True),  # one forward serves both
        (SharedLatents(), 5, 1, 1, False),  # G is not due: no graph is kept
        (FreshLatents(2), 1, 0, 2, True),
        (CarriedLatents(), 5, 5, 2, True),
    ],
)
def test_g_runs_as_often_as_it_must(policy, g_every, iteration, forwards, with_graph):
    generator, turn = Counting(3, 2), UpdateRatio(1, g_every).turn(iteration)
    fakes = Fakes(generator, policy, turn, lambda latents: torch.ones(4 * latents.per_image, 3))
    assert not fakes.for_d().requires_grad
    if turn.g_due:
        assert fakes.for_g().requires_grad == with_graph
        assert len(fakes.for_g()) == 4 * policy.for_g(turn).per_image
        forwards += not isinstance(policy, SharedLatents)  # the second call of for_g above
    assert generator.calls == forwards


class Judge(nn.Module):
    """One logit an image: its value times a weight."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(1.0))

    def forward(self, images):
        return images * self.weight


REAL, FAKE = torch.tensor([1.0, -2.0, 3.0]), torch.tensor([0.5, -0.5, 2.0])


def bce(logits, label):
    return nn.functional.binary_cross_entropy_with_logits(logits, torch.full_like(logits, label))


def test_summed_losses_are_one_step_on_the_sum():
    ((loss, scalars),) = SummedLosses()(Judge(), BCE(), REAL, FAKE)
    torch.testing.assert_close(loss, bce(REAL, 1.0) + bce(FAKE, 0.0))
    assert scalars["acc_real"] == pytest.approx(2 / 3)
    assert scalars["acc_fake"] == pytest.approx(1 / 3)


def test_a_stacked_batch_is_one_step_on_the_mean_over_all_its_images():
    fake = FAKE[:1]  # batches of two sizes tell a mean over images from a mean of means
    ((loss, scalars),) = StackedBatch()(Judge(), BCE(), REAL, fake)
    labels = torch.tensor([1.0, 1.0, 1.0, 0.0])
    whole = nn.functional.binary_cross_entropy_with_logits(torch.cat([REAL, fake]), labels)
    torch.testing.assert_close(loss, whole)
    torch.testing.assert_close(scalars["loss_d_real"], bce(REAL, 1.0))
    torch.testing.assert_close(scalars["loss_d_fake"], bce(fake, 0.0))


def test_separate_steps_judge_the_fakes_after_the_first_step():
    judge = Judge()
    steps = SeparateSteps()(judge, BCE(), REAL, FAKE)
    loss_real, scalars = next(steps)
    torch.testing.assert_close(loss_real, bce(REAL, 1.0))
    assert set(scalars) == {"loss_d_real", "d_x", "acc_real"}
    with torch.no_grad():
        judge.weight.fill_(3.0)
    loss_fake, scalars = next(steps)
    torch.testing.assert_close(loss_fake, bce(3 * FAKE, 0.0))
    assert set(scalars) == {"loss_d_fake", "d_gz_before", "acc_fake"}
    assert list(steps) == []
