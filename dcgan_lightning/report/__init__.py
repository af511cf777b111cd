"""``report.html``: all of a run, or of a sweep, on one page that opens from disk, prints, and can be mailed.

Made of what stands in the folder alone, which a stranger may have written: whatever comes from there is escaped, none
of it is code, and the page itself may load nothing (its Content-Security-Policy says so). What is missing or damaged
is said in words where it would have been.
"""

from collections.abc import Callable
from pathlib import Path

NAME = "report.html"
Writer = Callable[[Path], list[Path]]  # of a folder's report; returns the file


def write(folder: Path) -> list[Path]:
    """Write a run's report into its folder.

    Raises:
        NotThere: it holds nothing of a run.
    """
    from dcgan_lightning.report import page  # with jinja2 and matplotlib, which no run waits for as it starts

    return [page.write(folder)]


def write_of_sweep(folder: Path) -> list[Path]:
    """Write a sweep's report into its folder.

    Raises:
        Refusal: its ``cells.json`` cannot be read.
    """
    from dcgan_lightning.report import sweep_page

    return [sweep_page.write(folder)]
