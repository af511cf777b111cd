"""GANModule against the plain algorithm, and what it promises besides."""

import copy

import pytest
import torch
from lightning.pytorch import Callback
from safetensors.torch import save_file
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from dcgan_lightning.errors import Refusal
from dcgan_lightning.gan_module import frozen
from dcgan_lightning.images import to_float
from dcgan_lightning.networks import Network
from dcgan_lightning.networks.dcgan import Discriminator, Generator
from dcgan_lightning.noise import sample_latents
from tests.conftest import assert_refused
from tests.reference import algorithm, mlp
from tests.support import Images, composed_module, gan, some_images, trainer

RATIOS = [(1, 1), (1, 5), (5, 1)]
ITERATIONS, BATCH, LATENTS = 20, 8, 16


class Recorder(Callback):
    """Keeps each iteration's batch and scalars."""

    def __init__(self):
        self.batches, self.scalars = [], []

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        self.batches.append(batch.clone())

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.scalars.append({name: value.item() for name, value in outputs.items()})


def networks(dtype=torch.float32):
    torch.manual_seed(0)
    generator = Generator(image_size=28, channels=1, latent_dim=LATENTS, width=8)
    discriminator = Discriminator(image_size=28, channels=1, width=8)
    return generator.to(dtype), discriminator.to(dtype)


def run(tmp_path, module, precision="32-true", max_steps=ITERATIONS, callbacks=()):
    recorder = Recorder()
    data = Images(some_images(64), BATCH, tmp_path / "cache")
    trainer(tmp_path, max_steps, [recorder, *callbacks], precision=precision).fit(module, datamodule=data)
    return recorder


@pytest.mark.parametrize(("d_every", "g_every"), RATIOS)
@pytest.mark.parametrize(
    ("dtype", "channels_last"), [(torch.float64, False), (torch.float64, True), (torch.float32, False)]
)
def test_twenty_iterations_equal_the_plain_algorithm(tmp_path, d_every, g_every, dtype, channels_last):
    module = gan(*networks(), d_every=d_every, g_every=g_every, seed=3, channels_last=channels_last)
    plain = {"dtype": dtype, "memory_format": torch.contiguous_format}
    reference = copy.deepcopy(module.generator).to(**plain), copy.deepcopy(module.discriminator).to(**plain)
    recorder = run(tmp_path, module, "64-true" if dtype == torch.float64 else "32-true")

    batches = [to_float(batch, dtype) for batch in recorder.batches]
    latents = [sample_latents(3, "d", i, BATCH, LATENTS).to(dtype) for i in range(ITERATIONS)]
    history = algorithm.train(*reference, batches, latents, d_every, g_every, lr=2e-4, betas=(0.5, 0.999))

    # In float32 both sum in the same order, so that not a bit may differ.
    bounds = {"rtol": 0, "atol": 1e-6} if dtype == torch.float64 else {"rtol": 0, "atol": 0}
    for ours, theirs in zip((module.generator, module.discriminator), reference, strict=True):
        for (name, value), expected in zip(ours.state_dict().items(), theirs.state_dict().values(), strict=True):
            torch.testing.assert_close(value, expected, **bounds, msg=lambda text, name=name: f"{name}: {text}")
    assert [set(row) for row in recorder.scalars] == [set(row) for row in history]
    for ours, theirs in zip(recorder.scalars, history, strict=True):
        assert ours == pytest.approx(theirs, abs=1e-6)


class Before(Callback):
    """Keeps the weights of both networks from before a given iteration."""

    def __init__(self, iteration):
        self.iteration = iteration

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if trainer.global_step == self.iteration:
            self.g = copy.deepcopy(dict(pl_module.generator.named_parameters()))
            self.d = copy.deepcopy(dict(pl_module.discriminator.named_parameters()))


def same(network, before):
    return all(torch.equal(parameter, before[name]) for name, parameter in network.named_parameters())


def test_an_update_of_d_leaves_g_bit_identical(tmp_path):
    module, before = gan(*networks(), g_every=5), Before(iteration=6)
    run(tmp_path, module, max_steps=10, callbacks=[before])  # iterations 6 to 9 update D alone
    assert same(module.generator, before.g)
    assert not same(module.discriminator, before.d)


def test_an_update_of_g_leaves_d_bit_identical(tmp_path):
    module, before = gan(*networks(), d_every=5), Before(iteration=6)
    run(tmp_path, module, max_steps=10, callbacks=[before])
    assert same(module.discriminator, before.d)
    assert not same(module.generator, before.g)


def test_d_gets_no_gradients_in_g_s_update_and_is_thawed_after_an_exception():
    generator, discriminator = networks()
    discriminator.main[0].weight.requires_grad_(False)  # frozen by its owner, to be left so
    with pytest.raises(RuntimeError, match="passing"), frozen(discriminator):  # noqa: PT012
        discriminator(generator(torch.randn(4, LATENTS))).sum().backward()
        assert all(parameter.grad is None for parameter in discriminator.parameters())
        assert all(parameter.grad is not None for parameter in generator.parameters())
        raise RuntimeError("passing")
    assert [parameter.requires_grad for parameter in discriminator.parameters()] == [False, True, True, True, True]


class CountingGenerator(Network):
    """A minimal G that counts its forward passes."""

    def __init__(self, latent_dim):
        super().__init__(latent_dim=latent_dim)
        self.latent_dim, self.calls = latent_dim, 0
        self.linear = nn.Linear(latent_dim, 28 * 28)

    def forward(self, z):
        self.calls += 1
        return self.linear(z).tanh().view(-1, 1, 28, 28)


@pytest.mark.parametrize(("d_every", "g_every"), RATIOS)
def test_shared_latents_pass_through_g_once_an_iteration(tmp_path, d_every, g_every):
    generator = CountingGenerator(LATENTS)
    run(tmp_path, gan(generator, networks()[1], d_every=d_every, g_every=g_every))
    assert generator.calls == ITERATIONS


@pytest.mark.parametrize(("d_every", "g_every"), [(2, 3), (0, 1), (1, -1), (1, 1.5), (True, 1)])
def test_ratios_that_train_nothing_in_some_iterations_are_refused(d_every, g_every):
    with pytest.raises(Refusal, match=r"model\.[dg]_every"):
        gan(*networks(), d_every=d_every, g_every=g_every)


@pytest.mark.parametrize(
    ("lr", "betas", "option"), [(0, (0.5, 0.999), "lr"), (-1, (0.5, 0.999), "lr"), (1, (2, 1), "optimizer")]
)
def test_bad_optimizer_settings_are_refused_before_a_run(lr, betas, option):
    with pytest.raises(Refusal, match=option):
        gan(*networks(), lr=lr, betas=betas)


def test_lr_sets_both_optimizers_and_each_can_differ():
    both = composed_module("model.lr=1e-3").configure_optimizers()
    assert [optimizer.defaults["lr"] for optimizer in both] == [1e-3, 1e-3]
    apart = composed_module("model.lr=1e-3", "model.optimizer_d.lr=1e-5", "model.optimizer_g.betas=[0.9,0.99]")
    d, g = apart.configure_optimizers()
    assert (d.defaults["lr"], *d.defaults["betas"]) == (1e-5, 0.5, 0.999)
    assert (g.defaults["lr"], *g.defaults["betas"]) == (1e-3, 0.9, 0.99)


class HostReads(TorchDispatchMode):
    """Counts what makes the host wait for a tensor's value, as ``item()`` and ``if tensor`` do."""

    def __init__(self, allowed):
        super().__init__()
        self.allowed, self.count = allowed, 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        reads = function in (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.nonzero.default)
        self.count += reads and all(args[0] is not tensor for tensor in self.allowed())
        return function(*args, **(kwargs or {}))


def test_a_step_never_waits_for_the_device(tmp_path, monkeypatch):
    module, counts = gan(*networks()), []
    step = module.training_step

    def step_counters():  # Adam keeps and reads these on the CPU, whatever the device
        return [state["step"] for optimizer in module.optimizers() for state in optimizer.state.values()]

    def watched(images, batch_idx):
        with HostReads(allowed=step_counters) as reads:
            scalars = step(images, batch_idx)
        counts.append(reads.count)
        return scalars

    monkeypatch.setattr(module, "training_step", watched)
    run(tmp_path, module, max_steps=4)
    assert counts == [0, 0, 0, 0]


def test_the_watch_on_host_reads_sees_them():
    with HostReads(allowed=list) as reads:
        torch.ones(1).item()
        bool(torch.ones(1) > 0)
    assert reads.count == 2


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_training_starts_from_anybody_s_weights(tmp_path, suffix):
    torch.manual_seed(1)
    theirs = mlp.NetG(nz=5, hidden=4), mlp.NetD(hidden=6)
    files = [tmp_path / f"{name}{suffix}" for name in ("g", "d")]
    for network, file in zip(theirs, files, strict=True):
        (torch.save if suffix == ".pth" else save_file)(network.state_dict(), file)
    sizes = ["data.image_size=28", "model.generator.latent_dim=5", "model.generator.width=4"]
    given = [f"model.generator_weights={files[0]}", f"model.discriminator_weights={files[1]}"]
    module = composed_module("model=mlp", *sizes, "model.discriminator.width=6", *given)
    for network, expected in zip((module.generator, module.discriminator), theirs, strict=True):
        for name, value in network.state_dict().items():
            assert torch.equal(value, expected.state_dict()[name])


def test_weights_of_other_networks_are_refused_by_key_and_shape(tmp_path, command):
    file = tmp_path / "d.pth"
    torch.save(mlp.NetD(hidden=6).state_dict(), file)
    run = command("train", "model=mlp", "data.image_size=28", f"model.discriminator_weights={file}")
    assert_refused(run, f"model.discriminator_weights={file}", "model.0.weight is (6, 784) in the file and (512, 784)")


@pytest.mark.parametrize(("model", "given"), [("dcgan", "false"), ("mlp", "false"), ("anime", "false")])
def test_networks_that_always_have_batch_norm_refuse_to_be_without(command, model, given):
    run = command("train", f"model={model}", "data.image_size=96", f"model.batch_norm={given}")
    assert_refused(run, f"model.batch_norm={given}", "these networks have BatchNorm", "model.batch_norm=true")


@pytest.mark.parametrize("batch_norm", [True, False])
def test_the_guide_s_networks_leave_the_choice(batch_norm):
    module = composed_module("model=guide", "data.image_size=28", f"model.batch_norm={str(batch_norm).lower()}")
    layers = [m for m in module.modules() if isinstance(m, nn.BatchNorm2d)]
    assert len(layers) == (4 if batch_norm else 0)
    assert all((layer.eps, layer.momentum) == (1e-3, 0.01) for layer in layers)
