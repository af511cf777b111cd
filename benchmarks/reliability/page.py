"""docs/reliability.md's table: of each kind how many trials, faults and losses, and every loss by itself."""

import re
from collections.abc import Iterator

from benchmarks.reliability.campaign import Campaign
from benchmarks.reliability.records import Record
from benchmarks.reliability.worker import kinds_in

HOW = "python -m benchmarks.reliability"


def table(campaign: Campaign) -> Iterator[str]:
    """A row for each kind, whether it was run or not, and below it each loss with its trial's name."""
    yield "| kind | what is done | trials | faults injected | losses | command | date, commit |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    lost: list[str] = []
    for name, kind in kinds_in(campaign.kinds).items():
        names, records = campaign.names(name), campaign.done(name)
        count = "" if kind.count is None else f" --{name.replace('_', '-')} {campaign.options.counts[name]}"
        command = f"`{HOW} --seed {campaign.options.seed} --only {name}{count}`"
        trials = f"{len(records):,}" if names and len(records) == len(names) else f"{len(records):,} of {_all(names)}"
        losses = [record for record in records if record.loss]
        numbers = f"{trials} | {sum(record.faults for record in records):,} | {len(losses)}"
        yield f"| {name} | {kind.words} | {numbers} | {command} | {_when(records)} |"
        lost += [f"- {name} `{record.name}`: {_one_line(record.loss)}" for record in losses]
    yield ""
    yield from (["Losses:", "", *lost] if lost else ["No losses."])


def _all(names: list[str] | None) -> str:
    return "none" if names is None else f"{len(names):,}"


def _when(records: list[Record]) -> str:
    """The last day, and every commit that was checked out meanwhile."""
    commits = dict.fromkeys(record.commit for record in records)
    return f"{max(record.date for record in records)}, {', '.join(commits)}" if records else "-"


def _one_line(words: str) -> str:
    return " ".join(re.sub(r" \[\S+\]$", "", words).split())  # without the folder, which is this machine's
