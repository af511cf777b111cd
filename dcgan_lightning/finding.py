"""Which checkpoint to take: the newest that is as it was written, with a word on every newer one that is not."""

import os
import re
import time
from pathlib import Path

from lightning.pytorch.utilities import rank_zero_only

from dcgan_lightning.digests import damage, recorded
from dcgan_lightning.errors import Refusal
from dcgan_lightning.untrusted import local
from dcgan_lightning.weights import read

LAST, PREVIOUS, BEST, GOOD = "last.ckpt", "previous.ckpt", "best.ckpt", "good.ckpt"


def find(path: str, *prefer: str) -> Path:
    """The checkpoint that ``ckpt_path`` names; of a run folder the first that is as it was written.

    Whether it is, its SHA-256 says, which lies beside it. A checkpoint without one (copied alone, say) is taken if it
    can be read, with a note. Of each that is damaged a line is printed.

    Args:
        path: a checkpoint, or a run folder.
        prefer: names in the run folder's ``checkpoints/``, the one to take first coming first; ``previous.ckpt`` stands
            in for ``last.ckpt``.

    Raises:
        Refusal: there is none, or none that can be taken.
    """
    given = local("ckpt_path", path)
    if os.path.isfile(given):  # False for any words that cannot be a path
        return _named(path, given)
    names = _with_previous(prefer)
    taken, flaws = _first_valid(given / "checkpoints", names)
    if taken is not None:
        _say(*_notes(given / "checkpoints", taken, flaws))
        return taken
    problem, remedy = "there is no such file or folder", "give a run folder (outputs/...) or a file (*.ckpt)"
    if flaws:
        problem = f"none of its checkpoints can be taken: {_listed(flaws)}"
    elif os.path.isdir(given):
        problem = f"there is no checkpoints/{' or '.join(names)} in it"
    raise Refusal("ckpt_path", path, problem, remedy)


def newest_run(runs: Path, but: Path | None = None) -> Path:
    """The newest run folder with a checkpoint to go on from.

    The time in a folder's name says how new it is, the time of its last change for one with a name of another kind.

    Args:
        runs: where they are, such as ``outputs/dcgan_small_mnist_mini``.
        but: not this one.

    Raises:
        Refusal: there is none.
    """
    here = None if but is None else but.absolute()
    entries = list(runs.iterdir()) if runs.is_dir() else []
    folders = [entry for entry in entries if entry.is_dir() and entry.absolute() != here]
    damaged: list[str] = []
    for folder in sorted(folders, key=_when, reverse=True):
        taken, flaws = _first_valid(folder / "checkpoints", _with_previous([LAST]))
        if taken is not None:
            _say(*(f"{words}; the run before it is taken" for words in damaged))
            return folder
        if flaws:
            damaged.append(f"no checkpoint of {folder} can be taken: {_listed(flaws)}")
    found = "; ".join(damaged) or (f"{len(folders)} folder(s) without one" if folders else "nothing is there")
    remedy = "ckpt_path=<run folder>, or leave it out to start anew"
    raise Refusal("ckpt_path", "last", f"there is no run with a checkpoint in {runs} ({found})", remedy)


def flaw(file: Path) -> str | None:
    """Why a checkpoint cannot be taken, in words; None for one that can."""
    words = damage(file)
    if words is None and recorded(file) is None:
        try:
            read("ckpt_path", file)
        except Refusal as refusal:
            return refusal.problem
    return words


def _named(path: str, file: Path) -> Path:
    """A checkpoint that was given itself; whoever names one gets no other."""
    if (words := flaw(file)) is None:
        _say(*_notes(file.parent, file, {}))
        return file
    names = [name for name in (LAST, PREVIOUS, BEST) if name != file.name]
    other = _first_valid(file.parent, names)[0] if file.parent.name == "checkpoints" else None
    remedy = "give another file" if other is None else f"ckpt_path={other} is whole{_iteration(other)}"
    raise Refusal("ckpt_path", path, words if recorded(file) is None else f"is damaged: {words}", remedy)


def _with_previous(names: tuple[str, ...] | list[str]) -> list[str]:
    spelt_out = [stand_in for name in names for stand_in in ((LAST, PREVIOUS) if name == LAST else (name,))]
    return list(dict.fromkeys(spelt_out))


def _first_valid(folder: Path, names: list[str]) -> tuple[Path | None, dict[str, str]]:
    """The first that can be taken, and what is wrong with those before it."""
    flaws: dict[str, str] = {}
    for file in (folder / name for name in names):
        if os.path.isfile(file):
            words = flaw(file)
            if words is None:
                return file, flaws
            flaws[file.name] = words
    return None, flaws


def _notes(folder: Path, taken: Path, flaws: dict[str, str]) -> list[str]:
    notes = [
        f"{folder / name} is damaged ({words}); {taken.name}{_iteration(taken)} is taken"
        for name, words in flaws.items()
    ]
    if recorded(taken) is None:
        notes.append(f"{taken} has no {taken.name}.sha256 beside it: it could be read, and that is all that is known")
    return notes


def _iteration(file: Path) -> str:
    iterations = read("ckpt_path", file).get("global_step")
    return "" if iterations is None else f", iteration {iterations},"


def _listed(flaws: dict[str, str]) -> str:
    return "; ".join(f"{name} ({words})" for name, words in flaws.items())


def _when(folder: Path) -> tuple[float, list[int]]:
    """Sorts folders by age; the numbers after the time tell runs of the same second apart."""
    begun = re.match(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d", folder.name)
    numbers = [int(number) for number in re.findall(r"\d+", folder.name[begun.end() :] if begun else folder.name)]
    try:
        when = time.mktime(time.strptime(begun[0] if begun else "", "%Y-%m-%d_%H-%M-%S"))
    except ValueError:
        when = folder.stat().st_mtime
    return when, numbers


@rank_zero_only
def _say(*notes: str) -> None:
    for note in notes:
        print(f"note          {note}", flush=True)
