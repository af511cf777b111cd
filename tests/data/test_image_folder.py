import os

import numpy as np
import pytest
import torch
from PIL import Image

from dcgan_lightning.data import ImageFolderDataModule
from dcgan_lightning.data.cache import ImageCache
from dcgan_lightning.data.decode import decode
from dcgan_lightning.errors import Refusal
from tests.data.pictures import encoded, noise, snapshot, write_images


@pytest.fixture
def options(file_options, tmp_path):
    return {**file_options, "root": str(tmp_path / "images")}


@pytest.fixture
def folder(tmp_path):
    write_images(tmp_path / "images", 12)
    return tmp_path / "images"


@pytest.fixture
def builds(monkeypatch):
    """Counts how often the cache is built."""
    calls = []
    build = ImageCache.build
    monkeypatch.setattr(ImageCache, "build", lambda self, *args: calls.append(args[0]) or build(self, *args))
    return calls


def prepared(**options):
    module = ImageFolderDataModule(**options)
    module.prepare_data()
    module.setup("fit")
    return module


def test_a_flat_folder(options, folder):
    before = snapshot(folder)
    module = prepared(**options)
    expected = [decode(path.read_bytes(), 16, 16, 3)[0] for path in sorted(folder.iterdir())]
    assert module.images.dtype == torch.uint8
    assert np.array_equal(module.images, expected)
    assert snapshot(folder) == before
    batches = list(module.train_dataloader())
    assert [batch.shape for batch in batches] == [(4, 3, 16, 16)] * 3
    assert torch.equal(torch.cat(batches).sum(0), module.images.sum(0))


@pytest.mark.parametrize("channels", [1, 3])
def test_all_kinds_of_files_in_one_folder(options, tmp_path, channels):
    folder = tmp_path / "images"
    folder.mkdir()
    image = Image.new("RGB", (40, 30), (200, 0, 0))
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(folder / "a.JPG", exif=exif)
    image.convert("P").save(folder / "b.png")
    image.convert("L").save(folder / "c.Bmp")
    image.convert("RGBA").save(folder / "d.WEBP", lossless=True)
    image.save(folder / "e.jpeg")
    (folder / "._a.JPG").write_bytes(b"resource fork")
    (folder / ".DS_Store").write_bytes(b"")
    (folder / "readme.txt").write_text("text")
    module = prepared(**{**options, "channels": channels, "image_size": [24, 12]})
    assert module.images.shape == (5, channels, 24, 12)
    colours = module.images.float().mean((2, 3))  # (5, channels); a palette knows only some reds
    red, grey = [[60.0], [60.0]] if channels == 1 else [[200.0, 0.0, 0.0], [60.0, 60.0, 60.0]]
    assert torch.allclose(colours, torch.tensor([red, red, grey, red, red]), atol=5)


def test_non_square(options, folder):
    assert prepared(**{**options, "image_size": [16, 12]}).images.shape == (12, 3, 16, 12)


def class_folders(folder):
    for number, name in enumerate(["dog", "cat", "bird"]):
        write_images(folder / name / "deeper", number + 1, first=10 * number)
    return folder


@pytest.mark.parametrize(
    ("digit", "count"), [(None, 6), (0, 3), (2, 1), ("cat", 2), (["dog", "bird"], 4), ([0, "cat"], 5)]
)
def test_class_folders(options, tmp_path, digit, count):
    class_folders(tmp_path / "images")
    assert len(prepared(**{**options, "digit": digit}).images) == count


def test_classes_that_do_not_exist(options, folder):
    with pytest.raises(Refusal, match=r"data\.digit=1: .*no classes"):
        prepared(**{**options, "digit": 1})
    class_folders(folder)
    with pytest.raises(Refusal, match=r"data\.digit=cow: .*0 \(bird\), 1 \(cat\), 2 \(dog\)"):
        prepared(**{**options, "digit": "cow"})


def test_what_is_no_folder_of_images_is_refused(options, tmp_path):
    with pytest.raises(Refusal, match=r"data\.root=null"):
        prepared(**{**options, "root": None})
    with pytest.raises(Refusal, match=r"data\.root=.*no such folder"):
        prepared(**options)
    (tmp_path / "images").mkdir()
    with pytest.raises(Refusal, match=r"data\.root=.*no image files in it"):
        prepared(**options)
    (tmp_path / "images" / "notes.txt").write_text("text")
    with pytest.raises(Refusal, match=r"data\.root=.*no image files in it"):
        prepared(**options)
    with pytest.raises(Refusal, match=r"data\.root=.*is a file"):
        prepared(**{**options, "root": str(tmp_path / "images" / "notes.txt")})


def spoil(folder):
    """Replace a third of the files by the ways in which files go bad."""
    paths = sorted(folder.iterdir())
    paths[0].write_bytes(b"")
    paths[3].write_text("text")
    paths[6].write_bytes(paths[6].read_bytes()[:300])
    (folder / "gone.png").symlink_to(folder / "nowhere.png")
    return [paths[0].name, paths[3].name, paths[6].name, "gone.png"]


def test_bad_files_are_refused_in_one_list(options, folder):
    bad = spoil(folder)
    with pytest.raises(Refusal, match="4 of 13 files cannot be used") as refusal:
        prepared(**options)
    assert refusal.value.option == "data.skip_bad_files"
    assert all(f"    {name}: " in str(refusal.value) for name in bad)
    assert "data.skip_bad_files=true" in refusal.value.remedy


def test_bad_files_are_skipped_when_asked_and_said(options, folder, capsys, builds):
    bad = spoil(folder)
    good = [path for path in sorted(folder.iterdir()) if path.name not in bad]
    with pytest.raises(Refusal):
        prepared(**options)
    module = prepared(**{**options, "skip_bad_files": True})
    assert np.array_equal(module.images, [decode(path.read_bytes(), 16, 16, 3)[0] for path in good])
    assert len(builds) == 1
    said = capsys.readouterr().err
    assert said.count("4 of 13 files cannot be used") == 1
    assert "gone.png: No such file or directory" in said


def test_a_long_list_of_bad_files_is_cut(options, folder):
    for number in range(25):
        (folder / f"bad{number:02d}.png").write_text("text")
    with pytest.raises(Refusal, match="25 of 37") as refusal:
        prepared(**options)
    assert str(refusal.value).count("not a JPEG") == 20
    assert "... and 5 more" in str(refusal.value)


def test_nothing_but_bad_files_is_refused_whatever_is_asked(options, tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.png").write_text("text")
    with pytest.raises(Refusal, match=r"data\.root=.*1 of 1 files cannot be used"):
        prepared(**{**options, "skip_bad_files": True})


def test_names_that_are_not_utf8(options, folder):
    with open(os.fsencode(folder) + b"/\xff\xfe.png", "wb") as file:
        file.write(b"text")
    with pytest.raises(Refusal, match="1 of 13") as refusal:
        prepared(**options)
    assert str(refusal.value).encode()
    assert len(prepared(**{**options, "skip_bad_files": True}).images) == 12


def test_the_cache_is_built_once(options, folder, builds):
    first = prepared(**options)
    first.prepare_data()
    again = prepared(**{**options, "batch_size": 2, "seed": 5})
    assert len(builds) == 1
    assert again.fingerprint == first.fingerprint
    assert torch.equal(again.images, first.images)


@pytest.mark.parametrize("change", ["content", "added", "removed", "renamed", "touched"])
def test_the_cache_is_built_anew_when_a_file_changes(options, folder, builds, change):
    first = prepared(**options)
    path = folder / "000003.png"
    if change == "content":
        noise(20, 20, 99).save(path)
    elif change == "added":
        write_images(folder, 1, first=50)
    elif change == "removed":
        path.unlink()
    elif change == "renamed":
        path.rename(folder / "zzz.png")
    else:
        os.utime(path, ns=(1, 1))
    again = prepared(**options)
    assert len(builds) == 2
    assert again.fingerprint != first.fingerprint
    expected = [decode(path.read_bytes(), 16, 16, 3)[0] for path in sorted(folder.iterdir())]
    assert np.array_equal(again.images, expected)


@pytest.mark.parametrize("change", [{"image_size": 12}, {"image_size": [16, 12]}, {"channels": 1}])
def test_another_size_is_another_cache(options, folder, builds, change):
    assert prepared(**options).fingerprint != prepared(**{**options, **change}).fingerprint
    assert len(builds) == 2


def test_two_folders_with_the_same_listing_do_not_share_a_cache(options, tmp_path):
    for number, name in enumerate(["one", "two"]):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.bmp").write_bytes(encoded(noise(16, 16, number), "BMP"))
        os.utime(tmp_path / name / "a.bmp", ns=(0, 0))
    one, two = (prepared(**{**options, "root": str(tmp_path / name)}) for name in ("one", "two"))
    assert one.fingerprint != two.fingerprint
    assert not torch.equal(one.images, two.images)


def test_a_file_that_becomes_readable_is_taken_up(options, folder, monkeypatch):
    read, locked = type(prepared(**options).find_source()).read, True

    def read_unless_locked(self, name):
        if locked and name == "000003.png":
            raise PermissionError(13, "Permission denied")
        return read(self, name)

    monkeypatch.setattr("dcgan_lightning.data.sources.Folder.read", read_unless_locked)
    options = {**options, "image_size": 12}
    with pytest.raises(Refusal, match=r"000003\.png: Permission denied"):
        prepared(**options)
    locked = False
    assert len(prepared(**options).images) == 12


def test_a_size_that_no_image_reaches_is_refused(options, folder, builds):
    noise(30, 18).save(folder / "wide.png")
    options = {**options, "image_size": 21}
    with pytest.raises(Refusal, match=r"data\.image_size=21: .*largest is 20 wide and 20 high") as refusal:
        prepared(**options)
    assert builds == []
    assert "data.image_size=20 or smaller, or data.allow_upscale=true" in refusal.value.remedy
    assert prepared(**{**options, "allow_upscale": True}).images.shape == (13, 3, 21, 21)
    with pytest.raises(Refusal, match=r"data\.image_size=21"):
        prepared(**options)


def test_images_that_are_enlarged_are_counted(options, folder, capsys):
    noise(40, 40).save(folder / "large.png")
    prepared(**{**options, "image_size": 32})
    assert "12 of 13 images are enlarged to 32x32" in capsys.readouterr().err


@pytest.mark.real_data
def test_anime_faces(options, real_data):
    root = real_data / "anime"
    module = prepared(**{**options, "root": str(root), "image_size": 64})
    paths = sorted((root / "faces").iterdir())
    assert module.images.shape == (12000, 3, 64, 64)
    for number in range(0, 12000, 1000):
        image = Image.open(paths[number]).convert("RGB").resize((64, 64), Image.Resampling.BILINEAR)
        assert np.array_equal(module.images[number].permute(1, 2, 0), image)
