import hashlib
import shutil
import sys
import zipfile
from types import SimpleNamespace

import pytest
import torch
from PIL import Image
from torchvision import transforms
from torchvision.datasets import CelebA

from dcgan_lightning.data import CelebADataModule
from dcgan_lightning.errors import Refusal
from tests.data.pictures import noise, snapshot


@pytest.fixture
def options(file_options):
    return {**file_options, "image_size": 64}


def write_celeba(folder, count=5, width=89, height=109):
    """Files that have CelebA's names and one of its sizes, and noise in them."""
    folder.mkdir(parents=True)
    for number in range(1, count + 1):
        noise(width, height, number).save(folder / f"{number:06d}.jpg")


def write_zip(path, folder):
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("img_align_celeba/", "")
        for file in sorted(folder.iterdir()):
            archive.write(file, f"img_align_celeba/{file.name}")


def prepared(**options):
    module = CelebADataModule(**options)
    module.prepare_data()
    module.setup("fit")
    return module


def as_in_the_tutorial(paths, side):
    transform = transforms.Compose([transforms.Resize(side), transforms.CenterCrop(side), transforms.PILToTensor()])
    return torch.stack([transform(Image.open(path)) for path in paths])


@pytest.mark.parametrize("side", [64, 33])
def test_pixels_are_the_tutorials(options, tmp_path, side):
    folder = tmp_path / "img_align_celeba"
    write_celeba(folder)
    module = prepared(**{**options, "root": str(folder), "image_size": side})
    assert torch.equal(module.images, as_in_the_tutorial(sorted(folder.iterdir()), side))


def test_every_place_that_the_root_may_be(options, tmp_path):
    source = tmp_path / "original"
    write_celeba(source)
    shutil.copytree(source, tmp_path / "a" / "img_align_celeba")
    shutil.copytree(source, tmp_path / "b" / "celeba" / "img_align_celeba")
    shutil.copytree(source, tmp_path / "c" / "img_align_celeba" / "img_align_celeba")
    write_zip(tmp_path / "d" / "img_align_celeba.zip", source)
    write_zip(tmp_path / "e" / "celeba" / "img_align_celeba.zip", source)
    shutil.copytree(source, tmp_path / "f" / "faces")
    (tmp_path / "g" / "img_align_celeba").mkdir(parents=True)
    write_zip(tmp_path / "g" / "img_align_celeba.zip", source)
    roots = ["a", "a/img_align_celeba", "b", "b/celeba", "b/celeba/img_align_celeba", "c", "c/img_align_celeba", "d"]
    roots += ["d/img_align_celeba.zip", "e", "e/celeba", "f/faces", "g"]
    expected = as_in_the_tutorial(sorted(source.iterdir()), 64)
    for root in roots:
        before = snapshot(tmp_path / root[0])
        assert torch.equal(prepared(**{**options, "root": str(tmp_path / root)}).images, expected), root
        assert snapshot(tmp_path / root[0]) == before


def test_non_square_and_grey(options, tmp_path):
    write_celeba(tmp_path / "img_align_celeba")
    module = prepared(**{**options, "root": str(tmp_path / "img_align_celeba"), "image_size": [64, 48], "channels": 1})
    assert module.images.shape == (5, 1, 64, 48)


def test_the_default_place_is_looked_at(options, tmp_path):
    write_celeba(tmp_path / "cache" / "datasets" / "celeba" / "img_align_celeba")
    assert len(prepared(**options).images) == 5


def test_a_root_that_is_not_there_is_refused(options, tmp_path):
    with pytest.raises(Refusal, match=r"data\.root=.*no such folder"):
        prepared(**{**options, "root": str(tmp_path / "nowhere")})


@pytest.mark.parametrize("inside", ["nothing", "text", "an empty folder"])
def test_a_root_without_images_is_refused(options, tmp_path, inside):
    root = tmp_path / "root"
    root.mkdir()
    if inside == "text":
        (root / "list_attr_celeba.txt").touch()
    elif inside == "an empty folder":
        (root / "img_align_celeba").mkdir()
    with pytest.raises(Refusal, match=r"data\.root=.*no images") as refusal:
        prepared(**{**options, "root": str(root)})
    assert "img_align_celeba" in refusal.value.remedy


def test_a_zip_that_is_none_is_refused(options, tmp_path):
    (tmp_path / "img_align_celeba.zip").write_text("half a download")
    with pytest.raises(Refusal, match=r"data\.root=.*cannot be read: .*not a zip file"):
        prepared(**{**options, "root": str(tmp_path / "img_align_celeba.zip")})


def test_a_damaged_member_is_a_bad_file(options, tmp_path):
    write_celeba(tmp_path / "original")
    path = tmp_path / "img_align_celeba.zip"
    write_zip(path, tmp_path / "original")
    data = bytearray(path.read_bytes())
    data[data.index(b"000003.jpg") + 500] ^= 255
    path.write_bytes(bytes(data))
    with pytest.raises(Refusal, match=r"1 of 5 files cannot be used:\n.*000003\.jpg: Bad CRC"):
        prepared(**{**options, "root": str(path)})


def test_classes_are_refused(options, tmp_path):
    with pytest.raises(Refusal, match=r"data\.digit=8: CelebA has no classes"):
        prepared(**{**options, "digit": 8})


def test_a_size_beyond_the_files_is_refused(options, tmp_path):
    write_celeba(tmp_path / "img_align_celeba")
    with pytest.raises(Refusal, match=r"data\.image_size=128: .*89 wide and 109 high"):
        prepared(**{**options, "root": str(tmp_path / "img_align_celeba"), "image_size": 128})


def refused_download(options):
    with pytest.raises(Refusal) as refusal:
        prepared(**options)
    message = str(refusal.value)
    folder = f"{options['cache_dir']}/datasets/celeba"
    for part in ("data.root=null", folder, "img_align_celeba.zip", "dcgan-lightning[celeba]", "data=mnist_mini"):
        assert part in message
    return message


def test_without_gdown_the_extra_is_named(options, monkeypatch):
    monkeypatch.setitem(sys.modules, "gdown", None)
    assert "gdown" in refused_download(options)


def test_a_failed_download_is_one_refusal(options, monkeypatch):
    def download(**kwargs):
        raise RuntimeError("Too many users have viewed\nor downloaded this file recently.")

    monkeypatch.setitem(sys.modules, "gdown", SimpleNamespace(download=download))
    assert "Too many users have viewed or downloaded this file recently." in refused_download(options)


def test_a_download_is_read_from_the_zip(options, monkeypatch, tmp_path):
    write_celeba(tmp_path / "original")
    write_zip(tmp_path / "server.zip", tmp_path / "original")
    content = (tmp_path / "server.zip").read_bytes()
    calls = []

    def download(id, output, **kwargs):
        calls.append(id)
        with open(output, "wb") as file:
            file.write(content)

    monkeypatch.setitem(sys.modules, "gdown", SimpleNamespace(download=download))
    entry = ("identity", hashlib.md5(content).hexdigest(), "img_align_celeba.zip")
    monkeypatch.setattr(CelebA, "file_list", [entry, *CelebA.file_list[1:]])
    module = prepared(**options)
    assert torch.equal(module.images, as_in_the_tutorial(sorted((tmp_path / "original").iterdir()), 64))
    prepared(**options)
    assert calls == ["identity"]


@pytest.mark.real_data
def test_8000_faces(options, real_data):
    folder = real_data / "celeba" / "img_align_celeba"
    module = prepared(**{**options, "root": str(real_data)})
    assert module.images.shape == (8000, 3, 64, 64)
    expected = as_in_the_tutorial(sorted(folder.iterdir())[::500], 64)
    assert torch.equal(module.images[::500], expected)


@pytest.mark.real_data
def test_faces_at_their_full_size(options, real_data):
    folder = real_data / "celeba_full_size" / "img_align_celeba"
    module = prepared(**{**options, "root": str(folder)})
    assert torch.equal(module.images[::50], as_in_the_tutorial(sorted(folder.iterdir())[::50], 64))
    with pytest.raises(Refusal, match="178 wide and 218 high"):
        prepared(**{**options, "root": str(folder), "image_size": 256})
    assert prepared(**{**options, "root": str(folder), "image_size": 128}).images.shape == (558, 3, 128, 128)
