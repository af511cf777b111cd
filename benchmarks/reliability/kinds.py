"""The kinds of trials there are: where their trials are listed, how many, and how long one may take."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

from benchmarks.reliability.trial import Trial

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Options:
    """What decides which trials a campaign has.

    Attributes:
        seed: of all that is drawn at random.
        counts: trials by kind, of the kinds that can have any number.
    """

    seed: int
    counts: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Kind:
    """Trials of one sort.

    Attributes:
        words: what is done, for the table.
        module: lists the trials.
        listed: takes the module and the options, returns the trials.
        limit: seconds that one may take; more is a loss.
        count: trials of a full campaign; None where their number is fixed.
        alone: never two at once, since its trials measure time.
    """

    words: str
    module: str
    listed: Callable[[ModuleType, Options], list[Trial]]
    limit: float
    count: int | None = None
    alone: bool = False


HOME = "benchmarks.reliability"
KINDS = {
    "kills": Kind(
        "`kill -9` at a random moment of a run that saves all the time",
        f"{HOME}.kills",
        lambda module, options: module.trials(options.seed, options.counts["kills"]),
        limit=900,
        count=50,
    ),
    "full_disk": Kind(
        "the disk full from a random moment on",
        f"{HOME}.full_disk",
        lambda module, options: module.trials(options.seed, options.counts["full_disk"]),
        limit=900,
        count=20,
    ),
    "stops": Kind(
        "SIGTERM, SIGINT and SIGUSR1 to the process, to a rank, to the group",
        f"{HOME}.stops",
        lambda module, options: module.trials(),
        limit=900,
        alone=True,
    ),
    "zoo": Kind("bad and odd image files", f"{HOME}.zoo", lambda module, options: module.trials(), limit=300),
    "malicious": Kind(
        "files that would run code", f"{HOME}.malicious", lambda module, options: module.trials(), limit=300
    ),
    "fuzz": Kind(
        "configs with random options, composed and checked",
        f"{HOME}.fuzz",
        lambda module, options: module.trials(options.seed, options.counts["fuzz"]),
        limit=300,
        count=2000,
    ),
    "command_line": Kind(
        "such configs through the real command line",
        f"{HOME}.fuzz",
        lambda module, options: module.command_line_trials(options.seed, options.counts["command_line"]),
        limit=900,
        count=50,
    ),
}


def trials_of(kind: Kind, options: Options) -> dict[str, Trial] | None:
    """A kind's trials by name, in their order; None where the module that lists them is not there.

    Raises:
        ValueError: two have the same name.
    """
    try:
        module = importlib.import_module(kind.module)
    except ModuleNotFoundError as error:
        if error.name == kind.module:
            return None
        raise
    trials = kind.listed(module, options)
    named = {trial.name: trial for trial in trials}
    if len(named) < len(trials):
        raise ValueError(f"{kind.module} lists trials of the same name")
    return named
