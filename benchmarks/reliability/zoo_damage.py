"""Files that are damaged, that are something else than their name says, or that would fill the memory."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.reliability.specimen import SIDE, Specimen, chunk, content, encoded, picture, png, rows

NO_IMAGE = "not a JPEG, PNG, WebP or BMP image"
BOMB = "exceeds limit of 178956970 pixels"


def noisy() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)


def half(data: bytes) -> bytes:
    return data[: len(data) // 2]


def flipped(data: bytes, after: bytes, offset: int) -> bytes:
    damaged = bytearray(data)
    damaged[damaged.index(after) + offset] ^= 255
    return bytes(damaged)


def bogus_bmp() -> bytes:
    data = bytearray(encoded(picture(), "BMP"))
    data[18:26] = struct.pack("<ii", 2**31 - 1, 2**31 - 1)
    return bytes(data)


def real_bomb() -> bytes:
    """20,000 x 20,000 pixels of one bit, 50 kB."""
    squeeze = zlib.compressobj(1)
    line = bytes(1 + 20000 // 8)
    data = b"".join(squeeze.compress(line * 1000) for _ in range(20)) + squeeze.flush()
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 20000, 20000, 1, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def text_bomb(kind: bytes) -> bytes:
    text = kind + b"\0\0" if kind == b"x" else b"Comment\0\0"
    inflated = zlib.compress(bytes(32 * 2**20), 1)
    return png(SIDE, SIDE, rows(picture()), between=chunk(b"iCCP" if kind == b"x" else b"zTXt", text + inflated))


def endless(path: Path) -> None:
    """A file of 16 GB that takes no room on the disk."""
    with path.open("wb") as file:
        file.truncate(2**34)


def numpy_file() -> bytes:
    file = io.BytesIO()
    np.save(file, picture())
    return file.getvalue()


def _bad(name, made, make, reason, file="specimen.png") -> Specimen:
    return Specimen(name, made, "bad", content(make), file, reason)


SPECIMENS = [
    _bad("empty", "no bytes", lambda: b"", "the file is empty"),
    _bad("truncated JPEG", "the first half", lambda: half(encoded(noisy(), "JPEG")), "truncated", "specimen.jpg"),
    _bad(
        "JPEG without its last two bytes",
        "no end marker",
        lambda: encoded(noisy(), "JPEG")[:-2],
        "truncated",
        "specimen.jpg",
    ),
    _bad("truncated PNG", "the first half", lambda: half(encoded(noisy(), "PNG")), "truncated"),
    _bad(
        "truncated WebP",
        "the first half",
        lambda: half(encoded(noisy(), "WEBP")),
        "could not create decoder",
        "specimen.webp",
    ),
    _bad("truncated BMP", "the first half", lambda: half(encoded(noisy(), "BMP")), "truncated", "specimen.bmp"),
    _bad(
        "wrong checksum of a header",
        "PNG, a byte of IHDR's CRC flipped",
        lambda: flipped(encoded(noisy(), "PNG"), b"IHDR", 17),
        NO_IMAGE,
    ),
    _bad(
        "a flipped byte in a PNG",
        "in the compressed pixels",
        lambda: flipped(encoded(noisy(), "PNG"), b"IDAT", 3000),
        "data stream",
    ),
    _bad("BMP with a bogus header", "claims 2,147,483,647 x 2,147,483,647", bogus_bmp, BOMB, "specimen.bmp"),
    _bad(
        "claimed decompression bomb",
        "PNG header of 60,000 x 60,000 and no such pixels",
        lambda: png(60000, 60000, b""),
        BOMB,
    ),
    _bad("real decompression bomb", "PNG of 20,000 x 20,000 in 50 kB", real_bomb, BOMB),
    _bad("text chunk that is a bomb", "PNG, 32 MB of zeros in zTXt", lambda: text_bomb(b""), "MAX_TEXT_CHUNK"),
    _bad("colour profile that is a bomb", "PNG, 32 MB of zeros in iCCP", lambda: text_bomb(b"x"), "MAX_TEXT_CHUNK"),
    Specimen(
        "endless file",
        "16 GB of zeros that take no room on the disk",
        "bad",
        endless,
        "specimen.jpg",
        "larger than 256 MiB",
    ),
    _bad("text named .png", "a sentence", lambda: b"This is no image.\n", NO_IMAGE),
    _bad(
        "GIF named .png",
        "two frames",
        lambda: encoded(picture(), "GIF", save_all=True, append_images=[Image.new("RGB", (SIDE, SIDE))]),
        NO_IMAGE,
    ),
    _bad(
        "float TIFF named .png",
        "32 bits a pixel",
        lambda: encoded(Image.fromarray(np.ones((SIDE, SIDE), np.float32)), "TIFF"),
        NO_IMAGE,
    ),
    _bad("SVG named .jpg", "a drawing", lambda: b'<svg xmlns="http://www.w3.org/2000/svg"/>', NO_IMAGE, "specimen.jpg"),
    _bad(
        "HTML named .jpg",
        "what a failed download leaves",
        lambda: b"<!DOCTYPE html><title>404</title>",
        NO_IMAGE,
        "specimen.jpg",
    ),
    _bad("EPS named .png", "which other programs hand to Ghostscript", lambda: encoded(picture(), "EPS"), NO_IMAGE),
    _bad("NumPy array named .jpg", "np.save", numpy_file, NO_IMAGE, "specimen.jpg"),
    Specimen("GIF", "two frames, named .gif", "ignored", content(lambda: encoded(picture(), "GIF")), "specimen.gif"),
]
