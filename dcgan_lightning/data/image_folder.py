"""A folder of images of one's own: flat, or with a folder for each class."""

from pathlib import Path

from dcgan_lightning.data.classes import refuse_classes, select_classes
from dcgan_lightning.data.files import FileDataModule
from dcgan_lightning.data.sources import Entry, Folder
from dcgan_lightning.errors import Refusal


class ImageFolderDataModule(FileDataModule):
    """JPEG, PNG, WebP and BMP files below a folder.

    Grey, palette, transparent (laid on white), 16-bit, CMYK and EXIF-rotated files are shown as a person expects them.
    The folders directly below the root are the classes, in sorted order; ``digit`` selects them by name or index.

    Args:
        root: the folder.
        others: see :class:`FileDataModule` and :class:`ImageDataModule`.

    Attributes:
        images: (N, channels, H, W) uint8, memory-mapped, in the order of the files' names.

    Raises:
        Refusal: no root, or a root that is no folder, cannot be read, or has no images in it; bad files; an image size
            that every image is too small for; classes that do not exist.
    """

    def find_source(self) -> Folder:
        """The root, which has to be a folder."""
        remedy = "name a folder with images in it: data.root=DIR"
        if self.root is None:
            raise Refusal("data.root", "null", "an image folder has no default place", remedy)
        refuse_no_folder(self.root, remedy)
        return Folder(self.root)

    def select(self, entries: list[Entry]) -> list[Entry]:
        """The files of the classes that ``digit`` names."""
        if self.digit is None:
            return entries
        classes = sorted({entry.name.split("/")[0] for entry in entries if "/" in entry.name})
        if not classes:
            refuse_classes(self.digit, f"a folder without class folders in it, such as {self.root},")
        chosen = {classes[index] for index in select_classes(self.digit, classes)}
        return [entry for entry in entries if "/" in entry.name and entry.name.split("/")[0] in chosen]


def refuse_missing(root: Path, remedy: str) -> None:
    """Refuse a ``data.root`` that is not there, or that may not be looked at."""
    try:
        found = root.exists()
    except (OSError, ValueError) as error:
        raise Refusal("data.root", root, f"cannot be read: {error}", remedy) from error
    if not found:
        raise Refusal("data.root", root, f"there is no such folder (looked for {root.absolute()})", remedy)


def refuse_no_folder(root: Path, remedy: str) -> None:
    """Refuse a ``data.root`` that is not there, or is not a folder."""
    refuse_missing(root, remedy)
    if not root.is_dir():
        raise Refusal("data.root", root, "is a file, not a folder", remedy)
