"""Where samples go: one picture, an animation, or numbered files in a folder."""

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, Protocol

import torch
from rich.console import Console
from rich.progress import Progress
from torch import Tensor

from dcgan_lightning.errors import Refusal
from dcgan_lightning.parallel import in_order
from dcgan_lightning.pictures import LONGEST, PADDING, SETTINGS, grid, save_gif, save_picture, save_sample

Format = Literal["png", "jpg", "webp", "gif"]
GIF = ".gif"
FRAME = 100  # milliseconds that an image of an animation is shown
SMALLEST = 128  # pixels: an animation of smaller images shows each pixel as a block, to be seen at all


@dataclass(frozen=True)
class Batch:
    """Images that are yet to be drawn.

    Args:
        n: how many.
        draw: makes them, (n, C, H, W) uint8 on the CPU; in whichever thread, while others draw other batches.
    """

    n: int
    draw: Callable[[], Tensor]


class Output(Protocol):
    """A place for ``n`` images."""

    def claim(self, shape: torch.Size) -> None:
        """Make the folder; refuse one that cannot be written to, or files that cannot hold images (C, H, W)."""

    def write(self, batches: Iterable[Batch]) -> None:
        """Draw all batches, write their images in this order, and say where."""


@dataclass(frozen=True)
class Numbered:
    """A file for each image, numbered from 0, in an empty folder."""

    folder: Path
    ending: str
    n: int

    def claim(self, shape: torch.Size) -> None:
        _make(self.folder)

    def write(self, batches: Iterable[Batch]) -> None:
        with Progress(console=Console(stderr=True)) as progress:
            task = progress.add_task("sampling", total=self.n)
            for written in in_order(self._jobs(batches)):
                progress.advance(task, written)
        print(f"images     {self.folder}")

    def _jobs(self, batches: Iterable[Batch]) -> Iterator[Callable[[], int]]:
        first = 0
        for batch in batches:
            yield partial(self._write_batch, batch, first)
            first += batch.n

    def _write_batch(self, batch: Batch, first: int) -> int:
        digits = max(5, len(str(self.n - 1)))
        for number, image in enumerate(batch.draw(), first):
            save_sample(image, self.folder / f"{number:0{digits}d}{self.ending}")
        return batch.n


@dataclass(frozen=True)
class Pictures:
    """All images in one picture, row by row, or one after another in an animation, or both.

    Args:
        files: what to write; the ending ``.gif`` says that it is the animation.
        n: number of images.
        columns: images in a row.
        strips: each row goes on where the one before it ended; an animation, which only strips have, shows that
            image once.
    """

    files: list[Path]
    n: int
    columns: int
    strips: bool

    def claim(self, shape: torch.Size) -> None:
        longest = max(
            -(-self.n // self.columns) * (shape[1] + PADDING) + PADDING,
            min(self.n, self.columns) * (shape[2] + PADDING) + PADDING,
        )
        for file in self.files:
            if longest > LONGEST.get(file.suffix.lower(), longest):
                problem = f"holds {LONGEST[file.suffix.lower()]} pixels a side, and the picture has {longest}"
                raise Refusal("format", file.suffix[1:], problem, "format=png, or rows and columns of equal length")
            _make(file.parent)

    def write(self, batches: Iterable[Batch]) -> None:
        images = torch.cat(list(in_order(batch.draw for batch in batches)))  # (N, C, H, W) uint8
        for file in self.files:
            if file.suffix.lower() == GIF:
                again = range(self.columns, self.n, self.columns)  # where a strip begins as the last one ended
                save_gif((_magnified(image) for i, image in enumerate(images) if i not in again), file, FRAME)
                print(f"animation  {file}")
            else:
                save_picture(grid(images, self.columns), file)
                print(f"{'strip' if self.strips else 'grid':9}  {file}")


def numbered(out: str | None, format: Format | None, n: int) -> Numbered:
    """The folder that ``save=images`` names."""
    if out is None:
        raise Refusal("out", "null", "save=images needs a folder", "out=samples")
    if format == "gif":
        raise Refusal("format", format, "is for an animation, and save=images writes pictures", "format=png")
    folder = Path(out).expanduser()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise Refusal("out", out, "is not an empty folder, and would mix these images with others", "give another one")
    return Numbered(folder, f".{format or 'png'}", n)


def pictures(out: str | None, format: Format | None, default: Path, n: int, columns: int, strips: bool) -> Pictures:
    """The files that ``save=grid`` names.

    Args:
        out: a file, whose ending is its type; of strips also one without an ending.
        format: the type; null: what ``out`` says, else PNG, and of strips GIF too.
        default: instead of ``out``, the file without its ending.
        n: number of images.
        columns: images in a row.
        strips: the rows are strips, of which there can be an animation.
    """
    file = default if out is None else Path(out).expanduser()
    ending = "" if out is None else file.suffix.lower()
    if file.is_dir():
        raise Refusal("out", out, "is a folder, and a grid is one file", "out=grid.png, or save=images for a folder")
    if GIF in (ending, f".{format}") and not strips:
        option, value = ("out", out) if ending == GIF else ("format", format)
        raise Refusal(option, value, "a GIF is an animation, of a walk between latents", "interpolate=spherical")
    if ending in (*SETTINGS, GIF):
        if format not in (None, ending[1:]):
            raise Refusal("format", format, f"and out={out} say two things", "leave one of them out")
        return Pictures([file], n, columns, strips)
    if out is not None and not strips:
        endings = ", ".join(f"*{ending}" for ending in SETTINGS)
        raise Refusal("out", out, f"a grid is one file, {endings}", "out=grid.png, or save=images for a folder")
    endings_made = [f".{format}"] if format else [".png", GIF] if strips else [".png"]
    return Pictures([file.with_name(file.name + ending) for ending in endings_made], n, columns, strips)


def _magnified(image: Tensor) -> Tensor:
    times = -(-SMALLEST // max(image.shape[1:]))
    return image.repeat_interleave(times, dim=1).repeat_interleave(times, dim=2)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Refusal("out", folder, f"cannot be made: {error}", "give another place") from error
    if not os.access(folder, os.W_OK):
        raise Refusal("out", folder, "cannot be written to", "give another place")
