"""Torchvision's data sets: the disk first, then its download; offline one clear refusal."""

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from dcgan_lightning.data.cache import refuse_unwritable
from dcgan_lightning.data.image_folder import refuse_no_folder
from dcgan_lightning.errors import Refusal
from dcgan_lightning.machine import limited_waiting

Set = TypeVar("Set")


def default_root(cache_dir: Path) -> Path:
    """Where data sets are looked for, and downloaded to, when ``data.root`` is left out."""
    return cache_dir / "datasets"


def find_or_download(
    open_set: Callable[[Path, bool], Set], root: Path | None, cache_dir: Path, folder: str, files: str
) -> Set:
    """Open one of torchvision's data sets.

    Args:
        open_set: called with torchvision's root and whether to download; makes the data set.
        root: the root that the user gave, into which nothing is written; None: the default place.
        cache_dir: the cache folder.
        folder: what torchvision calls the data set's folder below its root.
        files: the files in it, in words.

    Returns:
        What ``open_set`` returns.

    Raises:
        Refusal: the files are not there, or damaged, and cannot be downloaded.
    """
    ways = "or train on the digits that ship with the package: data=mnist_mini"
    if root is not None:
        remedy = f"name the folder that has {folder} in it, or leave data.root out, so that it is downloaded; {ways}"
        refuse_no_folder(root, remedy)
        try:
            return open_set(root, False)
        except Exception as error:  # torchvision's RuntimeError, or whatever reading damaged files raises
            problem = f"cannot be used: {_line(error)} Looked for {root.absolute() / folder} with {files}"
            raise Refusal("data.root", root, problem, remedy) from error
    place = default_root(cache_dir)
    try:
        return open_set(place, False)
    except Exception:
        with refuse_unwritable(cache_dir):
            place.mkdir(parents=True, exist_ok=True)
            scratch = Path(tempfile.mkdtemp(prefix=".download-", dir=place))
    try:
        with limited_waiting():
            found = open_set(scratch, True)
        _move(scratch / folder, place / folder, lambda: open_set(place, False))
        return found
    except Exception as error:
        problem = f"{place / folder} does not have {files}, or not whole, and the download failed: {_line(error)}"
        remedy = f"connect to a network and try again; or name torchvision's root in data.root; {ways}"
        raise Refusal("data.root", "null", problem, remedy) from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _move(source: Path, target: Path, try_target: Callable[[], object]) -> None:
    """Put a whole download in its place at once. Half a download would pass torchvision's check, that files exist."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.rename(source, target)
    except OSError:  # something is there
        try:
            try_target()  # another process was faster
        except Exception:
            shutil.rmtree(target)
            os.rename(source, target)


def _line(error: Exception) -> str:
    advice = "You can use download=True to download it"  # torchvision's, to those who write Python
    text = " ".join(str(error).replace(advice, "").split()) or type(error).__name__
    return text if text.endswith(".") else text + "."
