"""What the tests of the data sets share: options as the command line would give them, and no network."""

import os
import urllib.request
from pathlib import Path
from urllib.error import URLError

import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _no_network(monkeypatch):
    def refuse(*args, **kwargs):
        raise URLError("no network in the tests")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)


@pytest.fixture
def options(tmp_path):
    """Arguments that every data set takes."""
    return {
        "root": None,
        "image_size": 16,
        "channels": 3,
        "batch_size": 4,
        "sampling": "shuffle",
        "drop_last": False,
        "num_workers": 0,
        "cache_dir": str(tmp_path / "cache"),
        "seed": 0,
        "digit": None,
    }


@pytest.fixture
def file_options(options):
    """Arguments of the data sets that are made of files."""
    return {**options, "skip_bad_files": False, "allow_upscale": False}


@pytest.fixture
def real_data():
    """The folder with real images, named by the environment."""
    if "DCGAN_DATA_DIR" not in os.environ:
        pytest.skip("DCGAN_DATA_DIR is not set: there are no real images to read")
    return Path(os.environ["DCGAN_DATA_DIR"])
