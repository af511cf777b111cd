"""Saving, killed at every step, short of space at any byte, on odd file systems: what is there is always whole."""

import errno
import hashlib
import itertools
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections import namedtuple
from pathlib import Path

import pytest
import torch
from lightning.pytorch.plugins.environments import LightningEnvironment

from dcgan_lightning.checkpoint_io import NoSpaceError, WholeCheckpointIO, copy_checkpoint, size_of
from dcgan_lightning.digests import damage, sidecar
from dcgan_lightning.errors import Refusal
from dcgan_lightning.finding import find
from tests.support import trainer

Usage = namedtuple("Usage", "total used free")
CKPTS = ("last.ckpt", "previous.ckpt", "best.ckpt")


def checkpoint(step):
    weights = torch.full((3000,), float(step))
    return {"global_step": step, "state_dict": {"w": weights, "shares": weights[10:20]}, "text": "x" * 500}


def save(run, step, name="last.ckpt"):
    WholeCheckpointIO().save_checkpoint(checkpoint(step), run / "checkpoints" / name)


def step_of(file):
    return torch.load(file, weights_only=True)["global_step"]


def names(run):
    return sorted(path.name for path in (run / "checkpoints").iterdir())


def with_digests(*ckpts):
    return sorted(name + suffix for name in ckpts for suffix in ("", ".sha256"))


class Killed(BaseException):
    """What a killed process does from then on is nothing."""


class Steps:
    """Counts what a save does to the disk, and from the ``last`` step on does nothing but raise."""

    def __init__(self, monkeypatch, last):
        self.count, self.last = 0, last
        for name in ("replace", "link", "unlink", "fsync"):
            monkeypatch.setattr(os, name, self.counted(getattr(os, name)))
        opened = Path.open

        def open_(path, mode="r", *args, **kwargs):
            return (
                Written(opened(path, mode, buffering=0), self) if "w" in mode else opened(path, mode, *args, **kwargs)
            )

        monkeypatch.setattr(Path, "open", open_)

    def take(self):
        self.count += 1
        if self.count >= self.last:
            raise Killed

    def counted(self, function):
        def step(*args, **kwargs):
            self.take()
            return function(*args, **kwargs)

        return step


class Written:
    """A file of which the step that is killed writes a half."""

    def __init__(self, file, steps):
        self.file, self.steps, self.fileno = file, steps, file.fileno

    def write(self, data):
        try:
            if len(data) > 64:  # not each header inside the file
                self.steps.take()
        except Killed:
            if self.steps.count == self.steps.last:
                self.file.write(bytes(data)[: len(data) // 2])
            raise
        return self.file.write(data)

    def flush(self):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *args):
        self.file.close()


def no_links(*args, **kwargs):
    raise OSError(errno.EPERM, "no links here")


@pytest.mark.parametrize(
    ("name", "before", "links"),
    [
        ("last.ckpt", 0, True),
        ("last.ckpt", 1, True),
        ("last.ckpt", 2, True),
        ("last.ckpt", 2, False),
        ("best.ckpt", 1, True),
    ],
)
def test_killed_at_any_step_the_newest_whole_checkpoint_is_found(tmp_path, monkeypatch, capsys, name, before, links):
    monkeypatch.setattr(os, "fsync", lambda handle: None)  # the kernel lives on
    if not links:
        monkeypatch.setattr(os, "link", no_links)
    (tmp_path / "before" / "checkpoints").mkdir(parents=True)
    for step in range(before):
        save(tmp_path / "before", step, name)
    results = []
    for k in itertools.count(1):
        run = tmp_path / str(k)
        shutil.copytree(tmp_path / "before", run)
        with monkeypatch.context() as patch:
            steps = Steps(patch, k)
            try:
                save(run, before, name)
            except Killed:
                pass
            else:
                break
        # What is under its name agrees with its digest at any moment.
        there = [file for file in (run / "checkpoints" / ckpt for ckpt in CKPTS) if file.exists()]
        assert [damage(file) for file in there] == [None] * len(there)
        try:
            results.append(step_of(find(str(run), name)))
        except Refusal:
            results.append(-1)
        assert "damaged" not in capsys.readouterr().out

        save(run, before + 1, name)  # whoever comes next
        assert step_of(run / "checkpoints" / name) == before + 1
        if name == "last.ckpt" and before:
            assert step_of(run / "checkpoints" / "previous.ckpt") == results[-1]
        assert [file for file in names(run) if file.startswith(".")] == []
        assert all(len(file.read_text().splitlines()) == 1 for file in run.glob("*/*.sha256")) or not links
        shutil.rmtree(run)
    assert steps.count >= 9
    assert results == sorted(results)  # once saved, it stays
    assert set(results) == {before - 1, before}


def test_beside_each_checkpoint_is_what_sha256sum_writes_and_previous_is_the_one_before(tmp_path):
    for step in range(4):
        save(tmp_path, step)
        if step % 2:
            save(tmp_path, step, "best.ckpt")
    assert names(tmp_path) == with_digests(*CKPTS)
    assert [step_of(tmp_path / "checkpoints" / name) for name in CKPTS] == [3, 2, 3]
    for name in CKPTS:
        file = tmp_path / "checkpoints" / name
        assert sidecar(file).read_text() == f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {name}\n"


def test_without_links_the_one_before_is_kept_too(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "link", no_links)
    for step in range(3):
        save(tmp_path, step)
    assert names(tmp_path) == with_digests("last.ckpt", "previous.ckpt")
    assert [step_of(tmp_path / "checkpoints" / name) for name in CKPTS[:2]] == [2, 1]


@pytest.mark.parametrize("beside", ["its digest", "another digest", "nothing"])
def test_a_damaged_last_checkpoint_does_not_replace_a_good_previous_one(tmp_path, beside):
    save(tmp_path, 0)
    save(tmp_path, 1)
    last = tmp_path / "checkpoints" / "last.ckpt"
    if beside == "another digest":
        sidecar(last).write_text("0" * 64 + "  last.ckpt\n")
    else:
        last.write_bytes(last.read_bytes()[:-7])
    if beside == "nothing":
        sidecar(last).unlink()
    save(tmp_path, 2)
    assert [step_of(tmp_path / "checkpoints" / name) for name in CKPTS[:2]] == [2, 0]
    assert [damage(tmp_path / "checkpoints" / name) for name in CKPTS[:2]] == [None, None]


def test_the_size_is_known_before_anything_is_written(tmp_path):
    save(tmp_path, 1)
    assert size_of(checkpoint(1)) == (tmp_path / "checkpoints" / "last.ckpt").stat().st_size


def test_too_little_space_is_said_before_writing_and_nothing_changes(tmp_path, monkeypatch):
    save(tmp_path, 1)
    before = {path: path.stat() for path in tmp_path.rglob("*")}
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: Usage(10**9, 10**9, 700_000))
    with pytest.raises(NoSpaceError, match=r"last.ckpt was not saved: it needs 1.1 MB, and 0.7 MB are free"):
        save(tmp_path, 2)
    assert {path: path.stat() for path in tmp_path.rglob("*")} == before
    monkeypatch.undo()
    save(tmp_path, 2)
    assert step_of(tmp_path / "checkpoints" / "last.ckpt") == 2


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_disk_that_is_full_at_any_byte_keeps_what_was_there(tmp_path, monkeypatch, code):
    save(tmp_path, 0)
    save(tmp_path, 1)
    content = {path.name: path.read_bytes() for path in (tmp_path / "checkpoints").iterdir()}
    size = size_of(checkpoint(2))

    class Full(Written):
        left = 0

        def write(self, data):
            written = self.file.write(bytes(data)[: Full.left])
            Full.left -= written
            if written < len(data):
                raise OSError(code, os.strerror(code))
            return written

    monkeypatch.setattr(sys.modules[__name__], "Written", Full)
    # The digests, which are written last, are 230 bytes or so.
    for left in [*random.Random(0).sample(range(size), 60), 0, size, size + 1, size + 100, size + 200]:
        with monkeypatch.context() as patch:
            Steps(patch, last=10**9)
            Full.left = left
            with pytest.raises(NoSpaceError, match=r"last.ckpt was not saved.*MB are free"):
                save(tmp_path, 2)
        assert {path.name: path.read_bytes() for path in (tmp_path / "checkpoints").iterdir()} == content


def test_the_systems_own_limit_on_the_size_of_files(tmp_path):
    resource = pytest.importorskip("resource")
    save(tmp_path, 1)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, limits[1]))
    try:
        with pytest.raises(NoSpaceError, match="File too large"):
            save(tmp_path, 2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert names(tmp_path) == with_digests("last.ckpt")
    assert step_of(find(str(tmp_path), "last.ckpt")) == 1


def test_other_errors_are_not_taken_for_a_full_disk(tmp_path, monkeypatch):
    save(tmp_path, 1)

    def fail(handle):
        raise OSError(errno.EIO, "a broken disk")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="a broken disk"):
        save(tmp_path, 2)
    assert names(tmp_path) == with_digests("last.ckpt")
    assert step_of(tmp_path / "checkpoints" / "last.ckpt") == 1


def test_the_place_for_temporary_files_does_not_matter(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path / "not there"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "not there"))
    save(tmp_path, 1)
    assert step_of(tmp_path / "checkpoints" / "last.ckpt") == 1


def test_what_dead_processes_left_goes_and_what_living_ones_write_stays(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    (tmp_path / "checkpoints").mkdir()
    for process in (dead.pid, os.getpid(), os.getppid()):
        for name in ("last.ckpt", "only_last.ckpt.sha256"):
            (tmp_path / "checkpoints" / f".unfinished_{process}_{name}").write_bytes(b"half")
    (tmp_path / "checkpoints" / ".unfinished_mine").write_bytes(b"a user's")
    save(tmp_path, 1)
    living = [f".unfinished_{os.getppid()}_{name}" for name in ("last.ckpt", "only_last.ckpt.sha256")]
    assert names(tmp_path) == sorted([*living, ".unfinished_mine", *with_digests("last.ckpt")])


def test_a_copy_is_whole_and_has_its_digest(tmp_path):
    save(tmp_path / "parent", 5, "best.ckpt")
    source, target = (tmp_path / name / "checkpoints" / "best.ckpt" for name in ("parent", "child"))
    copy_checkpoint(source, target)
    assert names(tmp_path / "child") == with_digests("best.ckpt")
    assert sidecar(target).read_text() == sidecar(source).read_text()
    assert target.read_bytes() == source.read_bytes()
    source.write_bytes(source.read_bytes()[:-1])
    with pytest.raises(OSError, match="differs from its sha256"):
        copy_checkpoint(source, tmp_path / "other" / "checkpoints" / "best.ckpt")
    assert names(tmp_path / "other") == []


def test_a_removed_checkpoint_takes_its_digest_along(tmp_path):
    save(tmp_path, 1)
    WholeCheckpointIO().remove_checkpoint(tmp_path / "checkpoints" / "last.ckpt")
    assert names(tmp_path) == []


def test_plugins_of_a_users_own_are_taken_but_for_what_writes_checkpoints(tmp_path):
    for plugins in ([LightningEnvironment()], LightningEnvironment(), None):
        assert isinstance(trainer(tmp_path, 1, plugins=plugins).strategy.checkpoint_io, WholeCheckpointIO)
    with pytest.raises(Refusal, match=r"trainer.plugins=WholeCheckpointIO: would write checkpoints"):
        trainer(tmp_path, 1, plugins=[WholeCheckpointIO()])
