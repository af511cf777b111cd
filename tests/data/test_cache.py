import hashlib
import json
import os
import signal
import sys
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import suppress
from itertools import islice
from multiprocessing import get_context
from threading import Timer
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from filelock import FileLock

from dcgan_lightning.data import cache
from dcgan_lightning.data.cache import ImageCache, decode_chunk
from dcgan_lightning.data.decode import decode
from dcgan_lightning.data.sources import Folder
from dcgan_lightning.data.unfinished import Recipe
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
    assert images.is_contiguous(memory_format=torch.channels_last)
    for image, name in zip(images, names, strict=True):
        assert np.array_equal(image, decode(source.read(name), 8, 12, 3)[0])
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


@pytest.mark.parametrize(
    "harm",
    [
        *("array cut", "array gone", "array empty", "array of another shape", "array of channels first"),
        *("array of another type", "array flipped", "listing cut", "listing gone", "listing of another kind"),
        "listing without the array",
    ],
)
def test_what_is_not_whole_is_not_used(source, image_cache, harm):
    image_cache.build("key", RECIPE, source, names_of(source))
    array, listing = image_cache.folder / "key.npy", image_cache.folder / "key.json"
    if harm == "array cut":
        array.write_bytes(array.read_bytes()[:-1])
    elif harm == "array gone":
        array.unlink()
    elif harm == "array of another shape":
        np.save(array, np.zeros((29, 8, 12, 3), np.uint8))
    elif harm == "array of channels first":  # as earlier versions wrote it
        np.save(array, np.zeros((30, 3, 8, 12), np.uint8))
    elif harm == "array empty":
        array.write_bytes(b"")
    elif harm == "array of another type":
        keep_time(array, np.load(array).astype(np.int8))
    elif harm == "array flipped":
        with array.open("r+b") as file:
            file.seek(-5, os.SEEK_END)
            byte = file.read(1)[0]
            file.seek(-5, os.SEEK_END)
            file.write(bytes([byte ^ 255]))
    elif harm == "listing of another kind":
        listing.write_text("[]")
    elif harm == "listing without the array":  # as earlier versions wrote it
        told = json.loads(listing.read_text())
        del told["array"]
        listing.write_text(json.dumps(told))
    elif harm == "listing cut":
        listing.write_text(listing.read_text()[:-20])
    else:
        listing.unlink()
    assert image_cache.load("key", RECIPE) is None
    image_cache.build("key", RECIPE, source, names_of(source))
    assert np.array_equal(image_cache.load("key", RECIPE)[0], truth(source))


def keep_time(path, array):
    """Write another array of as many bytes, in such a way that no time tells."""
    times = path.stat().st_atime_ns, path.stat().st_mtime_ns
    np.save(path, array)
    os.utime(path, ns=times)


def truth(source):
    return np.stack([decode(source.read(name), 8, 12, 3)[0] for name in names_of(source)])


STEPS = {"open", "write", "flush", "fsync", "replace", "truncate", "unlink", "utime", "mkdir"}


def killed_at(step, image_cache, source):
    """Build in a forked process that kills itself at the given step on the disk; whether it came to that."""
    child = os.fork()
    if child:
        return os.WIFSIGNALED(os.waitpid(child, 0)[1])
    taken = 0

    def count(frame, event, function):
        nonlocal taken
        if event == "c_call" and function.__name__ in STEPS:
            taken += 1
            if taken == step:
                os.kill(os.getpid(), signal.SIGKILL)

    with suppress(BaseException):  # nothing of the tests may go on in this process
        sys.setprofile(count)
        image_cache.build("key", RECIPE, source, names_of(source))
    os._exit(0)


@pytest.mark.slow
def test_a_build_that_is_killed_at_any_step_is_never_used_half(tmp_path, monkeypatch):
    write_images(tmp_path / "images", 3)
    source = Folder(tmp_path / "images")
    monkeypatch.setattr(cache, "CHUNK", 2)
    monkeypatch.setattr("dcgan_lightning.data.unfinished.KEEP_EVERY", 0)
    expected = truth(source)
    used = []  # whether the images were there, after each kill
    for step in range(1, 200):
        image_cache = ImageCache(tmp_path / f"cache{step}")
        if not killed_at(step, image_cache, source):
            break
        found = image_cache.load("key", RECIPE)
        used.append(found is not None)
        assert found is None or np.array_equal(found[0], expected)
        image_cache.build("key", RECIPE, source, names_of(source))
        assert np.array_equal(image_cache.load("key", RECIPE)[0], expected)
        if found is None:
            assert sorted(path.name for path in image_cache.folder.iterdir()) == ["key.json", "key.npy"]
    assert 15 < step < 199
    assert used == sorted(used)
    assert used[-1]


def killed_late(source, names, recipe):
    if "000025.png" in names:
        time.sleep(0.3)
        os.kill(os.getpid(), signal.SIGKILL)
    return decode_chunk(source, names, recipe)


def test_a_worker_that_is_killed_is_refused_and_its_work_gone_on_with(source, image_cache, monkeypatch):
    monkeypatch.setattr(cache, "WORTH_A_POOL", 1)
    monkeypatch.setattr(cache, "CHUNK", 5)
    with monkeypatch.context() as patch:
        patch.setattr(cache, "decode_chunk", killed_late)
        with pytest.raises(Refusal, match=r"data\.root=.*memory runs out, at or after '0000") as refusal:
            image_cache.build("key", RECIPE, source, names_of(source))
    assert "goes on there" in refusal.value.remedy
    assert image_cache.load("key", RECIPE) is None
    image_cache.build("key", RECIPE, source, names_of(source))
    assert np.array_equal(image_cache.load("key", RECIPE)[0], truth(source))


CHUNKS = 10  # files in a chunk of the tests below


@pytest.fixture
def interrupted(source, image_cache, monkeypatch, capsys):
    """A build of which two chunks of three were decoded, the 5th file bad; and what later builds decode."""
    monkeypatch.setattr(cache, "CHUNK", CHUNKS)
    (source.path / names_of(source)[4]).write_text("no image")
    decoded = []

    def chunks(source, names, recipe):
        for start in range(0, len(names), CHUNKS):
            decoded.append(names[start : start + CHUNKS])
            yield decode_chunk(source, decoded[-1], recipe)

    def two_chunks(*what):
        yield from islice(chunks(*what), 2)
        raise KeyboardInterrupt

    monkeypatch.setattr(cache, "_decoded", two_chunks)
    with pytest.raises(KeyboardInterrupt):
        image_cache.build("key", RECIPE, source, names_of(source))
    assert "20 of 30 images are decoded" in capsys.readouterr().err
    decoded.clear()
    monkeypatch.setattr(cache, "_decoded", chunks)
    return decoded


def test_an_interrupted_build_is_not_used_and_gone_on_with(source, image_cache, interrupted):
    names = names_of(source)
    assert image_cache.load("key", RECIPE) is None
    image_cache.build("key", RECIPE, source, names)
    assert interrupted == [names[20:]]
    as_if_never_interrupted(source, image_cache)


def as_if_never_interrupted(source, image_cache):
    images, report = image_cache.load("key", RECIPE)
    assert sorted(path.name for path in image_cache.folder.iterdir()) == ["key.json", "key.npy"]
    image_cache.build("at once", RECIPE, source, names_of(source))
    at_once, expected = image_cache.load("at once", RECIPE)
    assert torch.equal(images, at_once)
    assert report == expected
    assert len(images) == 29


@pytest.mark.parametrize(
    "harm", ["journal cut", "journal gone", "chunk told twice", "array cut", "array gone", "array longer", "unread"]
)
def test_only_what_is_whole_is_gone_on_with(source, image_cache, interrupted, harm):
    array, journal = image_cache.folder / "key.part", image_cache.folder / "key.journal"
    lines = journal.read_text().splitlines(keepends=True)
    assert len(lines) == 2
    left = 1
    if harm == "journal cut":
        journal.write_text("".join(lines)[:-1])
    elif harm == "chunk told twice":
        journal.write_text(lines[0] * 2)
    elif harm == "array cut":
        array.write_bytes(array.read_bytes()[:-1])
    elif harm == "array longer":
        array.write_bytes(array.read_bytes() + b"what came after")
        left = 2
    elif harm == "unread":
        report = json.loads(lines[1])
        journal.write_text(lines[0] + json.dumps(report | {"unread": report["files"][:1]}) + "\n")
    else:
        (array if harm == "array gone" else journal).unlink()
        left = 0
    image_cache.build("key", RECIPE, source, names_of(source))
    assert interrupted[0][0] == names_of(source)[left * CHUNKS]
    as_if_never_interrupted(source, image_cache)


def build(image_cache, source):
    image_cache.build("key", RECIPE, source, names_of(source))
    images, report = image_cache.load("key", RECIPE)
    return int(images.long().sum()), len(report.files)


def test_who_waits_for_another_process_is_told(source, image_cache, monkeypatch, capsys):
    monkeypatch.setattr(cache, "QUIET", 0)
    image_cache.folder.mkdir()
    lock = FileLock(image_cache.folder / "key.lock", thread_local=False)
    with ThreadPoolExecutor(1) as other:  # filelock refuses to have a thread wait for itself
        other.submit(lock.acquire).result()
    Timer(0.3, lock.release).start()
    image_cache.build("key", RECIPE, source, names_of(source))
    assert "another process is decoding" in capsys.readouterr().err
    assert len(image_cache.load("key", RECIPE)[0]) == 30


def test_two_processes_at_once_both_end_well(source, image_cache):
    with ProcessPoolExecutor(2, get_context("fork")) as pool:
        results = [future.result() for future in [pool.submit(build, image_cache, source) for _ in range(6)]]
    assert set(results) == {build(image_cache, source)}
    assert len(list(image_cache.folder.iterdir())) == 2


def test_of_four_processes_at_once_one_decodes_and_all_have_the_images(source, image_cache, monkeypatch, tmp_path):
    processes, decodes = get_context("fork"), tmp_path / "decodes"
    together, loaded = processes.Barrier(4), processes.SimpleQueue()
    decode_all = cache._decoded

    def noted(*what):
        with decodes.open("a") as file:
            file.write("once\n")
        yield from decode_all(*what)

    def start():
        together.wait(60)
        image_cache.build("key", RECIPE, source, names_of(source))
        images, report = image_cache.load("key", RECIPE)
        loaded.put((hashlib.sha256(images.contiguous().numpy().tobytes()).hexdigest(), report.files))

    monkeypatch.setattr(cache, "_decoded", noted)
    started = [processes.Process(target=start) for _ in range(4)]
    for process in started:
        process.start()
    for process in started:
        process.join(60)
    assert [process.exitcode for process in started] == [0] * 4
    (digest, files), *others = [loaded.get() for _ in range(4)]
    assert others == [(digest, files)] * 3
    assert files == names_of(source)
    assert decodes.read_text() == "once\n"
    assert sorted(path.name for path in image_cache.folder.iterdir()) == ["key.json", "key.npy"]


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
    about = (image_cache.folder / "key.npy").stat()
    array = [about.st_size, about.st_mtime_ns]
    assert listing == {"files": ["000000.png"], "bad": [], "unread": [], "sizes": [[20, 20]], "array": array}
