"""What the pages in docs/ say about measurements: machine, versions, and tables that commands rewrite in place."""

import datetime
import os
import platform
from pathlib import Path

import lightning
import torch

from dcgan_lightning.machine import bf16_instructions
from dcgan_lightning.whole_files import written_whole

ROOT = Path(__file__).parent.parent
PERFORMANCE = ROOT / "docs" / "performance.md"


def replace_section(path: Path, name: str, text: str) -> None:
    """Put a text between a page's markers, and leave everything around them as it is.

    Args:
        path: the page; made where it is not there yet.
        name: of the markers ``<!-- name:begin -->`` and ``<!-- name:end -->``; where the page has none, they are
            appended to it.
        text: what comes between them.

    Raises:
        ValueError: only one of the markers is there, or they are the wrong way round.
    """
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    page = path.read_text(encoding="utf-8") if path.is_file() else ""
    section = f"{begin}\n{text.strip()}\n{end}"
    if begin not in page and end not in page:
        page = f"{page.rstrip()}\n\n{section}\n".lstrip()
    else:
        before, found_begin, rest = page.partition(begin)
        _, found_end, after = rest.partition(end)
        if not (found_begin and found_end):
            raise ValueError(f"{path} has to have {begin} and, after it, {end}")
        page = before + section + after
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(path) as whole:
        whole.write_text(page, encoding="utf-8")


def hardware() -> str:
    """The CPU in words: cores, model, and the instructions it multiplies bfloat16 with."""
    cpu = Path("/proc/cpuinfo")
    text = cpu.read_text() if cpu.exists() else ""
    names = [line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name")]
    bf16 = bf16_instructions() or "no bf16 instructions"
    return f"{os.cpu_count()} cores of {names[0] if names else platform.processor()} ({bf16})"


def circumstances(command: str) -> str:
    """One line under a heading: command, hardware, versions and date."""
    versions = f"Python {platform.python_version()}, torch {torch.__version__}, lightning {lightning.__version__}"
    return f"`{command}`, {hardware()}, {versions}, {datetime.date.today()}."
