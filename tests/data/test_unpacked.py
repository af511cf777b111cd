import zipfile

import pytest

from dcgan_lightning.data import CelebADataModule, ImageFolderDataModule
from dcgan_lightning.data.unpacked import not_as_listed
from dcgan_lightning.errors import Refusal
from tests.data.pictures import write_images


def prepared(kind, options, root, **more):
    module = kind(**{**options, "root": str(root), **more})
    module.prepare_data()
    return module


@pytest.fixture
def folder(tmp_path):
    """Ten images."""
    write_images(tmp_path / "faces", 10)
    return tmp_path / "faces"


def zip_up(path, folder, prefix):
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.iterdir()):
            archive.write(file, prefix + file.name)


@pytest.mark.parametrize(("place", "prefix"), [("faces.zip", ""), ("faces.zip", "faces/"), ("faces/all.zip", "")])
def test_a_half_unpacked_zip_is_noticed(file_options, folder, tmp_path, place, prefix):
    zip_up(tmp_path / "whole.zip", folder, prefix)
    (tmp_path / "whole.zip").rename(tmp_path / place)
    assert len(prepared(ImageFolderDataModule, file_options, folder).images) == 10
    for number in (4, 7):
        (folder / f"{number:06d}.png").unlink()
    name = place.split("/")[-1]
    for _ in range(2):  # the second finds the first's cache
        with pytest.raises(Refusal, match=r"2 of 10 files cannot be used") as refusal:
            prepared(ImageFolderDataModule, file_options, folder)
        assert f"000004.png: in {name}, but not unpacked from it" in str(refusal.value)
        assert "unpack the archive again" in refusal.value.remedy
        assert len(prepared(ImageFolderDataModule, file_options, folder, skip_bad_files=True).images) == 8


def test_an_archive_of_something_else_tells_nothing(file_options, folder, tmp_path):
    write_images(tmp_path / "others", 3, first=100)
    zip_up(tmp_path / "faces.zip", tmp_path / "others", "")
    assert len(prepared(ImageFolderDataModule, file_options, folder).images) == 10


def test_a_broken_archive_beside_the_folder_is_said(file_options, folder, tmp_path, capsys):
    (tmp_path / "faces.zip").write_bytes(b"PK\3\4 and no end")
    assert len(prepared(ImageFolderDataModule, file_options, folder).images) == 10
    assert "cut short" in capsys.readouterr().err


@pytest.mark.parametrize("listing", ["list_eval_partition.txt", "Anno/list_attr_celeba.txt", "list_eval_partition.csv"])
def test_celebas_lists_tell_what_is_missing(file_options, tmp_path, listing):
    folder = tmp_path / "celeba" / "img_align_celeba"
    write_images(folder, 4, suffix=".jpg", first=1)
    text = "{},0\n" if listing.endswith("csv") else "{} 0\n"
    (tmp_path / "celeba" / listing).parent.mkdir(exist_ok=True)
    path = tmp_path / "celeba" / listing
    path.write_text("6\nimage_id partition\n" + "".join(text.format(f"{n:06d}.jpg") for n in range(1, 7)))
    with pytest.raises(Refusal, match=r"2 of 6 files cannot be used") as refusal:
        prepared(CelebADataModule, file_options, tmp_path / "celeba")
    assert f"000005.jpg: listed in {path.name}, but not there" in str(refusal.value)
    assert len(prepared(CelebADataModule, file_options, tmp_path / "celeba", skip_bad_files=True).images) == 4
    write_images(folder, 6, suffix=".jpg", first=1)
    assert len(prepared(CelebADataModule, file_options, tmp_path / "celeba").images) == 6
    assert not_as_listed(path, {"another.jpg"}) == {}


def test_celebas_zip_tells_what_is_missing(file_options, tmp_path):
    folder = tmp_path / "celeba" / "img_align_celeba"
    write_images(folder, 4, suffix=".jpg", first=1)
    zip_up(tmp_path / "celeba" / "img_align_celeba.zip", folder, "img_align_celeba/")
    (folder / "000002.jpg").unlink()
    with pytest.raises(Refusal, match=r"000002\.jpg: in img_align_celeba\.zip, but not unpacked"):
        prepared(CelebADataModule, file_options, tmp_path / "celeba")
