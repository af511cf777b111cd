"""Image files made on the fly."""

import io
from pathlib import Path

import numpy as np
from PIL import Image


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    """An RGB image in which no two pixels agree by construction."""
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def encoded(image: Image.Image, kind: str, **how) -> bytes:
    """The bytes of a file."""
    file = io.BytesIO()
    image.save(file, kind, **how)
    return file.getvalue()


def write_images(folder: Path, count: int, side: int = 20, suffix: str = ".png", first: int = 0) -> list[Path]:
    """Write numbered images, each different."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{number:06d}{suffix}" for number in range(first, first + count)]
    for number, path in enumerate(paths):
        noise(side, side, first + number).save(path)
    return paths


def snapshot(folder: Path) -> dict[str, tuple[int, int]]:
    """Everything below a folder, with time of modification and size."""
    places = [folder, *folder.rglob("*")]
    return {str(place): (place.stat().st_mtime_ns, place.stat().st_size) for place in places}
