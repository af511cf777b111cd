"""Each experiment against its published system, written out plainly in tests/reference/."""

import functools

import pytest
import torch
from hydra.utils import instantiate
from lightning.pytorch import Callback
from torch import nn

from dcgan_lightning.images import to_float
from dcgan_lightning.noise import sample_latents
from tests.conftest import assert_refused
from tests.reference import algorithm, anime, guide, mlp, tutorial
from tests.support import CONF, Images, composed, some_images, trainer

EXPERIMENTS = sorted(path.stem for path in CONF.glob("experiment/*.yaml"))
NARROW, LATENTS, BATCH, ITERATIONS = 4, 6, 8, 7


def tutorial_loop(net_g, net_d, batches, latents):
    z = [latents("d", i, len(real))[:, :, None, None] for i, real in enumerate(batches)]
    rows = algorithm.train(net_g, net_d, batches, z, 1, 1, lr=0.0002, betas=(0.5, 0.999))
    return [(row["loss_d"], row["loss_g"]) for row in rows]


def of_guide(nz=50, stacked=False, lr=0.0002, beta1=0.5):
    loop = functools.partial(guide.train, stacked=stacked, lr=lr, beta1=beta1)
    return (guide.NetG, guide.NetD, nz, loop, 28, 1, 850_689 if nz == 50 else None, 69_825)


def of_anime(d_every, g_every):
    loop = functools.partial(anime.train, d_every=d_every, g_every=g_every)
    return (anime.NetG, anime.NetD, 100, loop, 96, 3, 3_578_560, 2_767_297)


TUTORIAL = (tutorial.NetG, lambda ndf=64: tutorial.NetD(ndf=ndf), 100, tutorial_loop, 64, 3, 3_576_704, 2_765_568)
# Networks, latents, loop, image size, channels, parameters of G and of D (None: not published).
PUBLISHED = {
    "celeba_cpu": TUTORIAL,
    "dcgan_celeba": TUTORIAL,
    "mlp_gan_mnist": (mlp.NetG, mlp.NetD, 100, mlp.train, 28, 1, 1_510_032, 533_505),
    "dcgan_anime": of_anime(1, 5),
    "anime_ratio_5_1": of_anime(1, 5),
    "anime_ratio_1_1": of_anime(1, 1),
    "anime_ratio_1_5": of_anime(5, 1),
    "anime_ratio_long": of_anime(1, 5),
    "guide_stable": of_guide(),
    "guide_mode_collapse": of_guide(nz=1),
    "guide_stacked_batches": of_guide(stacked=True),
    "guide_aggressive_adam": of_guide(lr=0.001, beta1=0.9),
}


def count(network):
    return sum(parameter.numel() for parameter in network.parameters())


def copied(network, reference):
    """The reference with the network's weights, matched by their order."""
    own = reference.state_dict()
    weights = network.state_dict().values()
    assert [value.shape for value in own.values()] == [value.shape for value in weights]
    reference.load_state_dict(dict(zip(own, weights, strict=True)))
    return reference


class Batches(Callback):
    def __init__(self):
        self.seen, self.losses = [], []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.seen.append(batch.clone())
        self.losses.append(tuple(outputs[key].item() if key in outputs else None for key in ("loss_d", "loss_g")))


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_parameters_are_as_many_as_published(name):
    net_g, net_d, nz, _, size, channels, of_g, of_d = PUBLISHED[name]
    cfg = composed(f"experiment={name}")
    module = instantiate(cfg.model)
    assert (cfg.data.image_size, cfg.data.channels) == (size, channels)
    assert count(module.generator) == count(net_g(nz)) == (of_g or count(net_g(nz)))
    assert count(module.discriminator) == count(net_d()) == of_d


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_the_first_updates_are_those_of_the_published_loop(name, tmp_path):
    net_g, net_d, nz, loop, size, channels, *_ = PUBLISHED[name]
    latents = min(nz, LATENTS)
    narrow = [f"model.{role}.width={NARROW}" for role in ("generator", "discriminator")]
    sizes = [f"model.generator.latent_dim={latents}", "model.channels_last=false"]
    torch.manual_seed(0)
    module = instantiate(composed(f"experiment={name}", *narrow, *sizes).model)
    references = [
        copied(module.generator, net_g(latents, NARROW)).double(),
        copied(module.discriminator, net_d(NARROW)).double(),
    ]
    batches = Batches()
    data = Images(some_images(64, channels, size), BATCH, tmp_path / "cache")
    trainer(tmp_path, ITERATIONS, [batches], precision="64-true").fit(module, datamodule=data)

    def z(stream, iteration, n):
        return sample_latents(module.seed, stream, iteration, n, latents).double()

    losses = loop(*references, [to_float(batch, torch.float64) for batch in batches.seen], z)
    for ours, theirs in zip(batches.losses, losses, strict=True):
        assert [loss is None for loss in ours] == [loss is None for loss in theirs]
        assert [loss or 0 for loss in ours] == pytest.approx([loss or 0 for loss in theirs], abs=1e-6)
    for network, reference in zip((module.generator, module.discriminator), references, strict=True):
        for value, expected in zip(network.state_dict().values(), reference.state_dict().values(), strict=True):
            torch.testing.assert_close(value, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("name", "reference"), [("mlp_gan_mnist", mlp), ("dcgan_anime", anime)])
def test_weights_begin_as_pytorch_draws_them(name, reference):
    torch.manual_seed(3)
    module = instantiate(composed(f"experiment={name}").model)
    torch.manual_seed(3)
    for network, expected in ((module.generator, reference.NetG()), (module.discriminator, reference.NetD())):
        assert list(network.state_dict()) == list(expected.state_dict())  # each author's own keys
        for value, drawn in zip(network.state_dict().values(), expected.state_dict().values(), strict=True):
            assert torch.equal(value, drawn)


def test_the_guide_s_weights_begin_as_keras_draws_them():
    torch.manual_seed(0)
    module = instantiate(composed("experiment=guide_stable").model)
    layers = [m for m in module.modules() if isinstance(m, nn.Linear | nn.Conv2d | nn.ConvTranspose2d)]
    (last,) = [m for m in layers if isinstance(m, nn.Linear) and m.out_features == 1]
    assert len(layers) == 7
    assert all((layer.bias == 0).all() for layer in layers)
    normal = torch.cat([layer.weight.flatten() for layer in layers if layer is not last])
    error = 4 * 0.02 / len(normal) ** 0.5  # four standard errors
    assert abs(normal.mean()) < error
    assert abs(normal.std() - 0.02) < error
    bound = (6 / (last.in_features + 1)) ** 0.5  # Glorot's uniform
    assert last.weight.abs().max() <= bound
    assert last.weight.abs().max() > 0.99 * bound
    assert abs(last.weight.std() - bound / 3**0.5) < 0.05 * bound


@pytest.mark.slow
@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_trains_two_iterations_on_the_shipped_digits(name, command):
    cfg = composed(f"experiment={name}")
    images = [f"data.{option}={cfg.data[option]}" for option in ("image_size", "channels", "sampling", "drop_last")]
    narrow = [f"model.{role}.width={NARROW}" for role in ("generator", "discriminator")]
    short = ("trainer.max_steps=2", "data.batch_size=8", "data.digit=8", "metrics=none", "trainer.accelerator=cpu")
    run = command("train", f"experiment={name}", "data=mnist_mini", *images, *narrow, *short)
    assert run.code == 0, run.err
    assert len((run.folder / "metrics.csv").read_text().splitlines()) == 3
    assert (run.folder / "grids" / "iteration_000002.png").is_file()


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_model_lr_reaches_both_optimizers_in_every_experiment(name):
    module = instantiate(composed(f"experiment={name}", "model.lr=1e-5").model)
    assert [optimizer.defaults["lr"] for optimizer in module.configure_optimizers()] == [1e-5, 1e-5]


def test_a_batch_of_one_image_is_refused_where_batch_norm_needs_two(command):
    small = ("experiment=mlp_gan_mnist", "data=mnist_mini", "data.digit=8", "data.batch_size=139")  # 974 = 7 * 139 + 1
    run = command("train", *small, "metrics=none", "trainer.accelerator=cpu")
    assert_refused(run, "data.batch_size", "one image for the last batch", "data.drop_last=true")


@pytest.mark.slow
def test_the_four_ratios_in_one_command_end_in_a_table_and_a_figure(command):
    ratios = "experiment=anime_ratio_5_1,anime_ratio_1_1,anime_ratio_1_5,anime_ratio_long"
    images = ("data=mnist_mini", "data.channels=3", "data.batch_size=8", "data.digit=8")
    narrow = [f"model.{role}.width={NARROW}" for role in ("generator", "discriminator")]
    shown = ("callbacks.grid.n=4", "callbacks.grid.every_epochs=1", "callbacks.figures=null", "metrics=none")
    short = ("trainer.fraction=0.0001", "trainer.accelerator=cpu")  # of 200 * 121 and 1,400 * 121 iterations
    run = command("train", "-m", ratios, *images, *narrow, *shown, *short)
    assert run.code == 0, run.err
    rows = [(folder / "metrics.csv").read_text().splitlines()[1:] for folder in run.folders]
    assert sorted((int(r[0].partition(",")[0]), len(r)) for r in rows) == [(0, 2), (0, 2), (0, 2), (0, 17)]
    (sweep,) = (run.cwd / "outputs" / "sweeps").iterdir()
    table = (sweep / "table.csv").read_text()
    assert all(f"anime_ratio_{name}" in table for name in ("5_1", "1_1", "1_5", "long"))
    assert (sweep / "figure.png").is_file()
