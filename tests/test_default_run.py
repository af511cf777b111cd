"""The first command of the README, at full length, and what must come of it."""

import sys

import pytest
import torch

from dcgan_lightning import checkpoints
from dcgan_lightning.generation import latents
from dcgan_lightning.metrics.digits import DigitFeatures
from dcgan_lightning.sampling import sample_images
from tests.support import finished


@pytest.mark.slow
def test_the_default_run_makes_all_ten_digits(tmp_path):
    folder = tmp_path / "run"
    options = [f"hydra.run.dir={folder}", f"data.cache_dir={tmp_path / 'cache'}"]
    done = finished([sys.executable, "train.py", *options], seconds=1200)
    assert done.returncode == 0, done.stderr
    generator = checkpoints.load_generator(checkpoints.find(str(folder), "best.ckpt", "last.ckpt"))
    images = torch.cat([sample_images(generator, z) for z in latents(0, 1000, generator.latent_dim, 250)])
    probabilities = DigitFeatures().probabilities(images)  # (1000, 10)
    shares = probabilities.argmax(dim=1).bincount(minlength=10) / 1000
    assert shares.min() >= 0.03
    assert probabilities.max(dim=1).values.mean() >= 0.85
