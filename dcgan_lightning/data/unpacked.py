"""Whether a folder has all that the archive beside it, or a data set's own list, says it should have."""

import os
import zipfile
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from dcgan_lightning.data.sources import Archive

Missing = dict[str, str]  # name of a file that is not there, and who says that it should be


def not_unpacked(folder: Path, names: set[str]) -> tuple[Missing, list[str]]:
    """Images that an archive in the folder, or one beside it that has its name, has and the folder has not.

    An archive of which nothing is there was not unpacked here, and tells nothing.

    Args:
        folder: the folder.
        names: of the images below it, with ``/``.

    Returns:
        What is missing; and of archives that cannot be read, which may be the reason for it, a sentence each.
    """
    folder = folder.absolute()
    missing: Missing = {}
    unreadable = []
    for path in _archives(folder):
        try:
            members = [entry.name for entry in Archive(path).entries()]
        except (OSError, zipfile.BadZipFile) as error:
            unreadable.append(f"{path} cannot be read ({error}); what was unpacked from it may not be all")
            continue
        for place in (path.parent, path.with_suffix("")):  # unpacked beside itself, or into a folder of its name
            expected = set(_below(folder, place, members))
            if expected & names:
                missing |= dict.fromkeys(sorted(expected - names), f"in {path.name}, but not unpacked from it")
    return missing, unreadable


def not_as_listed(listing: Path, names: set[str]) -> Missing:
    """Images that a list has, the name first on each line, and a folder or an archive has not, whatever their suffix.

    A list of which nothing is there is of something else.
    """
    listed = set()
    with listing.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            first = line.replace(",", " ").split(None, 1)[:1]
            listed |= {name for name in first if name.lower().endswith((".jpg", ".png"))}
    there = {PurePosixPath(name).stem for name in names}
    missing = sorted(name for name in listed if PurePosixPath(name).stem not in there)
    return dict.fromkeys(missing, f"listed in {listing.name}, but not there") if len(missing) < len(listed) else {}


def _archives(folder: Path) -> list[Path]:
    inside = sorted(entry.name for entry in os.scandir(folder) if entry.name.lower().endswith(".zip"))
    beside = folder.with_name(f"{folder.name}.zip")
    return [path for path in (*(folder / name for name in inside), beside) if path.is_file()]


def _below(folder: Path, place: Path, members: Iterable[str]) -> Iterable[str]:
    """What members are called below ``folder`` if the archive is unpacked into ``place``; none that lie elsewhere."""
    if place.is_relative_to(folder):
        prefix = place.relative_to(folder).as_posix()
        return members if prefix == "." else (f"{prefix}/{name}" for name in members)
    start = f"{folder.relative_to(place).as_posix()}/" if folder.is_relative_to(place) else "/"
    return (name[len(start) :] for name in members if name.startswith(start))
