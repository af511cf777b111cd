"""A zoo of bad and odd image files: ``python -m benchmarks.reliability.zoo`` writes the table of docs/images.md.

Each file is put beside good images and goes through the data set itself, once as it is and once with
``data.skip_bad_files=true``, in a process of its own that is ended after a time and whose memory is watched.
"""

import contextlib
import io
import multiprocessing
import os
import resource
import sys
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from benchmarks.reliability import zoo_archives, zoo_damage, zoo_pictures, zoo_places
from benchmarks.reliability.specimen import SIDE, Specimen, encoded, picture
from benchmarks.reliability.trial import Result, Trial
from benchmarks.report import ROOT, replace_section
from dcgan_lightning.data import CelebADataModule, ImageFolderDataModule
from dcgan_lightning.errors import Refusal

PAGE = ROOT / "docs" / "images.md"
GOOD = 2  # good images beside each specimen
LIMIT = 60  # seconds
MEMORY = 256  # MB that a specimen may take, above what the process has; a 20,000 x 20,000 image would take 1,600
NOBODY = 65534
SPECIMENS = [*zoo_pictures.SPECIMENS, *zoo_damage.SPECIMENS, *zoo_places.SPECIMENS, *zoo_archives.SPECIMENS]
GROUPS = {
    "Odd, but whole": zoo_pictures.SPECIMENS,
    "Damaged, disguised, or made to fill the memory": zoo_damage.SPECIMENS,
    "Names, links, and what is no file": zoo_places.SPECIMENS,
    "Zip archives (`data=celeba`)": zoo_archives.SPECIMENS,
}


def trials() -> list[Trial]:
    """One for each specimen."""
    return [Trial(specimen.name, partial(run, specimen)) for specimen in SPECIMENS]


def run(specimen: Specimen, folder: Path) -> Result:
    """Do it in a process of its own, which may take neither long nor much memory."""
    if specimen.unprivileged:
        for path in (folder, *folder.parents):  # pytest's folders are closed to others
            if path.stat().st_uid == os.getuid() and not path.stat().st_mode & 0o001:
                path.chmod(path.stat().st_mode | 0o711)
    here, there = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("fork").Process(target=_answer, args=(specimen, folder, there))
    process.start()
    there.close()
    try:
        loss = here.recv() if here.poll(LIMIT) else f"still running after {LIMIT} s"
    except EOFError:
        loss = "the process died"
    process.kill()
    process.join()
    return Result(1, loss)


def populate(folder: Path, specimens: list[Specimen]) -> None:
    """Write good images, and each specimen into a folder of its own; or one beside them."""
    folder.mkdir()
    for number in range(GOOD):
        (folder / f"good{number}.png").write_bytes(encoded(picture(), "PNG"))
    for number, specimen in enumerate(specimens):
        place = folder / f"{number:03d}" if len(specimens) > 1 else folder
        place.mkdir(exist_ok=True)
        specimen.write(place / specimen.file)


def _answer(specimen: Specimen, folder: Path, answer: Connection) -> None:
    try:
        loss = _tried(specimen, folder)
    except BaseException as error:
        loss = f"{type(error).__name__}: {error}"
    answer.send(loss)
    answer.close()
    os._exit(0)


def _tried(specimen: Specimen, folder: Path) -> str:
    """What went otherwise than documented; empty where nothing did."""
    images = folder / "images"
    populate(images, [specimen])
    (folder / "cache").mkdir()
    if specimen.unprivileged and os.getuid() == 0:
        os.chown(folder / "cache", NOBODY, NOBODY)
        os.setgroups([])
        os.setuid(NOBODY)
    before = _listing(folder)
    took = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    losses = [_outcome(specimen, folder, skip) for skip in (False, True)]
    took = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - took) // (2**20 if sys.platform == "darwin" else 2**10)
    if took > MEMORY:
        losses.append(f"{took} MB were taken")
    if _listing(folder) != before:
        losses.append(f"files appeared: {sorted(_listing(folder) - before)}")
    return "; ".join(loss for loss in losses if loss)


def _outcome(specimen: Specimen, folder: Path, skip: bool) -> str:
    archive = specimen.file.endswith(".zip")
    kind = CelebADataModule if archive else ImageFolderDataModule
    root = folder / "images" / specimen.file if archive else folder / "images"
    module = kind(
        root=str(root), image_size=SIDE, channels=3, batch_size=1, sampling="shuffle", drop_last=False, num_workers=0,
        cache_dir=str(folder / "cache"), seed=0, digit=None, skip_bad_files=skip, allow_upscale=False,
    )  # fmt: skip
    said = io.StringIO()
    unusable = archive and specimen.at == specimen.file  # the whole place is
    try:
        with contextlib.redirect_stderr(said):
            module.prepare_data()
            module.setup("fit")
    except Refusal as refusal:
        if specimen.outcome != "bad" or (skip and not unusable):
            return f"refused: {refusal}"
        remedy = "name another place" if unusable else "data.skip_bad_files=true"
        return _told(specimen, str(refusal), remedy, refusal.remedy)
    if specimen.outcome == "bad" and (not skip or unusable):
        return "not refused"
    loss = _told(specimen, said.getvalue()) if specimen.outcome == "bad" else _wrong(said.getvalue())
    return loss or _judged(specimen, module.images.permute(0, 2, 3, 1).numpy())


def _told(specimen: Specimen, message: str, remedy: str = "", remedies: str = "") -> str:
    """What is missing in a message."""
    name = specimen.at or specimen.file
    lines = [line for line in message.splitlines() if name in line and specimen.reason in line]
    return "" if lines and remedy in remedies else f"{name} with {specimen.reason!r} and {remedy!r} not in: {message}"


def _wrong(said: str) -> str:
    return f"it said: {said}" if "cannot be used" in said else ""


def _judged(specimen: Specimen, images: np.ndarray) -> str:
    """Whether there are as many images as there should be, each with its pixels; (N, H, W, C) uint8."""
    used = specimen.images if specimen.outcome == "used" else 0
    if len(images) != GOOD + used:
        return f"{len(images)} images instead of {GOOD + used}"
    off = [int(np.abs(image.astype(int) - picture()).max()) for image in images]
    if used and specimen.pixels is not None:
        of_specimen = [int(np.abs(image.astype(int) - specimen.pixels).max()) for image in images]
        matching = sum(o <= specimen.tolerance for o in of_specimen)
        return "" if off.count(0) >= GOOD and matching >= used else f"pixels are off by {of_specimen}"
    return "" if not any(off) else "pixels of good images are off"


def _listing(folder: Path) -> set[str]:
    """All that is there besides the cache."""
    places = [folder, folder.parent]
    return {str(path) for place in places for path in place.glob("*")} | {str(p) for p in (folder / "images").glob("*")}


def table() -> str:
    """The outcomes in Markdown."""
    words = {"used": "used", "ignored": "not counted as an image"}
    lines = []
    for title, specimens in GROUPS.items():
        lines += [f"### {title}", "", "| file | made | outcome |", "| --- | --- | --- |"]
        for s in specimens:
            bad = f"bad: {s.reason or 'the reason is given'}"
            lines.append(f"| {s.name} | {s.made} | {words.get(s.outcome, bad)} |".replace("\n", " "))
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    replace_section(PAGE, "zoo", table())
