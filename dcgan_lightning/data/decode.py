"""The bytes of one image file -> uint8 pixels as a person expects them, scaled and cropped as in the DCGAN tutorial."""

import contextlib
import io
import warnings

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

TRANSFORM_VERSION = 1  # part of every cache's key: raise it when the pixels that this file makes change
FORMATS = ("JPEG", "PNG", "WEBP", "BMP")  # nothing else is tried: Pillow hands some formats to other programs
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
ROOM = 2**24  # pixels that an image may be scaled to before it is cropped; a long strip is cropped first


class BadImage(Exception):
    """A file that is no image, or not a whole one; its text is the reason, without the file's name."""


def decode(data: bytes, height: int, width: int, channels: int) -> tuple[np.ndarray, tuple[int, int]]:
    """Turn a file's bytes into pixels.

    Upright (EXIF), first frame, transparency on white, 16 bits scaled to 8, CMYK to RGB; then scaled so that it just
    covers (height, width), then the centre is cropped.

    Args:
        data: content of a JPEG, PNG, WebP or BMP file.
        height: of the result, pixels.
        width: of the result, pixels.
        channels: 1 (grey, ITU-R 601 luma) or 3 (RGB; grey is repeated).

    Returns:
        (channels, height, width) uint8, and the (width, height) that the upright image had, pixels.

    Raises:
        BadImage: the bytes are empty, another format, damaged, cut short, or claim more pixels than Pillow allows.
    """
    if not data:
        raise BadImage("the file is empty")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about metadata; what damages pixels is an exception
            image = flatten(open_upright(data), channels)
            pixels = np.asarray(cover(image, height, width))  # (H, W) or (H, W, 3)
    except UnidentifiedImageError:
        raise BadImage("not a JPEG, PNG, WebP or BMP image") from None
    except Exception as error:  # Pillow's decoders raise nearly anything on damaged bytes, SyntaxError included
        raise BadImage(str(error) or type(error).__name__) from None
    return pixels.reshape(height, width, channels).transpose(2, 0, 1), image.size  # (C, H, W)


def upright_size(data: bytes) -> tuple[int, int]:
    """(width, height) as seen, from the file's header alone; (0, 0) where there is none to read."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = Image.open(io.BytesIO(data), formats=FORMATS)
            turned = image.getexif().get(ExifTags.Base.Orientation, 1) >= 5  # 5 to 8 lie on their side
    except Exception:  # the decoder will meet the same file and say what is wrong with it
        return 0, 0
    return (image.height, image.width) if turned else image.size


def open_upright(data: bytes) -> Image.Image:
    """Read the first frame wholly and turn it as its EXIF orientation asks."""
    image = Image.open(io.BytesIO(data), formats=FORMATS)
    image.load()
    with contextlib.suppress(Exception):  # the pixels are whole by now: unreadable EXIF is no reason to lose them
        ImageOps.exif_transpose(image, in_place=True)
    return image


def flatten(image: Image.Image, channels: int) -> Image.Image:
    """Any of Pillow's modes -> "L" for one channel, "RGB" for three; transparency is laid on white."""
    if image.mode.startswith("I"):  # 16-bit grey; Pillow's own conversion would clip it at 255
        levels = np.clip(np.asarray(image), 0, 65535).astype(np.uint32)
        if isinstance(clear := image.info.get("transparency"), int):
            levels[levels == clear] = 65535
        image = Image.fromarray(((levels + 128) // 257).astype(np.uint8))
    elif image.has_transparency_data:
        rgba = image.convert("RGBA")
        image = Image.new("RGBA", rgba.size, "white")
        image.alpha_composite(rgba)
    return image.convert("L" if channels == 1 else "RGB")


def cover_size(width: int, height: int, to_width: int, to_height: int) -> tuple[int, int]:
    """The (width, height) of the smallest scaling, proportions kept, that covers (to_width, to_height).

    For a square target it is the size that ``torchvision.transforms.Resize(side)`` gives.
    """
    if width * to_height <= height * to_width:
        return to_width, to_width * height // width
    return to_height * width // height, to_height


def cover(image: Image.Image, height: int, width: int) -> Image.Image:
    """``Resize`` then ``CenterCrop`` of torchvision on a PIL image, for any (height, width), also a non-square one."""
    to_width, to_height = cover_size(*image.size, width, height)
    left = round((to_width - width) / 2)  # to even at .5, as torchvision rounds
    top = round((to_height - height) / 2)
    if to_width * to_height <= max(ROOM, image.width * image.height):
        scaled = image.resize((to_width, to_height), Image.Resampling.BILINEAR)
        return scaled.crop((left, top, left + width, top + height))
    # The same, but for rounding in the last place: a strip of 2,000,000 x 1 would have to be scaled to 8 gigapixels.
    x, y = image.width / to_width, image.height / to_height
    box = (left * x, top * y, (left + width) * x, (top + height) * y)
    return image.resize((width, height), Image.Resampling.BILINEAR, box)
