import hashlib
import os
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import torch

from dcgan_lightning.errors import Refusal
from dcgan_lightning.metrics import digits
from dcgan_lightning.metrics.digits import DigitFeatures
from dcgan_lightning.metrics.train_digits import accuracy, load_mnist, resize, train


@pytest.fixture(scope="module")
def mnist_mini():
    with np.load(files("dcgan_lightning") / "data" / "mnist_mini.npz") as file:
        return torch.from_numpy(file["images"]).unsqueeze(1), torch.from_numpy(file["labels"]).long()


def test_the_weights_file_is_small_and_the_expected_one():
    data = digits.WEIGHTS.read_bytes()
    assert len(data) < 1_000_000
    assert hashlib.sha256(data).hexdigest() == DigitFeatures().weights_sha256


@pytest.mark.parametrize("size", [28, 32])
def test_it_reads_the_shipped_digits(mnist_mini, size):
    images, labels = mnist_mini
    images = images if size == 28 else resize(images, size)
    assert accuracy(DigitFeatures().classifier, images, labels) >= 0.99


def test_probabilities_are_the_softmax_of_logits(mnist_mini):
    images, labels = mnist_mini
    network = DigitFeatures()
    probabilities = network.probabilities(images[:64])  # (64, 10)
    torch.testing.assert_close(probabilities.sum(1), torch.ones(64))
    torch.testing.assert_close(probabilities, network.logits(images[:64]).softmax(1))
    torch.testing.assert_close(network.logits(images[:64]), network.classifier(images[:64]))
    assert (probabilities.argmax(1) == labels[:64]).float().mean() > 0.95


def test_colour_is_said_not_to_be_judged():
    assert DigitFeatures().caveat(1) == ""
    assert "colour" in DigitFeatures().caveat(3)


def test_damaged_or_missing_weights_are_refused(monkeypatch, tmp_path):
    damaged = tmp_path / "digits.safetensors"
    damaged.write_bytes(digits.WEIGHTS.read_bytes()[:-1] + b"x")
    monkeypatch.setattr(digits, "WEIGHTS", damaged)
    with pytest.raises(Refusal, match=f"sha256 should be {digits.WEIGHTS_SHA256}"):
        DigitFeatures()
    monkeypatch.setattr(digits, "WEIGHTS", tmp_path / "none.safetensors")
    with pytest.raises(Refusal, match="missing"):
        DigitFeatures()


def test_training_repeats_bit_for_bit(mnist_mini):
    images, labels = mnist_mini
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        first, second = (train(images[:512], labels[:512], epochs=1, seed=3) for _ in range(2))
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


@pytest.mark.real_data
@pytest.mark.parametrize("size", [None, 32, 64])
def test_it_reads_mnists_test_images(size):
    if "DCGAN_DATA_DIR" not in os.environ:
        pytest.skip("DCGAN_DATA_DIR is not set")
    images, labels = load_mnist(Path(os.environ["DCGAN_DATA_DIR"]), train=False)
    assert accuracy(DigitFeatures().classifier, images if size is None else resize(images, size), labels) >= 0.99
