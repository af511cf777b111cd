"""Gradients shortened to a norm: where in an update, by how much, and what leaves nothing of them."""

import copy

import pytest
import torch
from lightning.pytorch import Callback

from dcgan_lightning.errors import Refusal
from dcgan_lightning.images import to_float
from dcgan_lightning.noise import sample_latents
from dcgan_lightning.schedule import SeparateSteps
from tests.conftest import assert_refused
from tests.reference import algorithm
from tests.support import composed_module, gan
from tests.test_gan_module import BATCH, ITERATIONS, LATENTS, networks, run

SHORT = 0.05  # of every gradient of these networks


class Norms(Callback):
    """The norm of a network's gradients as its optimizer takes its step; callbacks are asked before the module."""

    def __init__(self):
        self.before, self.after = [], []

    def on_train_start(self, trainer, pl_module):
        for optimizer in trainer.optimizers:
            step = optimizer.step

            def watched(closure, step=step, optimizer=optimizer):
                def keeps():
                    closure()  # Lightning's: backward is done, and the hooks before a step are called
                    self.after.append(norm(optimizer))

                return step(keeps)

            optimizer.step = watched

    def on_before_optimizer_step(self, trainer, pl_module, optimizer):
        self.before.append(norm(optimizer))


def norm(optimizer):
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    return torch.cat([parameter.grad.flatten() for parameter in parameters]).norm().item()


@pytest.mark.slow
@pytest.mark.parametrize(("d_every", "g_every"), [(1, 1), (1, 5), (5, 1)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_twenty_iterations_equal_the_plain_algorithm_with_pytorch_s_own_clipping(tmp_path, d_every, g_every, dtype):
    module = gan(*networks(), d_every=d_every, g_every=g_every, seed=3, clip_grad_norm=SHORT)
    plain = {"dtype": dtype, "memory_format": torch.contiguous_format}
    reference = copy.deepcopy(module.generator).to(**plain), copy.deepcopy(module.discriminator).to(**plain)
    unclipped = copy.deepcopy(reference)
    kept = run(tmp_path, module, "64-true" if dtype == torch.float64 else "32-true")
    batches = [to_float(batch, dtype) for batch in kept.batches]
    latents = [sample_latents(3, "d", i, BATCH, LATENTS).to(dtype) for i in range(ITERATIONS)]
    same = {"d_every": d_every, "g_every": g_every, "lr": 2e-4, "betas": (0.5, 0.999)}
    algorithm.train(*reference, batches, latents, **same, clip_grad_norm=SHORT)
    algorithm.train(*unclipped, batches, latents, **same)
    for ours, theirs, free in zip((module.generator, module.discriminator), reference, unclipped, strict=True):
        for (name, value), expected in zip(ours.state_dict().items(), theirs.state_dict().values(), strict=True):
            assert torch.equal(value, expected), name
        assert not all(torch.equal(*pair) for pair in zip(theirs.parameters(), free.parameters(), strict=True))


def test_each_network_s_gradients_are_shortened_by_themselves_in_every_step(tmp_path):
    norms = Norms()
    run(tmp_path, gan(*networks(), clip_grad_norm=SHORT, d_rule=SeparateSteps()), max_steps=4, callbacks=[norms])
    assert len(norms.after) == len(norms.before) == 4 * 3
    assert min(norms.before) > SHORT
    assert norms.after == pytest.approx([SHORT] * 12, rel=1e-4)


def test_shorter_gradients_stay_as_they_are(tmp_path):
    norms = Norms()
    run(tmp_path, gan(*networks(), clip_grad_norm=1e4), max_steps=3, callbacks=[norms])
    assert norms.after == norms.before


def test_off_by_default_and_given_in_the_config():
    assert composed_module().clip_grad_norm is None
    assert composed_module("model.clip_grad_norm=1").clip_grad_norm == 1


@pytest.mark.parametrize("given", [0, -1, float("nan"), float("inf")])
def test_a_norm_that_leaves_nothing_is_refused(given):
    with pytest.raises(Refusal, match=r"model\.clip_grad_norm=.*above 0"):
        gan(*networks(), clip_grad_norm=given)


def test_the_command_line_refuses_before_anything_is_made(command):
    assert_refused(command.tiny("model.clip_grad_norm=0"), "model.clip_grad_norm=0", "model.clip_grad_norm=1")
    assert_refused(command.tiny("model.clip_grad_norm=much"), "model.clip_grad_norm=much", "float")
