"""Everything that can go wrong with a run, done to it on purpose: what was lost?

``python -m benchmarks.reliability`` goes on where it was stopped, as long as the kit's files are the same;
``--write`` puts the table into docs/reliability.md. It ends with exit code 1 if anything was lost.
"""

import argparse
import shlex
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.reliability.campaign import Campaign
from benchmarks.reliability.kinds import KINDS, ROOT, Options
from benchmarks.reliability.page import HOW, table

PAGE = ROOT / "docs" / "reliability.md"
FOLDER = ROOT / "outputs" / "reliability"


def given(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=HOW, description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="of all that is drawn at random")
    parser.add_argument("--only", type=lambda words: words.split(","), default=list(KINDS), help=", ".join(KINDS))
    for name, kind in KINDS.items():
        if kind.count is not None:
            words = f"trials: {kind.words}; {kind.count}"
            parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=kind.count, metavar="N", help=words)
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="trials at a time; 1")
    begin = parser.add_mutually_exclusive_group()
    begin.add_argument("--resume", action="store_true", help="go on where it was stopped; that is the default")
    begin.add_argument("--fresh", action="store_true", help="forget what these kinds came to before")
    parser.add_argument("--write", action="store_true", help=f"write the table of all kinds into {PAGE.name}")
    parser.add_argument("--page", type=Path, default=PAGE, help="where --write writes")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where the results are kept")
    chosen = parser.parse_args(arguments)
    if unknown := [name for name in chosen.only if name not in KINDS]:
        parser.error(f"--only {','.join(unknown)}: there is {', '.join(KINDS)}")
    if chosen.jobs < 1:
        parser.error(f"--jobs {chosen.jobs}: has to be at least 1")
    return chosen


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a campaign; 0 where nothing was lost, 1 where something was, 130 where somebody stopped it."""
    chosen = given(arguments)
    counts = {name: getattr(chosen, name) for name, kind in KINDS.items() if kind.count is not None}
    campaign = Campaign(Options(chosen.seed, counts), chosen.jobs, chosen.folder)
    before = {name: campaign.records(name).path for name in chosen.only}
    if chosen.fresh:
        for name in chosen.only:
            campaign.records(name).forget()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl+C, so that no trial stays behind
    try:
        campaign.run(chosen.only)
    except KeyboardInterrupt:
        print("stopped; the same command goes on with the trials that are left", file=sys.stderr)
        return 130
    if before != {name: campaign.records(name).path for name in chosen.only}:
        print("the kit's files were changed meanwhile, so that the trials were not done to one thing", file=sys.stderr)
        return 1
    lines = [*table(campaign)]
    print(*lines, sep="\n")
    if chosen.write:
        from benchmarks.report import circumstances, replace_section  # imports torch

        command = shlex.join([*HOW.split(), *(sys.argv[1:] if arguments is None else arguments)])
        replace_section(chosen.page, "benchmarks.reliability", "\n".join([circumstances(command), "", *lines]))
        print(f"\nwritten to {chosen.page}")
    return int(any(record.loss for name in chosen.only for record in campaign.done(name)))


if __name__ == "__main__":
    sys.exit(main())
