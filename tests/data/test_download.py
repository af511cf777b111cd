import socket
from pathlib import Path

import pytest

from dcgan_lightning.data.download import default_root, find_or_download
from dcgan_lightning.errors import Refusal
from dcgan_lightning.machine import PATIENCE, limited_waiting


def open_set(root: Path, download: bool) -> str:
    """A data set of one file, which says "whole" when it is."""
    file = root / "set" / "raw" / "file"
    if download:
        file.parent.mkdir(parents=True)
        file.write_text("whole")
    if file.read_text() != "whole":
        raise RuntimeError("not whole")
    return str(file)


def find(root, cache_dir, how=open_set):
    return find_or_download(how, root, cache_dir, "set/raw", "file")


def test_the_disk_comes_first(tmp_path):
    open_set(tmp_path / "data", True)
    assert find(tmp_path / "data", tmp_path / "cache") == str(tmp_path / "data" / "set" / "raw" / "file")
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("before", ["nothing", "half of it", "an empty folder"])
def test_then_the_download(tmp_path, before):
    place = default_root(tmp_path)
    if before != "nothing":
        (place / "set" / "raw").mkdir(parents=True)
    if before == "half of it":
        (place / "set" / "raw" / "file").write_text("wh")
    find(None, tmp_path)
    assert [path.name for path in place.iterdir()] == ["set"]
    assert find(None, tmp_path, lambda root, download: open_set(root, False)) == str(place / "set" / "raw" / "file")


def test_another_process_may_be_faster(tmp_path):
    def slow(root, download):
        if download:
            open_set(default_root(tmp_path), True)
        return open_set(root, download)

    find(None, tmp_path, slow)
    assert [path.name for path in default_root(tmp_path).iterdir()] == ["set"]


@pytest.mark.parametrize("error", [TimeoutError("timed out"), RuntimeError("a\nb"), EOFError(), ValueError("bad gzip")])
def test_any_failure_is_one_refusal_of_one_line(tmp_path, error):
    def fail(root, download):
        raise error

    with pytest.raises(Refusal) as refusal:
        find(None, tmp_path, fail)
    assert str(refusal.value).count("\n") == 1  # before the remedy
    assert list(default_root(tmp_path).iterdir()) == []


def test_a_silent_network_is_given_up():
    with limited_waiting():
        assert socket.getdefaulttimeout() == PATIENCE
    assert socket.getdefaulttimeout() is None
