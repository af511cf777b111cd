from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision import datasets

from dcgan_lightning.data import MNISTDataModule, make_mnist_mini
from dcgan_lightning.data.mnist import FILES, SHIPPED
from dcgan_lightning.errors import Refusal
from tests.data.pictures import snapshot

COUNTS = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]  # of the digits among MNIST's test images


@pytest.fixture
def options(options):
    return {**options, "variant": "mnist_mini", "channels": 1, "image_size": 28}


def write_idx(folder, count=30):
    """Files in MNIST's own format; image i is filled with i and shows the digit i % 10."""
    folder.mkdir(parents=True)
    for part in ("train", "t10k"):
        images = np.repeat(np.arange(count, dtype=np.uint8), 28 * 28)
        labels = np.arange(count, dtype=np.uint8) % 10
        header = np.array([0x803, count, 28, 28], ">i4").tobytes()
        (folder / f"{part}-images-idx3-ubyte").write_bytes(header + images.tobytes())
        header = np.array([0x801, count], ">i4").tobytes()
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(header + labels.tobytes())


def prepared(**options):
    module = MNISTDataModule(**options)
    module.prepare_data()
    module.setup("fit")
    return module


def test_the_shipped_digits(options):
    module = prepared(**options)
    with np.load(SHIPPED) as arrays:
        images, labels = arrays["images"], arrays["labels"]
    assert SHIPPED.stat().st_size < 1.7e6
    assert np.bincount(labels).tolist() == COUNTS
    assert (module.images.shape, module.images.dtype) == ((10000, 1, 28, 28), torch.uint8)
    assert np.array_equal(module.images[:, 0], images)
    assert (images.min(), images.max()) == (0, 255)


@pytest.mark.parametrize("size", [16, 32, [64, 48]])
@pytest.mark.parametrize("channels", [1, 3])
def test_any_size_and_channels(options, size, channels):
    module = prepared(**{**options, "image_size": size, "channels": channels, "digit": 8})
    height, width = [size, size] if isinstance(size, int) else size
    assert module.images.shape == (974, channels, height, width)
    assert torch.equal(module.images[:, 0], module.images[:, -1])


@pytest.mark.parametrize(("digit", "count"), [(8, 974), ([3, 8], 1984), ("8", 974), (None, 10000), (0, 980)])
def test_digits(options, digit, count):
    assert len(prepared(**{**options, "digit": digit}).images) == count


@pytest.mark.parametrize("digit", [10, -1, "eight", [1, 11], []])
def test_a_digit_that_does_not_exist_is_refused(options, digit):
    with pytest.raises(Refusal, match=r"data\.digit=.*allowed are 0, 1, 2, 3, 4, 5, 6, 7, 8, 9"):
        MNISTDataModule(**{**options, "digit": digit})


def test_fingerprints_differ_where_the_images_do(options):
    changes = [{}, {"digit": 8}, {"digit": 3}, {"image_size": 32}, {"image_size": [28, 32]}, {"channels": 3}]
    prints = [prepared(**{**options, **change}).fingerprint for change in changes]
    assert len(set(prints)) == len(prints)
    assert prepared(**{**options, "batch_size": 7, "seed": 3}).fingerprint == prints[0]


def test_a_root_for_the_shipped_digits_is_refused(options, tmp_path):
    with pytest.raises(Refusal, match=r"data\.root=.*ships with the package"):
        MNISTDataModule(**{**options, "root": str(tmp_path / "data")})


def test_an_unknown_variant_is_refused(options):
    with pytest.raises(Refusal, match=r"data\.variant=emnist.*mnist_mini, mnist, fashion_mnist"):
        MNISTDataModule(**{**options, "variant": "emnist"})


@pytest.mark.parametrize(("variant", "folder"), [("mnist", "MNIST"), ("fashion_mnist", "FashionMNIST")])
def test_torchvisions_root_is_read_and_not_written(options, tmp_path, variant, folder):
    write_idx(tmp_path / "data" / folder / "raw")
    before = snapshot(tmp_path / "data")
    module = prepared(**{**options, "variant": variant, "root": str(tmp_path / "data"), "digit": [1, 2]})
    assert module.images[:, 0, 0, 0].tolist() == [1, 2, 11, 12, 21, 22]
    assert snapshot(tmp_path / "data") == before


def test_clothes_have_names(options, tmp_path):
    write_idx(tmp_path / "data" / "FashionMNIST" / "raw")
    options = {**options, "variant": "fashion_mnist", "root": str(tmp_path / "data")}
    assert prepared(**{**options, "digit": "Sneaker"}).images[:, 0, 0, 0].tolist() == [7, 17, 27]


@pytest.mark.parametrize("variant", ["mnist", "fashion_mnist"])
@pytest.mark.parametrize("size", [28, 32])
def test_offline_is_one_refusal_and_leaves_nothing(options, variant, size):
    with pytest.raises(Refusal) as refusal:
        prepared(**{**options, "variant": variant, "image_size": size})
    folder = f"{options['cache_dir']}/datasets/{'MNIST' if variant == 'mnist' else 'FashionMNIST'}/raw"
    for part in ("data.root=null", folder, FILES, "data=mnist_mini", "no network in the tests"):
        assert part in str(refusal.value)
    assert list((MNISTDataModule(**options).cache_dir / "datasets").iterdir()) == []


def test_a_given_root_without_the_files_is_refused(options, tmp_path):
    (tmp_path / "data").mkdir()
    with pytest.raises(Refusal) as refusal:
        prepared(**{**options, "variant": "mnist", "root": str(tmp_path / "data")})
    for part in (f"data.root={tmp_path / 'data'}", "MNIST/raw", FILES, "leave data.root out", "data=mnist_mini"):
        assert part in str(refusal.value)
    assert list((tmp_path / "data").iterdir()) == []


def test_a_missing_root_and_a_file_are_refused(options, tmp_path):
    with pytest.raises(Refusal, match="no such folder"):
        prepared(**{**options, "variant": "mnist", "root": str(tmp_path / "nowhere")})
    (tmp_path / "file").touch()
    with pytest.raises(Refusal, match="is a file"):
        prepared(**{**options, "variant": "mnist", "root": str(tmp_path / "file")})


def test_damaged_files_are_refused(options, tmp_path):
    raw = tmp_path / "data" / "MNIST" / "raw"
    write_idx(raw)
    images = raw / "train-images-idx3-ubyte"
    images.write_bytes(images.read_bytes()[:1000])
    with pytest.raises(Refusal, match=r"data\.root"):
        prepared(**{**options, "variant": "mnist", "root": str(tmp_path / "data")})


def test_a_download_arrives_whole(options, monkeypatch):
    calls = []

    def download(self):
        calls.append(self.root)
        write_idx(Path(self.raw_folder))

    monkeypatch.setattr(datasets.MNIST, "download", download)
    module = prepared(**{**options, "variant": "mnist"})
    place = module.cache_dir / "datasets"
    assert [path.name for path in place.iterdir()] == ["MNIST"]
    assert prepared(**{**options, "variant": "mnist"}).fingerprint == module.fingerprint
    assert len(calls) == 1
    assert calls[0] != str(place)


def test_an_interrupted_download_leaves_nothing(options, monkeypatch):
    def download(self):
        write_idx(Path(self.raw_folder))
        raise KeyboardInterrupt

    monkeypatch.setattr(datasets.MNIST, "download", download)
    module = MNISTDataModule(**{**options, "variant": "mnist"})
    with pytest.raises(KeyboardInterrupt):
        module.prepare_data()
    assert list((module.cache_dir / "datasets").iterdir()) == []


def test_a_cache_that_cannot_be_written_is_refused(options, tmp_path):
    (tmp_path / "cache").touch()
    with pytest.raises(Refusal, match=r"data\.cache_dir"):
        prepared(**{**options, "variant": "mnist"})


def test_the_script_makes_the_same_file_every_time(tmp_path):
    write_idx(tmp_path / "raw")
    for name in ("a.npz", "b.npz"):
        make_mnist_mini.make(tmp_path / "raw", tmp_path / name)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    with np.load(tmp_path / "a.npz") as arrays:
        assert {name: (array.shape, str(array.dtype)) for name, array in arrays.items()} == {
            "images": ((30, 28, 28), "uint8"),
            "labels": ((30,), "uint8"),
        }


@pytest.mark.real_data
def test_all_of_mnist(options, real_data):
    before = snapshot(real_data / "MNIST")
    module = prepared(**{**options, "variant": "mnist", "root": str(real_data)})
    expected = datasets.MNIST(real_data, train=True).data
    assert module.images.shape == (60000, 1, 28, 28)
    assert torch.equal(module.images[:, 0], expected)
    assert snapshot(real_data / "MNIST") == before


@pytest.mark.real_data
def test_the_shipped_digits_are_the_test_images(real_data, tmp_path):
    make_mnist_mini.make(real_data / "MNIST" / "raw", tmp_path / "again.npz")
    with np.load(SHIPPED) as shipped, np.load(tmp_path / "again.npz") as again:
        assert all(np.array_equal(shipped[name], again[name]) for name in ("images", "labels"))
