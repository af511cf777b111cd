"""A run's grids as an animation: ``progress.gif``, and ``progress.mp4`` where there is an encoder."""

import contextlib
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from dcgan_lightning.captions import captioned, font_size, size_if_whole, size_with_band
from dcgan_lightning.curves import NotThere, grids
from dcgan_lightning.untrusted import open_png
from dcgan_lightning.whole_files import written_whole

MOST = 200  # frames
SIDE = 1024  # pixels; larger pictures are shrunk, since Pillow holds all frames of a GIF, a byte a pixel, to write them
SECONDS, FRAME, LAST = 20.0, 0.4, 2.0  # of the whole at most, of a frame at most, and for how long the last one stays


class Frame(NamedTuple):
    words: str
    file: Path
    size: tuple[int, int]  # (width, height) of the picture as it is shown


class Animation(NamedTuple):
    """Frames that are made as they are asked for, all of one size."""

    frames: list[Frame]
    font: int  # pixels
    size: tuple[int, int]  # (width, height), even numbers, as video codecs need them
    seconds: float  # that a frame is shown

    @property
    def last(self) -> int:
        """For how many frames' time the last one is shown."""
        return round(LAST / self.seconds)

    def pictures(self) -> Iterator[Image.Image]:
        for words, file, size in self.frames:
            with open_png(file) as picture:
                shown = picture if picture.size == size else picture.convert("RGB").resize(size, Image.Resampling.BOX)
                yield captioned(shown, words, self.size, self.font)


def animation(folder: Path) -> Animation:
    """The frames of a run's grids, each marked with its iteration above it; of more than :data:`MOST`, some.

    Raises:
        NotThere: there is no grid.
    """
    numbered = list(grids(folder).items())
    chosen = [numbered[i] for i in evenly(len(numbered), MOST)]
    sized = [(iteration, file, size_if_whole(file)) for iteration, file in chosen]
    frames = [Frame(f"iteration {iteration:,}", file, _shrunk(size)) for iteration, file, size in sized if size]
    if not frames:
        raise NotThere(f"there is no whole picture in {folder / 'grids'}")
    font = font_size(max(frame.size[0] for frame in frames))
    sizes = [size_with_band(frame.words, frame.size, font) for frame in frames]
    width, height = (max(sides) for sides in zip(*sizes, strict=True))
    return Animation(frames, font, (width + width % 2, height + height % 2), min(FRAME, SECONDS / len(frames)))


def draw_gif(folder: Path) -> list[Path]:
    """Write ``progress.gif``, which plays for ever.

    Raises:
        NotThere: there is no grid.
    """
    shown, path = animation(folder), folder / "progress.gif"
    durations = [round(1000 * shown.seconds)] * (len(shown.frames) - 1) + [round(1000 * LAST)]  # ms
    with written_whole(path) as file:
        palettes = map(_with_palette, shown.pictures())
        next(palettes).save(file, save_all=True, append_images=palettes, duration=durations, loop=0)
    return [path]


def draw_mp4(folder: Path) -> list[Path]:
    """Write ``progress.mp4`` (H.264), where the extra ``mp4`` is installed.

    Raises:
        NotThere: there is no grid, or no encoder.
        OSError: the encoder failed.
    """
    shown, path = animation(folder), folder / "progress.mp4"
    if importlib.util.find_spec("imageio_ffmpeg") is None:
        raise NotThere('there is no encoder; it comes with pip install -e ".[mp4]"')
    import imageio_ffmpeg

    with written_whole(path) as file:
        writer = imageio_ffmpeg.write_frames(
            file, shown.size, fps=1 / shown.seconds, quality=7, macro_block_size=2, ffmpeg_log_level="error"
        )
        with contextlib.closing(writer):
            writer.send(None)
            for number, picture in enumerate(shown.pictures(), 1):
                for _ in range(shown.last if number == len(shown.frames) else 1):
                    writer.send(np.asarray(picture).tobytes())
        frames, _ = imageio_ffmpeg.count_frames_and_secs(file)  # the writer does not say whether the encoder failed
        if frames != len(shown.frames) - 1 + shown.last:
            raise OSError(f"{frames} frames of {len(shown.frames) - 1 + shown.last} were encoded")
    return [path]


def evenly(count: int, most: int) -> list[int]:
    """Indices of at most so many of ``count`` things, evenly spaced, the first and the last among them."""
    return [int(i) for i in np.linspace(0, count - 1, min(count, most)).round()]


def _shrunk(size: tuple[int, int]) -> tuple[int, int]:
    times = min(1.0, SIDE / max(size))
    return round(size[0] * times), round(size[1] * times)


def _with_palette(picture: Image.Image) -> Image.Image:
    """At most 256 colours, as a GIF has them: greys as they are, colours chosen for this picture."""
    red, green, blue = picture.split()
    if red.tobytes() == green.tobytes() == blue.tobytes():
        return red
    # A sixteenth of a large picture's pixels choose colours as good, in a sixth of the time.
    few = picture.resize((-(-picture.width // 4), -(-picture.height // 4)), Image.Resampling.NEAREST)
    colours = (few if min(few.size) > 64 else picture).quantize(256)
    return picture.quantize(palette=colours, dither=Image.Dither.NONE)
