"""Words above a picture, in a band of their own."""

from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from dcgan_lightning.untrusted import open_png

PAPER, INK = "white", "black"


def size_if_whole(file: Path) -> tuple[int, int] | None:
    """(width, height) of a picture; None for half a one, such as is left by a run that was killed while it drew."""
    try:
        with open_png(file) as picture:
            picture.verify()
            return picture.size
    except (OSError, SyntaxError):  # Pillow has the second one for damaged PNGs
        return None


def font_size(width: int) -> int:
    """Pixels, for pictures of that width."""
    return max(14, width // 30)


def size_with_band(words: str, size: tuple[int, int], font: int) -> tuple[int, int]:
    """(width, height) that words in letters of ``font`` pixels and a picture of that size take together."""
    return max(size[0], round(_font(font).getlength(words)) + font), size[1] + 2 * font


def captioned(picture: Image.Image, words: str, size: tuple[int, int], font: int) -> Image.Image:
    """The picture with words above it, both in the middle, none of its pixels touched.

    Args:
        picture: in any mode.
        words: one line.
        size: (width, height) of the result, at least that of :func:`size_with_band`.
        font: its size in pixels; the band is twice as high.

    Returns:
        An RGB image.
    """
    whole = Image.new("RGB", size, PAPER)
    ImageDraw.Draw(whole).text((size[0] // 2, font), words, INK, _font(font), anchor="mm")
    whole.paste(picture, ((size[0] - picture.width) // 2, 2 * font))
    return whole


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
