"""Files that are odd but whole: they are used, and their pixels are known in closed form."""

import struct
import zlib
from functools import partial

import numpy as np
from PIL import Image, ImageCms

from benchmarks.reliability.specimen import SIDE, Specimen, chunk, content, encoded, picture, png, rows

PASSES = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]  # Adam7's
LOSSLESS_JPEG = {"quality": 100, "subsampling": 0}  # nearly
NEAR = 4


def turned(orientation: int) -> np.ndarray:
    """The picture as a camera stores it that writes this EXIF orientation."""
    upright = picture()
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright),
        7: upright[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }
    return np.ascontiguousarray(stored[orientation])


def exif(orientation: int) -> Image.Exif:
    values = Image.Exif()
    values[0x0112] = orientation
    return values


def interlaced() -> bytes:
    data = b"".join(rows(np.ascontiguousarray(picture()[y::down, x::right])) for x, y, right, down in PASSES)
    return png(SIDE, SIDE, data, interlace=1)


def on_white() -> np.ndarray:
    """The picture with its upper half white."""
    half = picture()
    half[: SIDE // 2] = 255
    return half


def half_clear() -> np.ndarray:
    """(8, 8, 4): the picture with its upper half transparent."""
    alpha = np.full((SIDE, SIDE, 1), 255, np.uint8)
    alpha[: SIDE // 2] = 0
    return np.concatenate([picture(), alpha], 2)


def grey() -> np.ndarray:
    """(8, 8) uint8."""
    return np.arange(64, dtype=np.uint8).reshape(SIDE, SIDE) * 4


def as_rgb(levels: np.ndarray) -> np.ndarray:
    return np.repeat(levels[..., None], 3, 2)


def clear_palette() -> bytes:
    image = Image.new("P", (SIDE, SIDE), 1)
    image.putpalette([1, 2, 3, 200, 100, 50])
    image.paste(0, (0, 0, SIDE, SIDE // 2))
    return encoded(image, "PNG", transparency=0)


def palette_on_white() -> np.ndarray:
    expected = np.full((SIDE, SIDE, 3), [200, 100, 50], np.uint8)
    expected[: SIDE // 2] = 255
    return expected


def animated(kind: str, **how: object) -> bytes:
    second = Image.new("RGB", (SIDE, SIDE), "black")
    return encoded(picture(), kind, save_all=True, append_images=[second], duration=100, **how)


def sixteen_bit_with_a_clear_level() -> bytes:
    levels = grey().astype(">u2") * 257
    return png(SIDE, SIDE, rows(levels.astype(">u2")), 16, 0, chunk(b"tRNS", struct.pack(">H", 4 * 257)))


def clear_level_on_white() -> np.ndarray:
    levels = grey()
    levels[levels == 4] = 255
    return as_rgb(levels)


def cmyk() -> bytes:
    inks = np.concatenate([255 - picture(), np.zeros((SIDE, SIDE, 1), np.uint8)], 2)
    return encoded(Image.fromarray(inks, "CMYK"), "JPEG", **LOSSLESS_JPEG)


def corrupt_exif() -> bytes:
    return encoded(picture(), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff" + bytes(range(64)), **LOSSLESS_JPEG)


def large_exif() -> bytes:
    comment = b"\xff\xfe" + struct.pack(">H", 65535) + bytes(65533)
    data = encoded(picture(), "JPEG", **LOSSLESS_JPEG)
    return data[:2] + comment * 20 + data[2:]


def strip(width: int, height: int) -> bytes:
    """Grey, and all of one level."""
    return png(width, height, (b"\0" + b"\x64" * width) * height, 8, 0)


def with_profile() -> bytes:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    return png(SIDE, SIDE, rows(picture()), between=chunk(b"iCCP", b"x\0\0" + zlib.compress(profile)))


def float_bits() -> np.ndarray:
    return np.where(grey() >= 128, 255, 0).astype(np.uint8)


HUNDRED = np.full((SIDE, SIDE, 3), 100, np.uint8)


def _used(name, made, make, pixels=None, near=0, file="specimen.png", **more) -> Specimen:
    expected = picture() if pixels is None else pixels
    return Specimen(name, made, "used", content(make), file, pixels=expected, tolerance=near, **more)


SPECIMENS = [
    *(
        _used(
            f"EXIF orientation {orientation}",
            "JPEG as a camera stores it that was held so; shown upright",
            partial(lambda o: encoded(turned(o), "JPEG", exif=exif(o), **LOSSLESS_JPEG), orientation),
            near=NEAR,
            file="specimen.jpg",
        )
        for orientation in range(1, 9)
    ),
    _used(
        "16-bit grey",
        "PNG, levels / 257",
        lambda: encoded(Image.fromarray(grey().astype(np.uint16) * 257), "PNG"),
        as_rgb(grey()),
    ),
    _used(
        "16-bit grey with a transparent level",
        "PNG with tRNS; that level is white",
        sixteen_bit_with_a_clear_level,
        clear_level_on_white(),
    ),
    _used(
        "16-bit colour",
        "PNG, levels / 257",
        lambda: png(SIDE, SIDE, rows((picture().astype(">u2") * 257).astype(">u2")), 16),
    ),
    _used(
        "CMYK",
        "JPEG with Adobe's marker, its inks inverted as Adobe has them; no profile is applied",
        cmyk,
        near=NEAR,
        file="specimen.jpg",
    ),
    _used("palette with transparency", "PNG; transparent on white", clear_palette, palette_on_white()),
    _used("alpha channel", "PNG, RGBA; transparent on white", lambda: encoded(half_clear(), "PNG"), on_white()),
    _used(
        "grey with alpha",
        "PNG, LA; transparent on white",
        lambda: encoded(Image.merge("LA", [Image.fromarray(grey()), Image.fromarray(half_clear()[..., 3])]), "PNG"),
        as_rgb(np.where(half_clear()[..., 3] == 0, 255, grey()).astype(np.uint8)),
    ),
    _used(
        "black and white",
        "PNG of 1 bit",
        lambda: encoded(Image.fromarray(float_bits()).convert("1"), "PNG"),
        as_rgb(float_bits()),
    ),
    _used("animated PNG", "two frames; the first", lambda: animated("PNG")),
    _used(
        "animated WebP",
        "two frames, lossless; the first",
        lambda: animated("WEBP", lossless=True),
        file="specimen.webp",
    ),
    _used(
        "WebP with alpha",
        "lossless; transparent on white",
        lambda: encoded(half_clear(), "WEBP", lossless=True),
        on_white(),
        file="specimen.webp",
    ),
    _used("interlaced PNG", "Adam7", interlaced),
    _used(
        "progressive JPEG",
        "quality 100",
        lambda: encoded(picture(), "JPEG", progressive=True, **LOSSLESS_JPEG),
        near=NEAR,
        file="specimen.jpg",
    ),
    _used("1x1", "PNG of one pixel, enlarged", lambda: strip(1, 1), HUNDRED),
    _used("20,000x10", "PNG; scaled to cover, its middle is used", lambda: strip(20000, 10), HUNDRED),
    _used("2,000,000x1", "PNG; its middle is cut out before it is scaled", lambda: strip(2_000_000, 1), HUNDRED),
    _used("bytes after the end", "PNG with 1 MB appended", lambda: encoded(picture(), "PNG") + bytes(10**6)),
    _used("JPEG named .png", "the content counts", lambda: encoded(picture(), "JPEG", **LOSSLESS_JPEG), near=NEAR),
    _used(
        "upper-case .JPG", "JPEG", lambda: encoded(picture(), "JPEG", **LOSSLESS_JPEG), near=NEAR, file="SPECIMEN.JPG"
    ),
    _used("BMP", "24 bits", lambda: encoded(picture(), "BMP"), file="specimen.bmp"),
    _used("corrupt EXIF", "JPEG with an EXIF block that points nowhere", corrupt_exif, near=NEAR, file="specimen.jpg"),
    _used("large metadata", "JPEG with 1.3 MB of comments", large_exif, near=NEAR, file="specimen.jpg"),
    _used("colour profile", "PNG with an ICC profile, which is not applied", with_profile),
]
