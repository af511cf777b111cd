"""The verdict on a run that is over, or on anybody's curves: tables read, judged, and written down beside them."""

import csv
import json
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import yaml

from dcgan_lightning.curves import METRICS, SAMPLES
from dcgan_lightning.diagnosis import Columns, Diagnosis, diagnose
from dcgan_lightning.errors import Refusal, printable
from dcgan_lightning.symptoms import OF_IMAGES, Thresholds
from dcgan_lightning.untrusted import local
from dcgan_lightning.whole_files import written_whole

DIAGNOSIS = "diagnosis.json"
OF_LOSSES = {
    "loss_d",
    "loss_g",
    "loss_d_real",
    "loss_d_fake",
    "d_x",
    "d_gz_before",
    "d_gz_after",
    "acc_real",
    "acc_fake",
}
KNOWN = {"iteration", *OF_LOSSES, *OF_IMAGES}
BCE = "dcgan_lightning.losses.BCE"
THRESHOLD = re.compile(r"diagnosis\.\w+=[\d.e+-]+")  # an override with a number


def diagnosed(run: str | None, columns: Mapping[str, str] | None, bce: bool | None, diagnosis: Thresholds) -> Diagnosis:
    """Judge a run folder, or a CSV file, write ``diagnosis.json`` beside its tables, and say what came out.

    Args:
        run: a run folder, or a CSV file with a header and a row for each iteration logged.
        columns: for a CSV file with other names: theirs to ours, or ours to theirs.
        bce: whether its losses are the original GAN's; None: what the run's config says, and yes for a file.
        diagnosis: what verdicts turn on.

    Raises:
        Refusal: there is no such run or file, or nothing in it to judge.
    """
    example = "run=outputs/<model>_<data>/<time>, or run=losses.csv"
    if run is None:
        raise Refusal("run", run, "says what is to be judged", example)
    place = local("run", run)
    if not place.exists():
        raise Refusal("run", run, "there is no such folder or file", example)
    if place.is_dir():
        if columns:
            raise Refusal("columns", dict(columns), "a run folder has our names", "leave it out, or give a CSV file")
        curves, samples = read_run(place)
        bce = _is_bce(place) if bce is None else bce
        failure = failure_of(place)
    else:
        table = read_table(place, columns or {})
        curves = {name: column for name, column in table.items() if name not in OF_IMAGES}
        of_images = {name: column for name, column in table.items() if name in OF_IMAGES}
        samples = {"iteration": table["iteration"] + 1, **of_images} if of_images else None
        bce, failure = bce is not False, ""
    found = diagnose(curves, samples, diagnosis, bce, failure)
    target = (place if place.is_dir() else place.parent) / DIAGNOSIS
    write(found, target)
    print("\n".join(words(found)))
    print(f"wrote     {target}")
    return found


def words(diagnosis: Diagnosis) -> Iterator[str]:
    """A verdict as a console shows it: since when, why, what to try, and what came before."""
    name = diagnosis.verdict
    yield f"verdict   {name} since iteration {diagnosis.since}, judged after {diagnosis.judged_at}"
    for what, number in diagnosis.evidence.items():
        limit = f"{number.relation} {number.threshold:.4g}"
        yield printable(f"because   {what} {number.value:.4g}, {limit}: {number.meaning}")
    record = diagnosis.record()
    for sentence in record["advice"]:
        yield f"try       {sentence}" if diagnosis.failing else f"note      {sentence}"
    yield f"source    {record['source']}"
    for sentence in diagnosis.not_judged:
        yield f"unjudged  {sentence}"
    if len(diagnosis.history) > 1:
        spans = [f"{span.verdict} from {span.since}" for span in diagnosis.history]
        yield f"history   {', '.join(spans)}"


def write(diagnosis: Diagnosis, target: Path) -> None:
    with written_whole(target) as path:
        path.write_text(json.dumps(diagnosis.record(), indent=2) + "\n")


def read_run(folder: Path) -> tuple[Columns, Columns | None]:
    """A run's curves and sample statistics; None where it has none of the latter.

    Raises:
        Refusal: it has no curves, or a table that is damaged.
    """
    if not (folder / METRICS).is_file():
        raise Refusal("run", folder, f"there is no {METRICS} in it", "give a run folder, or a CSV file of losses")
    curves = read_table(folder / METRICS, {})
    return curves, read_table(folder / SAMPLES, {}) if (folder / SAMPLES).is_file() else None


def read_table(file: Path, names: Mapping[str, str]) -> Columns:
    """The columns of a CSV file that can be judged, by rising iteration; rows are numbered where it has no iterations.

    Of rows with the same iteration the last one counts, which a run that went back wrote.

    Args:
        file: with a header.
        names: other names than ours, theirs to ours or ours to theirs.

    Returns:
        Columns by our names, NaN for an empty cell, infinite for one that is NaN or infinite.

    Raises:
        Refusal: it cannot be read, or has nothing to judge.
    """
    try:
        header, *rows = list(csv.reader(file.read_text(errors="replace").splitlines()))
    except (OSError, ValueError, csv.Error) as error:
        raise Refusal("run", file, f"cannot be read as a CSV file: {error}", "give a file with a header") from error
    ours = _ours([cell.strip() for cell in header], names, file)
    if rows and len(rows[-1]) < len(header):  # what was being written when the run was killed
        rows.pop()
    if not rows:
        raise Refusal("run", file, "there is no row in it", "wait for the run's first rows, or give another file")
    table = {name: np.array([_number(row, at, file, line) for line, row in enumerate(rows, 2)]) for name, at in ours}
    numbers = table.setdefault("iteration", np.arange(len(rows), dtype=np.float64))
    if not np.isfinite(numbers).all():
        raise Refusal("run", file, "a row has no iteration", "mend the file, or leave that column out")
    newest = {iteration: row for row, iteration in enumerate(numbers)}
    order = [newest[iteration] for iteration in sorted(newest)]
    return {name: column[order] for name, column in table.items()}


def _ours(header: list[str], names: Mapping[str, str], file: Path) -> list[tuple[str, int]]:
    """Our name and the place of each column that can be judged."""
    theirs = {str(a): str(b) for a, b in names.items()}
    if theirs and set(theirs) <= KNOWN and not set(theirs) <= set(header):
        theirs = {b: a for a, b in theirs.items()}
    for name, known in theirs.items():
        if name not in header:
            problem = f"{file} has no column {name!r}; it has {', '.join(header)}"
            raise Refusal("columns", dict(names), problem, "columns={their_name:loss_d,other_name:loss_g}")
        if known not in KNOWN:
            problem = f"{known!r} is none of the columns that are judged: {', '.join(sorted(KNOWN))}"
            raise Refusal("columns", dict(names), problem, "columns={their_name:loss_d,other_name:loss_g}")
    named = [(theirs.get(name, name), place) for place, name in enumerate(header)]
    found = {name: place for name, place in named if name in KNOWN}
    if not set(found) - {"iteration"}:
        problem = f"it has none of the columns that are judged: it has {', '.join(header)}"
        remedy = (
            f"say which is which: columns={{their_name:loss_d,other_name:loss_g}}; ours: {', '.join(sorted(KNOWN))}"
        )
        raise Refusal("run", file, problem, remedy)
    return list(found.items())


def _number(row: list[str], place: int, file: Path, line: int) -> float:
    cell = row[place].strip() if place < len(row) else ""
    try:
        value = float(cell) if cell else math.nan
    except ValueError:
        raise Refusal("run", file, f"line {line} has {cell!r}, which is no number", "mend the file") from None
    return math.inf if cell and not math.isfinite(value) else value


def failure_of(folder: Path) -> str:
    """What was not finite, where a run ended because of that."""
    try:
        error = json.loads((folder / "run.json").read_text())["error"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return ""
    return error if isinstance(error, str) and error.startswith("NonFinite") else ""


def _is_bce(folder: Path) -> bool:
    """Whether the run's config names the original loss; yes where it says nothing."""
    try:
        config = yaml.safe_load((folder / ".hydra" / "config.yaml").read_text())
        loss = config["model"]["loss"]
        return (loss if isinstance(loss, dict) else config["loss"])["_target_"] == BCE  # else an interpolation of it
    except (OSError, ValueError, KeyError, TypeError, RecursionError, yaml.YAMLError):
        return True


def as_told(arguments: list[str]) -> list[str]:
    """A command line that judges a run, with the thresholds that the run was told before those that are typed."""
    run = next((word.partition("=")[2].strip("'\"") for word in arguments if word.startswith("run=")), "")
    try:
        told = yaml.safe_load((Path(run) / ".hydra" / "overrides.yaml").read_text())
    except (OSError, ValueError, RecursionError, yaml.YAMLError):
        return arguments
    plain = (
        [word for word in told if isinstance(word, str) and THRESHOLD.fullmatch(word)] if isinstance(told, list) else []
    )
    flags = [word for word in arguments if word.startswith("-")]
    return [*flags, *plain, *(word for word in arguments if not word.startswith("-"))]
