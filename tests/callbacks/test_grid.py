import copy

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from dcgan_lightning.callbacks.grid import SampleGrid
from dcgan_lightning.errors import Refusal
from dcgan_lightning.networks.dcgan import Discriminator, Generator
from dcgan_lightning.noise import sample_latents
from dcgan_lightning.pictures import grid
from dcgan_lightning.sampling import sample_images
from dcgan_lightning.schedule import FreshLatents
from tests.conftest import assert_refused
from tests.support import Images, gan, some_images, trainer

BATCHES = 4  # in an epoch


def drawing(**options):
    defaults = {"every": None, "every_epochs": None, "latents": "fixed", "n": 6, "columns": 3, "seed": 9}
    return SampleGrid(**(defaults | {"dark_on_white": False, "save_generator": False} | options))


def train(tmp_path, *callbacks, iterations=4, g_every=1, latents=None):
    torch.manual_seed(0)
    sizes = {"image_size": 28, "channels": 1, "width": 4}
    module = gan(Generator(**sizes, latent_dim=6), Discriminator(**sizes), g_every=g_every, latents=latents)
    data = Images(some_images(8 * BATCHES), 8, tmp_path / "cache")
    trainer(tmp_path, iterations, callbacks).fit(module, datamodule=data)
    return module


def picture(path):
    return torch.from_numpy(np.array(Image.open(path))).permute(2, 0, 1)


def drawn(tmp_path):
    return [int(path.stem.removeprefix("iteration_")) for path in sorted((tmp_path / "grids").glob("*.png"))]


def test_the_picture_shows_what_g_makes_of_the_fixed_latents(tmp_path):
    callback = drawing(every=3)
    module = train(tmp_path, callback)
    assert sorted(path.name for path in (tmp_path / "grids").iterdir()) == [
        "iteration_000003.png",
        "iteration_000004.png",
    ]
    latents = sample_latents(9, "grid", 0, 6, 6)
    assert torch.equal(callback.fixed, latents)
    expected = grid(sample_images(module.generator, latents), 3)
    assert torch.equal(picture(tmp_path / "grids" / "iteration_000004.png"), expected)


def test_fresh_latents_are_others_for_each_picture_and_the_same_in_each_run(tmp_path):
    module = train(tmp_path, drawing(every=3, latents="fresh", save_generator=True))
    seen = []
    for iteration in (3, 4):
        stem = tmp_path / "grids" / f"iteration_{iteration:06d}"
        seen.append(sample_latents(9, "grid_fresh", iteration, 6, 6))
        module.generator.load_state_dict(load_file(stem.with_suffix(".safetensors")))
        assert torch.equal(picture(stem.with_suffix(".png")), grid(sample_images(module.generator, seen[-1]), 3))
    assert not torch.isin(*seen).any()


def test_batch_shows_what_g_now_makes_of_the_latents_of_its_newest_update(tmp_path):
    module = train(tmp_path, drawing(every=5, latents="batch"), iterations=5, g_every=3)
    latents = sample_latents(0, "d", 3, 8, 6)[:6]  # shared ones; G was updated in iterations 0 and 3
    expected = grid(sample_images(module.generator, latents), 3)
    assert torch.equal(picture(tmp_path / "grids" / "iteration_000005.png"), expected)


def test_batch_shows_fresh_latents_too_and_not_more_than_there_were(tmp_path):
    callback, rules = drawing(every=5, latents="batch", n=30, columns=5), FreshLatents(g_per_image=2)
    module = train(tmp_path, callback, iterations=5, latents=rules)
    latents = sample_latents(0, "g", 4, 16, 6)  # of 8 images
    expected = grid(sample_images(module.generator, latents), 5)
    assert torch.equal(picture(tmp_path / "grids" / "iteration_000005.png"), expected)


def test_pictures_at_the_ends_of_epochs_of_the_first_and_at_the_end(tmp_path):
    train(tmp_path, drawing(every_epochs=2), iterations=5 * BATCHES - 1)
    assert drawn(tmp_path) == [BATCHES, 2 * BATCHES, 4 * BATCHES, 5 * BATCHES - 1]


def test_dark_on_white_is_the_negative(tmp_path):
    for name, dark_on_white in (("bright", False), ("dark", True)):
        train(tmp_path / name, drawing(every=4, dark_on_white=dark_on_white))
    for name in ("real.png", "grids/iteration_000004.png"):
        assert torch.equal(picture(tmp_path / "dark" / name), 255 - picture(tmp_path / "bright" / name))
    assert (picture(tmp_path / "dark" / "real.png")[:, :2] == 255).all()  # the frame


@pytest.mark.parametrize("latents", ["fixed", "fresh", "batch"])
def test_drawing_changes_nothing_in_training(tmp_path, latents):
    seen = train(tmp_path / "drawn", drawing(every=1, latents=latents, dark_on_white=True, save_generator=True))
    alone = train(tmp_path / "alone")
    assert seen.generator.training
    for name, value in alone.state_dict().items():
        assert torch.equal(value, seen.state_dict()[name])


def test_real_images_are_drawn_once(tmp_path):
    train(tmp_path, drawing(every=2))
    data = Images(some_images(32), 8, tmp_path / "cache")
    data.setup()
    assert torch.equal(picture(tmp_path / "real.png"), grid(data.real_images(6), 3))


def test_the_latents_survive_in_the_callbacks_state():
    one, two = (drawing(every=2, seed=seed) for seed in (1, 2))
    one.fixed = sample_latents(1, "grid", 0, 6, 6)
    two.load_state_dict(copy.deepcopy(one.state_dict()))
    assert torch.equal(two.fixed, one.fixed)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"every": 5, "every_epochs": 1}, r"callbacks\.grid\.every=5 callbacks\.grid\.every_epochs=1: one of the two"),
        ({}, r"callbacks\.grid\.every=null callbacks\.grid\.every_epochs=null: one of the two"),
        ({"every_epochs": 0}, r"callbacks\.grid\.every_epochs=0"),
        ({"every": 0}, r"callbacks\.grid\.every=0"),
    ],
)
def test_one_rhythm_has_to_be_given(options, words):
    with pytest.raises(Refusal, match=words):
        drawing(**options)


def test_other_latents_are_refused(command):
    assert_refused(command.tiny("callbacks.grid.latents=foo"), "callbacks.grid.latents=foo", "fixed, fresh, batch")
