import json
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from dcgan_lightning.data import cache
from dcgan_lightning.data.cache import ImageCache, Recipe, decode_chunk
from dcgan_lightning.data.sources import Folder
from dcgan_lightning.errors import Refusal
from tests.data.pictures import write_images

RECIPE = Recipe(height=8, width=12, channels=3)


@pytest.fixture
def source(tmp_path):
    write_images(tmp_path / "images", 30)
    return Folder(tmp_path / "images")


@pytest.fixture
def image_cache(tmp_path):
    return ImageCache(tmp_path / "cache")


def names_of(source):
    return [entry.name for entry in source.entries()]


def test_what_is_built_is_what_was_decoded(source, image_cache):
    names = names_of(source)
    assert image_cache.load("key", RECIPE) is None
    image_cache.build("key", RECIPE, source, names)
    images, report = image_cache.load("key", RECIPE)
    assert (images.shape, images.dtype) == ((30, 3, 8, 12), torch.uint8)
    assert np.array_equal(images, decode_chunk(source, names, RECIPE)[0])
    assert report.files == names
    assert report.sizes == [[20, 20]] * 30
    assert sorted(path.name for path in image_cache.folder.iterdir()) == ["key.json", "key.npy"]


def test_a_pool_gives_the_same(source, image_cache, monkeypatch):
    names = names_of(source)
    (source.path / names[7]).write_text("no image")
    image_cache.build("alone", RECIPE, source, names)
    monkeypatch.setattr(cache, "WORTH_A_POOL", 1)
    monkeypatch.setattr(cache, "CHUNK", 4)
    image_cache.build("pool", RECIPE, source, names)
    (alone, report), (pool, pool_report) = image_cache.load("alone", RECIPE), image_cache.load("pool", RECIPE)
    assert torch.equal(alone, pool)
    assert report == pool_report
    assert report.bad == [[names[7], "not a JPEG, PNG, WebP or BMP image"]]
    assert len(alone) == 29


def test_the_files_header_tells_the_count_of_good_images(source, image_cache):
    names = names_of(source)
    for name in names[:25]:
        (source.path / name).write_bytes(b"")
    image_cache.build("key", RECIPE, source, names)
    array = np.load(image_cache.folder / "key.npy")
    assert np.array_equal(array, decode_chunk(source, names[25:], RECIPE)[0])


def test_writing_to_the_images_leaves_the_cache_alone(source, image_cache):
    image_cache.build("key", RECIPE, source, names_of(source))
    images, _ = image_cache.load("key", RECIPE)
    before = images.clone()
    images.zero_()
    assert torch.equal(image_cache.load("key", RECIPE)[0], before)


@pytest.mark.parametrize("harm", ["array cut", "array gone", "array of another shape", "listing cut", "listing gone"])
def test_what_is_not_whole_is_not_used(source, image_cache, harm):
    image_cache.build("key", RECIPE, source, names_of(source))
    array, listing = image_cache.folder / "key.npy", image_cache.folder / "key.json"
    if harm == "array cut":
        array.write_bytes(array.read_bytes()[:-1])
    elif harm == "array gone":
        array.unlink()
    elif harm == "array of another shape":
        np.save(array, np.zeros((29, 3, 8, 12), np.uint8))
    elif harm == "listing cut":
        listing.write_text(listing.read_text()[:-20])
    else:
        listing.unlink()
    assert image_cache.load("key", RECIPE) is None
    image_cache.build("key", RECIPE, source, names_of(source))
    assert len(image_cache.load("key", RECIPE)[0]) == 30


def test_an_interruption_leaves_nothing(source, image_cache, monkeypatch):
    def interrupted(source, names, recipe):
        yield decode_chunk(source, names[:10], recipe)
        raise KeyboardInterrupt

    monkeypatch.setattr(cache, "_decoded", interrupted)
    with pytest.raises(KeyboardInterrupt):
        image_cache.build("key", RECIPE, source, names_of(source))
    assert list(image_cache.folder.iterdir()) == []


def build(image_cache, source):
    image_cache.build("key", RECIPE, source, names_of(source))
    images, report = image_cache.load("key", RECIPE)
    return int(images.long().sum()), len(report.files)


def test_two_processes_at_once_both_end_well(source, image_cache):
    with ProcessPoolExecutor(2, get_context("fork")) as pool:
        results = [future.result() for future in [pool.submit(build, image_cache, source) for _ in range(6)]]
    assert set(results) == {build(image_cache, source)}
    assert len(list(image_cache.folder.iterdir())) == 2


def test_a_disk_that_is_too_small_is_refused_before_decoding(source, image_cache, monkeypatch):
    monkeypatch.setattr(cache, "disk_usage", lambda folder: SimpleNamespace(free=1000))
    monkeypatch.setattr(cache, "_decoded", None)
    with pytest.raises(Refusal, match=r"data\.cache_dir=.* MiB are needed there, and 0 MiB are free"):
        image_cache.build("key", RECIPE, source, names_of(source))


def test_a_disk_that_runs_full_is_refused(source, image_cache, monkeypatch):
    def full(file):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cache.os, "fsync", full)
    with pytest.raises(Refusal, match=r"data\.cache_dir=.*No space left"):
        image_cache.build("key", RECIPE, source, names_of(source))
    assert list(image_cache.folder.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_refused(source, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(Refusal, match=r"data\.cache_dir=.*cannot be written"):
        ImageCache(tmp_path / "file" / "cache").build("key", RECIPE, source, names_of(source))


def test_progress_is_shown_where_it_takes_long(source, image_cache, monkeypatch, capsys):
    image_cache.build("quick", RECIPE, source, names_of(source))
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr(cache, "QUIET", 0)
    monkeypatch.setattr(cache, "CHUNK", 10)
    image_cache.build("slow", RECIPE, source, names_of(source))
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "30/30" in shown.err


def test_the_listing_is_plain_json(source, image_cache):
    image_cache.build("key", RECIPE, source, names_of(source)[:1])
    listing = json.loads((image_cache.folder / "key.json").read_text())
    assert listing == {"files": ["000000.png"], "bad": [], "unread": [], "sizes": [[20, 20]]}
