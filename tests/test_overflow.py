"""Training in float16 with a scaled loss, on the CPU: what an overflow leaves as it was."""

import copy
import math

import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.plugins.precision import MixedPrecision
from torch import nn

from dcgan_lightning.errors import Refusal
from dcgan_lightning.gan_module import frozen
from dcgan_lightning.noise import sample_latents
from dcgan_lightning.overflow import running_statistics_kept
from dcgan_lightning.schedule import SeparateSteps
from tests.support import Images, gan, some_images, trainer
from tests.test_gan_module import BATCH, LATENTS, networks

SCALE = 2.0**10


def scaled_trainer(folder, max_steps, callbacks=(), scale=SCALE):
    """A trainer in float16 whose scaler is on the CPU, where Lightning would not make one."""
    made = trainer(folder, max_steps, callbacks)
    made.strategy.precision_plugin = MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu", init_scale=scale))
    return made


def data(folder):
    return Images(some_images(64), BATCH, folder / "cache")


class Overflow(Callback):
    """Infinity in the gradients of one network, in one iteration, before they are unscaled; and what came of it."""

    def __init__(self, role, iteration):
        self.role, self.iteration = role, iteration
        self.before, self.after, self.scales = None, None, []

    def on_train_start(self, trainer, pl_module):
        parameter = next(getattr(pl_module, self.role).parameters())
        parameter.register_hook(
            lambda gradient: torch.full_like(gradient, math.inf) if trainer.global_step == self.iteration else None
        )

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        self.scales.append(trainer.precision_plugin.scaler.get_scale())
        if trainer.global_step == self.iteration:
            self.before = copy.deepcopy(state(trainer, pl_module))
            self.batch = batch.clone()

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if trainer.global_step == self.iteration + 1:
            self.after = copy.deepcopy(state(trainer, pl_module))


def state(trainer, module):
    return {
        "generator": module.generator,
        "discriminator": module.discriminator,
        "optimizers": dict(
            zip(("discriminator", "generator"), [o.state_dict() for o in trainer.optimizers], strict=True)
        ),
    }


def flat(optimizer_state):
    return [value for one in optimizer_state["state"].values() for value in one.values()]


def equal(ones, others):
    return all(torch.equal(*pair) for pair in zip(ones, others, strict=True))


@pytest.mark.parametrize("clip", [None, 0.05])
@pytest.mark.parametrize("role", ["discriminator", "generator"])
def test_an_overflow_leaves_out_that_step_alone_and_halves_the_scale_once(tmp_path, role, clip):
    overflow, other = Overflow(role, 3), {"discriminator": "generator", "generator": "discriminator"}[role]
    module = gan(*networks(), seed=3, lr=1e-3, clip_grad_norm=clip)
    scaled_trainer(tmp_path, 6, [overflow]).fit(module, datamodule=data(tmp_path))
    before, after = overflow.before, overflow.after
    assert equal(before[role].parameters(), after[role].parameters())
    assert equal(flat(before["optimizers"][role]), flat(after["optimizers"][role]))
    assert not equal(before[other].parameters(), after[other].parameters())
    assert not equal(module.get_submodule(role).parameters(), after[role].parameters())  # and it goes on
    assert overflow.scales == [SCALE] * 4 + [SCALE / 2] * 2
    assert all(parameter.isfinite().all() for parameter in module.parameters())


def by_hand(network, optimizer_state, loss, scale, clip):
    """One step in float16 as PyTorch's notes on mixed precision have it, with a scaler of its own."""
    adam = torch.optim.Adam(network.parameters(), lr=1e-3, betas=(0.5, 0.999))
    adam.load_state_dict(optimizer_state)
    scaler = torch.amp.GradScaler("cpu", init_scale=scale)
    adam.zero_grad()
    with torch.autocast("cpu", torch.float16, cache_enabled=False):
        value = loss()
    scaler.scale(value).backward()
    scaler.unscale_(adam)
    if clip:
        nn.utils.clip_grad_norm_(network.parameters(), clip)
    scaler.step(adam)
    return adam


@pytest.mark.parametrize("clip", [None, 0.05])
def test_g_s_update_after_an_overflow_of_d_is_the_one_without_d_s_step(tmp_path, clip):
    overflow, module = Overflow("discriminator", 3), gan(*networks(), seed=3, lr=1e-3, clip_grad_norm=clip)
    scaled_trainer(tmp_path, 4, [overflow]).fit(module, datamodule=data(tmp_path))
    generator, discriminator = overflow.before["generator"], overflow.before["discriminator"]
    z = sample_latents(3, "d", 3, BATCH, LATENTS)

    def loss():
        logits = discriminator(generator(z)).float().view(-1)
        return nn.functional.binary_cross_entropy_with_logits(logits, torch.ones(BATCH))

    with frozen(discriminator):
        # D's overflow has halved the scale by then.
        adam = by_hand(generator, overflow.before["optimizers"]["generator"], loss, SCALE / 2, clip)
    assert equal(generator.parameters(), overflow.after["generator"].parameters())
    assert equal(generator.buffers(), overflow.after["generator"].buffers())
    assert equal(flat(adam.state_dict()), flat(overflow.after["optimizers"]["generator"]))


def test_d_s_update_is_the_same_whether_g_overflows_or_not(tmp_path):
    ends = []
    for iteration in (3, 99):
        overflow, module = Overflow("generator", iteration), gan(*networks(), seed=3, lr=1e-3)
        scaled_trainer(tmp_path, 4, [overflow]).fit(module, datamodule=data(tmp_path))
        ends.append(module)
    overflowed, usual = ends
    assert equal(overflowed.discriminator.parameters(), usual.discriminator.parameters())
    assert not equal(overflowed.generator.parameters(), usual.generator.parameters())


def test_of_two_steps_of_d_the_one_that_overflows_is_left_out(tmp_path):
    steps, module = [], gan(*networks(), seed=3, lr=1e-3, d_rule=SeparateSteps())

    class Second(Callback):
        """Infinity in the second of D's gradients in iteration 1."""

        def on_train_start(self, trainer, pl_module):
            self.seen = 0
            next(pl_module.discriminator.parameters()).register_hook(self.spoil)

        def spoil(self, gradient):
            self.seen += 1
            return torch.full_like(gradient, math.inf) if self.seen == 4 else None

        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            state = next(iter(trainer.optimizers[0].state.values()))
            steps.append((int(state["step"]), trainer.precision_plugin.scaler.get_scale()))

    scaled_trainer(tmp_path, 3, [Second()]).fit(module, datamodule=data(tmp_path))
    assert steps == [(2, SCALE), (3, SCALE / 2), (5, SCALE / 2)]


def test_the_scaler_s_state_is_in_the_checkpoint_and_comes_back(tmp_path):
    first = scaled_trainer(tmp_path, 3, [Overflow("discriminator", 1)])
    first.fit(gan(*networks()), datamodule=data(tmp_path))
    first.save_checkpoint(tmp_path / "last.ckpt")
    kept = torch.load(tmp_path / "last.ckpt", weights_only=True)["MixedPrecision"]
    assert kept["scale"] == SCALE / 2
    assert kept["_growth_tracker"] == 1 + 2  # updates since: G's in iteration 1, both in iteration 2

    class First(Callback):
        def on_train_start(self, trainer, pl_module):
            self.found = trainer.precision_plugin.scaler.state_dict()

    found = First()
    second = scaled_trainer(tmp_path, 4, [found], scale=2.0**16)
    second.fit(gan(*networks()), datamodule=data(tmp_path), ckpt_path=tmp_path / "last.ckpt", weights_only=True)
    assert found.found == kept


class InfiniteBatch(Callback):
    """Hands one network infinity in one iteration; keeps the buffers from before it and after it."""

    def __init__(self, role, iteration):
        self.role, self.iteration = role, iteration
        self.buffers = []

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        self.buffers.append(copy.deepcopy(dict(pl_module.named_buffers())))
        if trainer.global_step == self.iteration:
            network = getattr(pl_module, self.role)
            self.hook = network.register_forward_pre_hook(lambda module, args: (args[0] + math.inf,))

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if trainer.global_step == self.iteration + 1:
            self.hook.remove()
            self.losses = outputs
            self.buffers.append(copy.deepcopy(dict(pl_module.named_buffers())))


@pytest.mark.parametrize("role", ["discriminator", "generator"])
def test_an_infinite_batch_leaves_the_running_statistics_and_the_weights_as_they_were(tmp_path, role):
    spoilt, module = InfiniteBatch(role, 2), gan(*networks(), seed=3)
    scaled_trainer(tmp_path, 3, [spoilt]).fit(module, datamodule=data(tmp_path))
    before, after = spoilt.buffers[-2:]
    assert not spoilt.losses["loss_g"].isfinite()
    assert {name.partition(".")[0] for name in before} == {"generator", "discriminator"}
    for name in before:
        # G's infinity reaches D; D's does not reach G.
        kept = role in name or "discriminator" in name
        assert torch.equal(before[name], after[name]) == kept, name
        assert after[name].isfinite().all()


def test_the_usual_iteration_moves_every_statistic(tmp_path):
    usual, module = InfiniteBatch("generator", 99), gan(*networks(), seed=3)
    scaled_trainer(tmp_path, 3, [usual]).fit(module, datamodule=data(tmp_path))
    first, *_, last = usual.buffers
    assert not any(torch.equal(first[name], last[name]) for name in first)


def test_in_other_precisions_the_statistics_show_what_happened(tmp_path):
    spoilt, module = InfiniteBatch("discriminator", 2), gan(*networks(), seed=3)
    trainer(tmp_path, 3, [spoilt]).fit(module, datamodule=data(tmp_path))
    assert not spoilt.buffers[-1]["discriminator.main.3.running_var"].isfinite().all()


def test_layers_are_put_back_as_wholes_and_each_by_itself():
    without = nn.BatchNorm1d(3, track_running_stats=False)
    first, second = nn.BatchNorm1d(2), nn.BatchNorm1d(3, affine=False)
    with running_statistics_kept(nn.Sequential(first, second, without)):
        first.running_mean += 1
        first.running_var[1] = math.nan
        first.num_batches_tracked += 1
        second.running_mean += 1
        second.num_batches_tracked += 1
    assert [buffer.tolist() for buffer in first.buffers()] == [[0, 0], [1, 1], 0]
    assert [buffer.tolist() for buffer in second.buffers()] == [[1, 1, 1], [1, 1, 1], 1]


def test_an_optimizer_that_unscales_within_its_step_cannot_be_clipped(tmp_path):
    module = gan(*networks(), clip_grad_norm=1.0)
    module.make_optimizers = [lambda parameters: torch.optim.Adam(parameters, fused=True)] * 2
    with pytest.raises(Refusal, match=r"model\.clip_grad_norm=1\.0.*fused=true"):
        scaled_trainer(tmp_path, 1).fit(module, datamodule=data(tmp_path))
