"""One thing done to the kit on purpose, and what came of it; the campaign runs all of them, the tests some."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Result:
    """What came of a trial.

    Attributes:
        faults: how many faults were really injected: a kill that came after the end of a run was none.
        loss: what was lost, or went otherwise than documented, in words; empty where nothing did.
    """

    faults: int
    loss: str = ""


@dataclass(frozen=True)
class Trial:
    """One trial.

    Attributes:
        name: unique within its kind, and the same in every campaign with the same seed.
        run: does it in an empty folder of its own.
    """

    name: str
    run: Callable[[Path], Result]
