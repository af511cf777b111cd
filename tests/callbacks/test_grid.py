import copy

import numpy as np
import torch
from PIL import Image

from dcgan_lightning.callbacks.grid import FixedNoiseGrid
from dcgan_lightning.networks.dcgan import Discriminator, Generator
from dcgan_lightning.noise import sample_latents
from dcgan_lightning.pictures import grid
from dcgan_lightning.sampling import sample_images
from tests.support import Images, gan, some_images, trainer


def train(tmp_path, *callbacks):
    torch.manual_seed(0)
    sizes = {"image_size": 28, "channels": 1, "width": 4}
    module = gan(Generator(**sizes, latent_dim=6), Discriminator(**sizes))
    trainer(tmp_path, 4, callbacks).fit(module, datamodule=Images(some_images(32), 8, tmp_path / "cache"))
    return module


def picture(path):
    return torch.from_numpy(np.array(Image.open(path))).permute(2, 0, 1)


def test_the_picture_shows_what_g_makes_of_the_fixed_latents(tmp_path):
    drawing = FixedNoiseGrid(every=3, n=6, columns=3, seed=9)
    module = train(tmp_path, drawing)
    assert sorted(path.name for path in (tmp_path / "grids").iterdir()) == [
        "iteration_000003.png",
        "iteration_000004.png",
    ]
    latents = sample_latents(9, "grid", 0, 6, 6)
    assert torch.equal(drawing.latents, latents)
    expected = grid(sample_images(module.generator, latents), 3)
    assert torch.equal(picture(tmp_path / "grids" / "iteration_000004.png"), expected)


def test_drawing_changes_nothing_in_training(tmp_path):
    drawn = train(tmp_path / "drawn", FixedNoiseGrid(every=1, n=6, columns=3, seed=9))
    alone = train(tmp_path / "alone")
    assert drawn.generator.training
    for name, value in alone.state_dict().items():
        assert torch.equal(value, drawn.state_dict()[name])


def test_real_images_are_drawn_once(tmp_path):
    train(tmp_path, FixedNoiseGrid(every=2, n=6, columns=3, seed=9))
    data = Images(some_images(32), 8, tmp_path / "cache")
    data.setup()
    assert torch.equal(picture(tmp_path / "real.png"), grid(data.real_images(6), 3))


def test_the_latents_survive_in_the_callbacks_state():
    one, two = (FixedNoiseGrid(every=2, n=6, columns=3, seed=seed) for seed in (1, 2))
    one.latents = sample_latents(1, "grid", 0, 6, 6)
    two.load_state_dict(copy.deepcopy(one.state_dict()))
    assert torch.equal(two.latents, one.latents)
