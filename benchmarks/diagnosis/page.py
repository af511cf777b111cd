"""Verdicts beside truths: the tables of docs/diagnosis.md, from the curves that are kept."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache
from typing import NamedTuple

from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

from benchmarks.diagnosis.runs import PARTS, Labelled
from benchmarks.diagnosis.train import CURVES, ENDING
from benchmarks.report import ROOT, circumstances, replace_section
from dcgan_lightning.diagnosis import Diagnosis, diagnose
from dcgan_lightning.judged_tables import read_run
from dcgan_lightning.settings import CONF
from dcgan_lightning.symptoms import Thresholds

PAGE = ROOT / "docs" / "diagnosis.md"


class Judged(NamedTuple):
    """A labelled run, what it came to, and the verdict on its curves."""

    run: Labelled
    ending: dict[str, float | str]
    diagnosis: Diagnosis

    @property
    def right(self) -> bool:
        return self.diagnosis.verdict == self.ending["truth"]


@cache
def thresholds(*overrides: str) -> Thresholds:
    """Those of conf/."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return instantiate(compose("train", list(overrides)).diagnosis)


def judge(run: Labelled) -> Judged:
    """The verdict on the curves that are kept of a run."""
    folder = CURVES / run.name
    came_to = json.loads((folder / ENDING).read_text())
    curves, samples = read_run(folder)
    own = thresholds(*(word for word in run.overrides if word.startswith("experiment=")))
    return Judged(run, came_to, diagnose(curves, samples, own, run.bce))


def table(judged: Sequence[Judged]) -> Iterator[str]:
    """One line a run."""
    yield "| run | D's losses | G's loss | accuracy real / fake | repeats | gap | truth | verdict | since | |"
    yield "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"
    for run, ending, diagnosis in judged:
        shown = [_number(ending, name) for name in ("loss_d", "loss_g", "acc_real", "acc_fake", "repeats", "gap")]
        wrong = "" if diagnosis.verdict == ending["truth"] else "**wrong**"
        numbers = f"{shown[0]} | {shown[1]} | {shown[2]} / {shown[3]} | {shown[4]} | {shown[5]}"
        yield f"| `{run.name}` | {numbers} | {ending['truth']} | {diagnosis.verdict} | {diagnosis.since} | {wrong} |"


def confusion(judged: Sequence[Judged]) -> Iterator[str]:
    """Truths down, verdicts across."""
    pairs: Counter[tuple[str, str]] = Counter((str(one.ending["truth"]), one.diagnosis.verdict) for one in judged)
    names = sorted({name for pair in pairs for name in pair})
    yield f"| truth \\ verdict | {' | '.join(names)} | right |"
    yield f"| --- |{' --- |' * (len(names) + 1)}"
    for truth in names:
        row = [pairs[truth, verdict] for verdict in names]
        if sum(row):
            yield f"| {truth} | {' | '.join(map(str, row))} | {pairs[truth, truth] / sum(row):.0%} |"


def _number(ending: dict[str, float | str], name: str) -> str:
    value = ending.get(name)
    return f"{value:.3f}" if isinstance(value, float) else "-"


def write_page(command: str) -> None:
    """Write the tables of all runs that are kept into docs/diagnosis.md, and print what is wrong."""
    for part, runs in PARTS.items():
        judged = [judge(run) for run in runs if (CURVES / run.name / ENDING).is_file()]
        if not judged:
            continue
        right = sum(one.right for one in judged)
        count = f"{right} of {len(judged)} right."
        lines = [circumstances(command), "", count, "", *confusion(judged), "", *table(judged)]
        replace_section(PAGE, part, "\n".join(lines))
        print(f"{part}: {count}")
        for one in judged:
            if not one.right:
                print(f"  {one.run.name}: {one.ending['truth']}, judged {one.diagnosis.verdict}")
