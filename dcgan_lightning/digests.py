"""The SHA-256 of a file in a file beside it, ``last.ckpt.sha256``, as ``sha256sum`` writes and checks it."""

import hashlib
import re
from pathlib import Path

LINE = re.compile(rb"([0-9a-fA-F]{64}) [ *][^\n]+")


def sidecar(path: Path) -> Path:
    """Where the digest of a file is."""
    return path.with_name(f"{path.name}.sha256")


def line(digest: str, name: str) -> str:
    """A line of it; while the file is being replaced there are two, and it is one of them."""
    return f"{digest}  {name}\n"


def digest_of(path: Path) -> str:
    """Hexadecimal, of all bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def recorded(path: Path) -> list[str] | None:
    """The digests beside a file; None where there is no such record.

    The name in a line may be another: files are copied and renamed together with their digests.
    """
    try:
        content = sidecar(path).read_bytes()
    except FileNotFoundError:
        return None
    lines = [LINE.fullmatch(line) for line in content.splitlines()]
    return [match[1].decode().lower() for match in lines if match]


def damage(path: Path) -> str | None:
    """What is wrong with a file that has its digest beside it, in words; None where it is as it was written.

    A file without one has nothing to differ from: None.
    """
    try:
        digests = recorded(path)
        if not path.stat().st_size:
            return "it is empty"
        if digests is None or digest_of(path) in digests:
            return None
    except OSError as error:
        return f"it cannot be read: {error.strerror}"
    beside = sidecar(path).name
    return f"its sha256 is not that of {beside}" if digests else f"{beside} holds no sha256"
