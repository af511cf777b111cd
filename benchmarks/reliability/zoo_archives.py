"""Zip archives, damaged or made to do harm; read as CelebA's, which is the one data set that comes as an archive."""

import stat
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.reliability.specimen import Specimen, encoded, picture

ODD = "faces/odd.png"
Member = tuple[str | zipfile.ZipInfo, bytes]


def good() -> bytes:
    return encoded(picture(), "PNG")


def zipped(*members: Member) -> Callable[[Path], None]:
    """Writes an archive of two good images and these members."""

    def write(path: Path) -> None:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            for number in range(2):
                archive.writestr(f"faces/good{number}.png", good())
            for name, data in members:
                archive.writestr(name, data)

    return write


def same_name_twice(path: Path) -> None:
    zipped(("faces/twice.png", b"text"), ("faces/twicf.png", good()))(path)
    path.write_bytes(path.read_bytes().replace(b"twicf", b"twice"))


def cut(path: Path) -> None:
    zipped()(path)
    path.write_bytes(path.read_bytes()[:-40])


def with_field(at_local: int, at_central: int, value: bytes, data: Callable[[], bytes]) -> Callable[[Path], None]:
    """Writes an archive in which a field of the last member, in both of its headers, is another."""

    def write(path: Path) -> None:
        zipped((ODD, data()))(path)
        content = bytearray(path.read_bytes())
        for magic, place in ((b"PK\3\4", at_local), (b"PK\1\2", at_central)):
            start = content.rindex(magic) + place
            content[start : start + len(value)] = value
        path.write_bytes(content)

    return write


def as_link() -> zipfile.ZipInfo:
    member = zipfile.ZipInfo(ODD)
    member.create_system, member.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    return member


def by_lzma() -> zipfile.ZipInfo:
    member = zipfile.ZipInfo(ODD)
    member.compress_type = zipfile.ZIP_LZMA
    return member


def _zip(name, made, outcome, write, reason="", images=0, at="") -> Specimen:
    whole = picture() if outcome == "used" else None
    return Specimen(name, made, outcome, write, "faces.zip", reason, pixels=whole, images=images, at=at)


SPECIMENS = [
    _zip("zip cut short", "40 bytes are missing at its end", "bad", cut, "cut short", at="faces.zip"),
    _zip(
        "zip with `../` paths",
        "`../../outside.png`; not counted, and nothing is ever unpacked",
        "ignored",
        zipped(("../../outside.png", good()), ("faces/../../outside.png", good())),
    ),
    _zip(
        "zip with absolute paths",
        "`/tmp/outside.png`; only a name, nothing is ever unpacked",
        "used",
        zipped(("/tmp/outside_of_the_zoo.png", good())),
        images=1,
    ),
    _zip(
        "zip with a link",
        "a member that is a symbolic link to /etc/passwd",
        "bad",
        zipped((as_link(), b"/etc/passwd")),
        "not a JPEG",
        at=ODD,
    ),
    _zip("zip with the same name twice", "the last counts, once, as when unpacking", "used", same_name_twice, images=1),
    _zip(
        "zip with an encrypted member", "its flag is set", "bad", with_field(6, 8, b"\1\0", good), "encrypted", at=ODD
    ),
    _zip(
        "zip with a damaged member", "a wrong CRC-32", "bad", with_field(14, 16, bytes(4), good), "Bad CRC-32", at=ODD
    ),
    _zip(
        "zip with a bomb",
        "a member that claims to be 4 GB",
        "bad",
        with_field(22, 24, struct.pack("<I", 2**32 - 2), good),
        "larger than 256 MiB when unpacked",
        at=ODD,
    ),
    _zip(
        "zip with a bomb that lies",
        "64 MB that claim to be 100 bytes",
        "bad",
        with_field(22, 24, struct.pack("<I", 100), lambda: bytes(2**26)),
        "Bad CRC-32",
        at=ODD,
    ),
    _zip(
        "zip with a bomb by another method",
        "16 MB in LZMA",
        "bad",
        zipped((by_lzma(), bytes(2**24))),
        "another method than deflate",
        at=ODD,
    ),
    _zip(
        "zip with a Mac's extras",
        "`__MACOSX/faces/._a.jpg`",
        "ignored",
        zipped(("__MACOSX/faces/._a.jpg", b"\0\5\x16\7")),
    ),
]
