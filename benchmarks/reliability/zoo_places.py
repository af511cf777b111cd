"""What the file system brings: names, links, pipes, devices, permissions, and what goes along with images."""

import os
import socket
from collections.abc import Callable
from pathlib import Path

from benchmarks.reliability.specimen import Specimen, content, encoded, picture

NAMES = {
    "Cyrillic": "\u0444\u043e\u0442\u043e.png",
    "Chinese": "\u56fe\u7247.png",
    "emoji": "\U0001f600.png",
    "right-to-left": "\u05ea\u05de\u05d5\u05e0\u05d4.png",
    "spaces": " a  b .png",
    "quotes": "'a\"b`$(c).png",
    "leading dash": "--help.png",
    "200 characters": "x" * 200 + ".png",
}
WHOLE = content(lambda: encoded(picture(), "PNG"))


def link(target: str) -> Callable[[Path], object]:
    return lambda path: path.symlink_to(target)


def link_to_a_good_file(path: Path) -> None:
    (path.parent / ".hidden").mkdir()
    WHOLE(path.parent / ".hidden" / "target.png")
    path.symlink_to(path.parent / ".hidden" / "target.png")


def loop(path: Path) -> None:
    path.symlink_to(path.name)


def link_upwards(path: Path) -> None:
    path.symlink_to(path.parent)


def forbidden(path: Path) -> None:
    WHOLE(path)
    path.chmod(0)


def bound_socket(path: Path) -> None:
    here = os.open(".", os.O_RDONLY)
    os.chdir(path.parent)  # since a socket's path has at most 107 characters
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path.name)
    finally:
        os.fchdir(here)
        os.close(here)


def link_to_a_pipe(path: Path) -> None:
    os.mkfifo(path.with_name("pipe"))
    path.symlink_to("pipe")


def folder_with_a_picture(path: Path) -> None:
    path.mkdir()
    WHOLE(path / "a.png")


def deep(path: Path) -> None:
    here = os.open(".", os.O_RDONLY)
    os.chdir(path.parent)
    try:
        for _ in range(400):  # not more: Python 3.11 cannot remove 1,000
            os.mkdir("d")
            os.chdir("d")
        WHOLE(Path(path.name))
    finally:
        os.fchdir(here)
        os.close(here)


SPECIMENS = [
    *(
        Specimen(
            f"name: {kind}",
            f"`{name}`" if len(name) < 40 and "`" not in name else "a whole PNG",
            "used",
            WHOLE,
            name,
            pixels=picture(),
        )
        for kind, name in NAMES.items()
    ),
    Specimen(
        "name with a newline",
        "text in it; shown on one line",
        "bad",
        content(lambda: b"text"),
        "a\nb.png",
        "not a JPEG",
        at=r"a\nb.png",
    ),
    Specimen(
        "name that a terminal would obey",
        "text in it; shown escaped",
        "bad",
        content(lambda: b"text"),
        "\x1b[2J.png",
        "not a JPEG",
        at=r"\x1b[2J.png",
    ),
    Specimen("name that is not UTF-8", "bytes FF FE", "used", WHOLE, os.fsdecode(b"\xff\xfe.png"), pixels=picture()),
    Specimen(
        "bad file whose name is not UTF-8",
        "bytes FF FE, text in it",
        "bad",
        content(lambda: b"text"),
        os.fsdecode(b"\xff\xfe.png"),
        "not a JPEG",
        at=r"\xff\xfe.png",
    ),
    Specimen("link to a good file", "symbolic", "used", link_to_a_good_file, pixels=picture()),
    Specimen("broken link", "symbolic, to nothing", "bad", link("nowhere.png"), reason="No such file"),
    Specimen("link to itself", "symbolic", "bad", loop, reason="symbolic links"),
    Specimen("link to the folder it is in", "symbolic, named x.jpg", "ignored", link_upwards, "x.jpg"),
    Specimen(
        "no permission",
        "mode 000, read by a user who is not root",
        "bad",
        forbidden,
        reason="Permission denied",
        unprivileged=True,
    ),
    Specimen("folder named x.jpg", "empty", "ignored", lambda path: path.mkdir(), "x.jpg"),
    Specimen(
        "folder named x.jpg with an image in it",
        "a whole PNG in it",
        "used",
        folder_with_a_picture,
        "x.jpg",
        pixels=picture(),
    ),
    Specimen("400 folders deep", "a whole PNG in the last", "used", deep, pixels=picture()),
    Specimen("pipe", "mkfifo x.jpg", "ignored", os.mkfifo, "x.jpg"),
    Specimen("link to a pipe", "symbolic, named x.jpg", "ignored", link_to_a_pipe, "x.jpg"),
    Specimen("socket", "bound to x.jpg", "ignored", bound_socket, "x.jpg"),
    Specimen("link to a device", "symbolic, to /dev/zero, which never ends", "ignored", link("/dev/zero"), "x.jpg"),
    Specimen("hidden file", "a whole PNG", "ignored", WHOLE, ".hidden.png"),
    Specimen("`._x.jpg`", "a Mac's resource fork", "ignored", content(lambda: b"\0\5\x16\7"), "._x.jpg"),
    Specimen("`Thumbs.db`", "Windows' thumbnails", "ignored", content(lambda: b"\xd0\xcf\x11\xe0"), "Thumbs.db"),
]
