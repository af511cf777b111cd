import os
import pickle
import zipfile

import pytest

from dcgan_lightning.data import sources
from dcgan_lightning.data.sources import Archive, Folder
from tests.data.pictures import write_images

NAMES = ["a.jpg", "B.JPEG", "c.PnG", "deep/er/d.webp", "e.bmp"]
OTHERS = ["notes.txt", "f.gif", "._a.jpg", ".hidden.png", ".thumbs/a.png", "__MACOSX/._a.jpg", "deep/.git/x.png"]


def make_folder(path):
    for name in NAMES + OTHERS:
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(name.encode())
    return Folder(path)


def make_archive(path, folder):
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*"), reverse=True):
            archive.write(file, file.relative_to(folder))
    return Archive(path)


def test_a_folder_and_an_archive_list_and_read_alike(tmp_path):
    folder = make_folder(tmp_path / "folder")
    archive = make_archive(tmp_path / "all.zip", tmp_path / "folder")
    for source in (folder, archive, pickle.loads(pickle.dumps(folder)), pickle.loads(pickle.dumps(archive))):
        assert [entry.name for entry in source.entries()] == sorted(NAMES)
        assert all(source.read(name) == name.encode() for name in NAMES)
        assert [entry.size for entry in source.entries()] == [len(name) for name in sorted(NAMES)]
    assert folder.has_images()


def test_a_stamp_changes_with_the_content(tmp_path):
    folder = make_folder(tmp_path)
    before = folder.entries()
    os.utime(tmp_path / "a.jpg", ns=(1, 1))
    assert [a.name for a, b in zip(before, folder.entries(), strict=True) if a != b] == ["a.jpg"]


def test_links_are_followed_and_loops_end(tmp_path):
    write_images(tmp_path / "elsewhere", 2)
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "class").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "root" / "one.png").symlink_to(tmp_path / "elsewhere" / "000000.png")
    (tmp_path / "root" / "loop").symlink_to(tmp_path / "root")
    (tmp_path / "root" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    entries = Folder(tmp_path / "root").entries()
    assert [entry.name for entry in entries] == ["class/000000.png", "class/000001.png", "gone.png", "one.png"]
    with pytest.raises(OSError, match="No such file"):
        Folder(tmp_path / "root").read("gone.png")


def test_what_is_no_file_is_left_out(tmp_path):
    (tmp_path / "folder.png").mkdir()
    os.mkfifo(tmp_path / "pipe.png")
    assert Folder(tmp_path).entries() == []
    assert not Folder(tmp_path).has_images()


def test_members_are_never_paths(tmp_path):
    (tmp_path / "secret.png").write_bytes(b"outside")
    (tmp_path / "in").mkdir()
    with zipfile.ZipFile(tmp_path / "in" / "evil.zip", "w") as archive:
        archive.writestr("x/../../secret.png", b"inside")
        archive.writestr("/absolute.png", b"inside")
    source = Archive(tmp_path / "in" / "evil.zip")
    assert [source.read(entry.name) for entry in source.entries()] == [b"inside"]
    assert not any("/secret" in entry.name for entry in source.entries())


def test_a_member_that_unpacks_into_too_much_is_not_read(tmp_path, monkeypatch):
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.png", bytes(10000))
    monkeypatch.setattr(sources, "LARGEST_FILE", 9999)
    with pytest.raises(ValueError, match="when unpacked"):
        Archive(tmp_path / "bomb.zip").read("a.png")


def test_no_archive(tmp_path):
    (tmp_path / "a.zip").write_text("text")
    with pytest.raises(zipfile.BadZipFile):
        Archive(tmp_path / "a.zip").entries()


def test_a_changed_archive_is_opened_anew(tmp_path):
    path = tmp_path / "a.zip"
    for content in (b"first", b"second"):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a.png", content)
        os.utime(path, ns=(len(content), len(content)))
        assert Archive(path).read("a.png") == content


@pytest.mark.parametrize("change", ["grown", "shortened", "touched"])
def test_a_file_that_changes_while_it_is_read_is_not_used(tmp_path, monkeypatch, change):
    (path,) = write_images(tmp_path, 1)
    read = os.read

    def read_and_change(file, size):
        data = read(file, size)
        if change == "touched":
            os.utime(path, ns=(1, 1))
        else:
            os.truncate(path, path.stat().st_size + (1 if change == "grown" else -1))
        return data

    monkeypatch.setattr(sources.os, "read", read_and_change)
    with pytest.raises(OSError, match="changed while it was read"):
        Folder(tmp_path).read(path.name)
    monkeypatch.undo()
    assert Folder(tmp_path).read(path.name) == path.read_bytes()


@pytest.mark.parametrize("target", ["/dev/zero", "pipe"])
def test_what_became_a_device_or_a_pipe_after_the_listing_is_not_read(tmp_path, target):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "a.png").symlink_to(target)
    with pytest.raises(OSError, match="not a regular file"):
        Folder(tmp_path).read("a.png")
