"""CelebA, aligned faces (Liu et al., "Deep Learning Face Attributes in the Wild", ICCV 2015)."""

import os
from pathlib import Path

from torchvision.datasets import CelebA
from torchvision.datasets.utils import download_file_from_google_drive

from dcgan_lightning.data.cache import refuse_unwritable
from dcgan_lightning.data.classes import refuse_classes
from dcgan_lightning.data.download import default_root
from dcgan_lightning.data.files import FileDataModule
from dcgan_lightning.data.image_folder import refuse_missing
from dcgan_lightning.data.sources import Archive, Folder, Source, is_image
from dcgan_lightning.data.unpacked import Missing, not_as_listed
from dcgan_lightning.errors import Refusal
from dcgan_lightning.machine import limited_waiting

FOLDER, ZIP = "img_align_celeba", "img_align_celeba.zip"
LISTS = [  # of all images, as the authors, torchvision and Kaggle place them; the shortest first
    f"{folder}{name}"
    for name in ("list_eval_partition.txt", "list_eval_partition.csv", "list_attr_celeba.txt", "list_attr_celeba.csv")
    for folder in ("", "Eval/", "Anno/")
]


class CelebADataModule(FileDataModule):
    """The aligned faces, as the DCGAN tutorial has them: Resize, then CenterCrop, with PIL.

    Args:
        root: the folder ``img_align_celeba`` or the official zip of that name (read without unpacking it), the parent
            of either, or the parent of a folder ``celeba`` with either in it; None: ``datasets`` in the cache folder,
            and if it is not there, it is downloaded (202,599 files, 1.4 GB; needs ``gdown``).
        digit: None; CelebA has no classes.
        others: see :class:`FileDataModule` and :class:`ImageDataModule`.

    Attributes:
        images: (N, channels, H, W) uint8, memory-mapped, in the order of the files' names.

    Raises:
        Refusal: the root is not there or has no CelebA in it; the download fails; bad files; images missing that the
            zip or a list of CelebA's beside them has; an image size that every image is too small for; a class is
            selected.
    """

    def find_source(self) -> Source:
        """The folder or the zip, downloaded where no root was given and the default place has none."""
        refuse_classes(self.digit, "CelebA")
        if self.root is None:
            place = default_root(self.cache_dir)
            return find_celeba(place) or self._download(place)
        remedy = f"data.root has to be the folder {FOLDER}, {ZIP}, the parent of one, or the parent of celeba/{FOLDER}"
        refuse_missing(self.root, remedy)
        try:
            found = find_celeba(self.root)
        except OSError as error:
            raise Refusal("data.root", self.root, f"cannot be read: {error}", remedy) from error
        if found is None:
            problem = f"there are no images in it, nor in a {FOLDER}, {ZIP}, celeba/{FOLDER} or celeba/{ZIP} in it"
            raise Refusal("data.root", self.root, problem, remedy)
        return found

    def find_missing(self, source: Source, names: set[str]) -> Missing:
        """What the nearest of CelebA's lists has and the source has not; without a list, what the zip beside it has."""
        places = source.path.absolute().parents
        for listing in (place / name for place in places[:2] for name in LISTS):
            if listing.is_file():
                return not_as_listed(listing, names)
        return super().find_missing(source, names)

    def _download(self, place: Path) -> Source:
        """Fetch the zip alone, as torchvision does: the attributes are not needed, nor is the zip unpacked."""
        folder = place / "celeba"
        with refuse_unwritable(self.cache_dir):
            folder.mkdir(parents=True, exist_ok=True)
        identity, md5, name = CelebA.file_list[0]
        try:
            with limited_waiting():
                download_file_from_google_drive(identity, str(folder), name, md5)
        except Exception as error:  # gdown and requests bring exceptions of their own
            reason = " ".join(str(error).split()) or type(error).__name__
            raise Refusal(
                "data.root",
                "null",
                f"neither {folder / FOLDER} nor {folder / ZIP} is there, and the download failed: {reason}",
                f'name the place of {FOLDER} or {ZIP} in data.root; or, with a network, pip install "dcgan-lightning'
                f'[celeba]" (gdown, which downloads it) and try again; or put {ZIP} into {folder} by hand; or train on '
                "the digits that ship with the package: data=mnist_mini",
            ) from error
        return Archive(folder / ZIP)


def find_celeba(place: Path) -> Source | None:
    """Look for the images at a place, as :class:`CelebADataModule` describes it; None where there are none."""
    if place.is_file():
        return Archive(place)
    for parent in (place, place / "celeba"):
        if (parent / FOLDER).is_dir() and Folder(parent / FOLDER).has_images():
            return Folder(parent / FOLDER)
        if (parent / ZIP).is_file():
            return Archive(parent / ZIP)
    if place.is_dir() and any(is_image(name) for name in os.listdir(place)):
        return Folder(place)
    return None
