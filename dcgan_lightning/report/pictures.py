"""A run's pictures as the report shows them: some of the grids, small enough to be mailed, inside the page."""

import base64
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from dcgan_lightning.animation import evenly
from dcgan_lightning.curves import NotThere, grids
from dcgan_lightning.untrusted import open_png

MOST = 24  # grids on the slider
BUDGET = 4_500_000  # bytes of all grids together; inside the page they take a third more
SIDE = 720  # pixels; larger pictures are shrunk to it
LARGEST = 50_000_000  # pixels of a picture that is opened at all
# Tried in turn until a picture is within its share: WebP's quality, and the part of the sides that is kept.
TRIES = ((85, 1.0), (50, 0.75), (30, 0.5), (20, 0.25))
SHARP = 400  # pixels; narrower pictures are shown magnified, pixel by pixel


class Picture(NamedTuple):
    """A picture inside the page: its data URI, and the size that it is shown in, in pixels."""

    src: str
    width: int
    height: int

    @property
    def sharp(self) -> bool:
        return self.width < SHARP


class Frame(NamedTuple):
    """A grid, and after how many iterations it was drawn."""

    iteration: int
    picture: Picture


@dataclass(frozen=True)
class Frames:
    """What the slider shows.

    Attributes:
        shown: by rising iteration, at least one.
        found: how many grids there are.
        damaged: how many of those that were chosen could not be read.
    """

    shown: list[Frame]
    found: int
    damaged: int

    @property
    def left_out(self) -> int:
        return self.found - len(self.shown) - self.damaged


def frames(folder: Path, best: int | None) -> Frames:
    """Grids evenly spread over a run, with its first, its last, and that of the best checkpoint.

    Args:
        folder: of the run.
        best: iterations done at the best checkpoint; None where there is none.

    Raises:
        NotThere: there is no grid that can be read.
    """
    found = grids(folder)
    numbers = list(found)
    chosen = {numbers[index] for index in evenly(len(numbers), MOST)} | ({best} & found.keys())
    shown, damaged = [], 0
    for number in sorted(number for number in chosen if number is not None):
        try:
            shown.append(Frame(number, picture(found[number], BUDGET // len(chosen))))
        except Exception:  # whatever Pillow has for what is no picture
            damaged += 1
    if not shown:
        raise NotThere(f"no grid of generated images is there{f': {damaged} are damaged' if damaged else ''}")
    return Frames(shown, len(found), damaged)


def picture(file: Path, most: int, side: int = SIDE) -> Picture:
    """A PNG as WebP in a data URI of about ``most`` bytes at most, its sides not longer than ``side`` pixels.

    Raises:
        NotThere, OSError, ValueError: it is missing, damaged, or too large to be opened.
    """
    if not file.is_file():
        raise NotThere(f"there is no {file.name}")
    with open_png(file) as opened:
        if opened.width * opened.height > LARGEST:
            raise ValueError(f"{file.name} has {opened.width} x {opened.height} pixels")
        whole = opened.convert("RGB")
    times = min(1.0, side / max(whole.size))
    size = _scaled(whole, times)
    for quality, part in TRIES:
        content = _webp(whole if times * part == 1 else whole.resize(_scaled(whole, times * part)), quality)
        if len(content) <= most:
            break
    return Picture(f"data:image/webp;base64,{base64.b64encode(content).decode()}", *size)


def _scaled(whole: Image.Image, times: float) -> tuple[int, int]:
    return max(1, round(times * whole.width)), max(1, round(times * whole.height))


def _webp(image: Image.Image, quality: int) -> bytes:
    held = BytesIO()
    image.save(held, format="WebP", quality=quality, method=2)
    return held.getvalue()
