"""What is made from a run folder's files alone: at the end of the run, and again whenever it is asked for."""

import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from dcgan_lightning import report, sweep
from dcgan_lightning.animation import draw_gif, draw_mp4
from dcgan_lightning.curves import NotThere, lineage, resumed_from
from dcgan_lightning.errors import Refusal, printable
from dcgan_lightning.figures import draw_curves, draw_real_vs_fake
from dcgan_lightning.untrusted import local

# Each takes a folder and returns the files that it wrote, or raises NotThere or Refusal where there is nothing to make
# them from. The names are for messages.
Maker = Callable[[Path], list[Path]]
PICTURES: dict[str, Maker] = {
    "losses.png, losses_tutorial.png, d_outputs.png": draw_curves,
    "real_vs_fake.png": draw_real_vs_fake,
    "progress.gif": draw_gif,
    "progress.mp4": draw_mp4,
}


def export_weights(folder: Path) -> list[Path]:
    """The weights that a run leaves at its end, from its last checkpoint; ``.pth`` too where the run was told so."""
    from dcgan_lightning.callbacks.weights import export

    config = folder / ".hydra" / "config.yaml"
    words = config.read_text(errors="replace") if config.is_file() else ""
    # That one line is all that is wanted, and a config of a stranger's may hold anything.
    return export(folder, re.search(r"^export_pth: true$", words, re.MULTILINE) is not None)


OF_A_RUN: dict[str, Maker] = {
    **PICTURES,
    "generator.safetensors, discriminator.safetensors": export_weights,
    "report.html": report.write,  # after what it tells of
}
OF_A_SWEEP: dict[str, Maker] = {
    "table.csv, table.md, figure.png": sweep.rebuild,
    "report.html": report.write_of_sweep,
}


class Outcome(NamedTuple):
    """What came of makers: the files written, and by the makers' names what was lacking and what went wrong."""

    written: list[Path]
    lacking: dict[str, NotThere | Refusal]
    failed: dict[str, Exception]


def make(makers: Mapping[str, Maker], folder: Path) -> Outcome:
    """Call every maker, whatever becomes of the others."""
    outcome = Outcome([], {}, {})
    for name, maker in makers.items():
        try:
            outcome.written.extend(maker(folder))
        except (NotThere, Refusal) as error:
            outcome.lacking[name] = error
        except Exception as error:
            outcome.failed[name] = error
    return outcome


def rebuild(run: str | None) -> None:
    """Make everything anew that can be made from a folder's files, and say what came of it.

    Args:
        run: a run folder, or that of a sweep.

    Raises:
        Refusal: it is neither.
        SystemExit: something that there was enough for could not be made.
    """
    if run is None:
        raise Refusal("run", run, "says whose pictures are to be made", "run=outputs/<model>_<data>/<time>")
    folder = local("run", run)
    if not folder.is_dir():
        raise Refusal("run", run, "there is no such folder", "run=outputs/<model>_<data>/<time>")
    written, lacking, failed = make(OF_A_SWEEP if (folder / sweep.CELLS).is_file() else OF_A_RUN, folder)
    if not written and not failed:
        reasons = "; ".join(dict.fromkeys(map(str, lacking.values())))
        raise Refusal("run", run, f"nothing can be made from it: {reasons}", "run=outputs/<model>_<data>/<time>")
    for path in written:
        print(f"wrote     {path}")
    for name, reason in lacking.items():
        print(printable(f"left out  {name}: {reason}"))
    before = resumed_from(lineage(folder)[-1])
    if before is not None:
        print(printable(f"left out  what came before: {before} is not there"))
    for name, error in failed.items():
        print(printable(f"failed    {name}: {reason_of(error)}"), file=sys.stderr)
    if failed:
        sys.exit(1)


def reason_of(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
