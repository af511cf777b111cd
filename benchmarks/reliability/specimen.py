"""One bad or odd file, with what is documented to come of it."""

import io
import os
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

SIDE = 8  # pixels, of all pictures here and of what they are decoded to, so that nothing is scaled
Outcome = Literal["used", "bad", "ignored"]


@dataclass(frozen=True)
class Specimen:
    """A file for a folder of images, or an archive.

    Attributes:
        name: in words; unique.
        made: how it is made.
        outcome: ``used``: it is trained on; ``bad``: refused with its name and ``reason``, or left out with
            ``data.skip_bad_files=true``; ``ignored``: not counted as an image.
        write: makes it; takes the path below the folder.
        file: its path in the folder.
        reason: what the message says, of a bad one.
        pixels: (8, 8, 3) uint8 that a used one has to give; None: any.
        tolerance: how far off they may be, grey levels; of lossy formats.
        at: name under which the message has it, where that is not ``file``.
        images: how many it gives, where it is used.
        unprivileged: whether it has to be read as another user, since root may read everything.
    """

    name: str
    made: str
    outcome: Outcome
    write: Callable[[Path], object]
    file: str = "specimen.png"
    reason: str = ""
    pixels: np.ndarray | None = None
    tolerance: int = 0
    at: str = ""
    images: int = 1
    unprivileged: bool = False


def picture() -> np.ndarray:
    """(8, 8, 3) uint8; red tells the column and green the row, so that no turn or mirror image of it equals it."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    return np.stack([30 * columns + 10, 30 * rows + 10, np.full_like(rows, 100)], 2).astype(np.uint8)


def encoded(image: Image.Image | np.ndarray, kind: str, **how: object) -> bytes:
    """A file's bytes."""
    file = io.BytesIO()
    (Image.fromarray(image) if isinstance(image, np.ndarray) else image).save(file, kind, **how)
    return file.getvalue()


def content(make: Callable[[], bytes]) -> Callable[[Path], object]:
    """Writes bytes that are made when they are wanted."""

    def write(path: Path) -> None:
        with open(os.fsencode(path), "wb") as file:
            file.write(make())

    return write


def chunk(kind: bytes, data: bytes) -> bytes:
    """Of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(
    width: int, height: int, pixels: bytes, depth: int = 8, colour: int = 2, between: bytes = b"", interlace: int = 0
) -> bytes:
    """A PNG of filtered rows, written out, since Pillow writes none of the odd ones."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace)
    body = chunk(b"IHDR", header) + between + chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def rows(pixels: np.ndarray) -> bytes:
    """(H, W, ...) as a PNG's rows, unfiltered."""
    return b"".join(b"\0" + row.tobytes() for row in pixels)
