"""The command line on real images, for a few iterations."""

import os
from pathlib import Path

import pytest

from tests.test_train import rows

pytestmark = [
    pytest.mark.real_data,
    pytest.mark.skipif("DCGAN_DATA_DIR" not in os.environ, reason="DCGAN_DATA_DIR names no folder of real images"),
]


@pytest.mark.parametrize(
    ("data", "root", "metrics", "model", "images"),
    [
        ("celeba", "celeba", "fid_random", "dcgan", "8,000 of 3x64x64"),
        ("celeba", "celeba_full_size/img_align_celeba", "none", "dcgan", "558 of 3x64x64"),
        ("mnist", "", "fid_digits", "dcgan_small", "60,000 of 1x32x32"),
        ("image_folder", "anime", "none", "dcgan_small", "12,000 of 3x64x64"),
    ],
)
def test_real_images_train(command, tmp_path, data, root, metrics, model, images):
    root = Path(os.environ["DCGAN_DATA_DIR"]).resolve() / root
    options = (f"data={data}", f"data.root={root}", f"metrics={metrics}", f"model={model}")
    sizes = ("callbacks.fid.num_samples=500", f"data.cache_dir={tmp_path / 'cache'}", "trainer.accelerator=cpu")
    run = command("train", *options, *sizes, "trainer.max_steps=3")
    assert run.code == 0
    assert images in run.out
    assert len(rows(run.folder / "metrics.csv")) == 3
    assert (run.folder / "fid.csv").exists() == (metrics != "none")
