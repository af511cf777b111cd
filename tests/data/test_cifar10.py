import pickle

import numpy as np
import pytest
import torch
from torchvision.datasets import CIFAR10

from dcgan_lightning.data import CIFAR10DataModule
from dcgan_lightning.data.cifar10 import NAMES
from dcgan_lightning.errors import Refusal
from tests.data.pictures import snapshot


@pytest.fixture
def options(options):
    return {**options, "image_size": 32, "allow_upscale": False}


@pytest.fixture
def root(tmp_path, monkeypatch):
    """Files in CIFAR-10's format, 20 images in each; their checksums are not the real ones."""
    folder = tmp_path / "data" / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    for number, name in enumerate([*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]):
        pixels = np.random.default_rng(number).integers(0, 256, (20, 3072), dtype=np.uint8)
        (folder / name).write_bytes(pickle.dumps({"data": pixels, "labels": [i % 10 for i in range(20)]}))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": list(NAMES)}))
    monkeypatch.setattr(CIFAR10, "train_list", [[f"data_batch_{i}", None] for i in range(1, 6)])
    monkeypatch.setattr(CIFAR10, "test_list", [["test_batch", None]])
    monkeypatch.setattr(CIFAR10, "meta", {"filename": "batches.meta", "key": "label_names", "md5": None})
    return str(tmp_path / "data")


def prepared(**options):
    module = CIFAR10DataModule(**options)
    module.prepare_data()
    module.setup("fit")
    return module


def test_the_training_images_as_torchvision_has_them(options, root, tmp_path):
    before = snapshot(tmp_path / "data")
    module = prepared(**{**options, "root": root})
    assert module.images.shape == (100, 3, 32, 32)
    assert np.array_equal(module.images.permute(0, 2, 3, 1), CIFAR10(root).data)
    assert snapshot(tmp_path / "data") == before


@pytest.mark.parametrize(("digit", "count"), [(8, 10), ("ship", 10), ([0, "cat"], 20), (None, 100)])
def test_classes(options, root, digit, count):
    assert len(prepared(**{**options, "root": root, "digit": digit}).images) == count


def test_a_class_that_does_not_exist_is_refused(options):
    with pytest.raises(Refusal, match=r"data\.digit=lion: .*0 \(airplane\).*9 \(truck\)"):
        CIFAR10DataModule(**{**options, "digit": "lion"})


def test_smaller_non_square_and_grey(options, root):
    module = prepared(**{**options, "root": root, "image_size": [32, 24], "channels": 1})
    colour = prepared(**{**options, "root": root}).images
    luma = (colour.float() * torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)).sum(1)
    assert module.images.shape == (100, 1, 32, 24)
    assert (module.images[:, 0] - luma[:, :, 4:28]).abs().max() <= 1


def test_a_larger_size_is_refused_unless_asked_for(options, root):
    with pytest.raises(Refusal, match=r"data\.image_size=64: .*32 wide and 32 high"):
        CIFAR10DataModule(**{**options, "image_size": 64})
    module = prepared(**{**options, "root": root, "image_size": 64, "allow_upscale": True})
    assert module.images.shape == (100, 3, 64, 64)


def test_offline_is_one_refusal(options):
    with pytest.raises(Refusal) as refusal:
        prepared(**options)
    folder = f"{options['cache_dir']}/datasets/cifar-10-batches-py"
    for part in ("data.root=null", folder, "data_batch_1", "data=mnist_mini"):
        assert part in str(refusal.value)


def test_files_that_are_not_the_real_ones_are_refused_unread(options, root, monkeypatch):
    monkeypatch.setattr(CIFAR10, "train_list", [["data_batch_1", "0" * 32]])
    with pytest.raises(Refusal, match=r"data\.root=.*corrupted"):
        prepared(**{**options, "root": root})
