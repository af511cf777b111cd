"""Files that a stranger may have made: what is looked at before, and after, they are read; docs/security.md has it all.

Nothing that stands in such a file is executed, fetched, or given more memory than the file itself has.
"""

import os
import re
import zipfile
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from dcgan_lightning.errors import Refusal

URL = re.compile(r"://|^[A-Za-z][\w+.-]*::")  # fsspec, which Lightning asks, takes chains like zip::http://... as well
DEEPEST = 64  # containers in one another
MOST = 10**7  # values in all; containers that stand in several places are counted at each
WIDEST = 1024  # bits of a whole number; Python refuses to print really long ones


def local(option: str, path: str | Path) -> Path:
    """A path on this machine, ``~`` being the home folder.

    Raises:
        Refusal: it is a URL. None is ever opened, whatever it leads to.
    """
    if URL.search(str(path)):
        remedy = "download the file yourself, and give the path that it has on this machine"
        raise Refusal(option, path, "is a URL, and only files of this machine are read", remedy)
    return Path(os.path.expanduser(path))  # leaves ~nobody as it is, where Path's raises


def refuse_inflated(option: str, path: Path) -> None:
    """Refuse a zip archive, such as ``torch.save`` writes, that would unpack to more bytes than it has."""
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        claimed = sum(member.file_size for member in archive.infolist())
    if claimed > path.stat().st_size:
        problem = (
            f"cannot be read: {claimed:,} bytes are packed into {path.stat().st_size:,}, which torch.save never does"
        )
        raise Refusal(option, path, problem, "give another file")


def refuse_odd_content(option: str, path: Path, content: Any) -> None:
    """Refuse content that would take more time or memory than its file has bytes, or that is not on the CPU.

    Args:
        option: as the user types it, for the refusal.
        path: of the file, for the refusal.
        content: dicts, lists and tuples in one another, with tensors and plain values in them.
    """
    try:
        _count(content, {}, DEEPEST)
    except ValueError as error:
        raise Refusal(option, path, f"cannot be used: it holds {error}", "give another file") from error


def open_png(file: Path) -> Image.Image:
    """Open a picture of a run folder. Nothing but PNG is tried: Pillow hands some formats to other programs."""
    return Image.open(file, formats=("PNG",))


def _count(value: Any, counted: dict[int, int], depth: int) -> int:
    """How many values there are, each container counted wherever it stands."""
    if isinstance(value, Tensor):
        _refuse_odd_tensor(value)
    elif isinstance(value, int) and value.bit_length() > WIDEST:
        raise ValueError("a number of thousands of digits")
    if not isinstance(value, dict | list | tuple | set | frozenset):
        return 1
    if depth == 0:
        raise ValueError(f"containers in one another, deeper than {DEEPEST}")
    if id(value) not in counted:
        inside = [*value, *value.values()] if isinstance(value, dict) else value
        counted[id(value)] = 1 + sum(_count(part, counted, depth - 1) for part in inside)
        if counted[id(value)] > MOST:
            raise ValueError(f"more than {MOST:,} values")
    return counted[id(value)]


def _refuse_odd_tensor(tensor: Tensor) -> None:
    if type(tensor) not in (Tensor, nn.Parameter) or tensor.layout != torch.strided or tensor.device.type != "cpu":
        raise ValueError("tensors of another kind than dense ones")
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        raise ValueError(f"a tensor {tuple(tensor.shape)} that claims more numbers than the file has for it")
