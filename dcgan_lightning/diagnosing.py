"""The verdict on a run that is over, or on anybody's curves: tables read, judged, and written down beside them."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import yaml

from dcgan_lightning.course import FAILURES, Span
from dcgan_lightning.diagnosis import Diagnosis, diagnose, with_rolled_back
from dcgan_lightning.errors import Refusal, printable
from dcgan_lightning.judged_tables import read_run, read_table
from dcgan_lightning.losses import BCE
from dcgan_lightning.symptoms import OF_IMAGES, Thresholds
from dcgan_lightning.untrusted import local
from dcgan_lightning.whole_files import written_whole

DIAGNOSIS = "diagnosis.json"
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
    if place.is_dir():
        found = with_rolled_back(found, rolled_back(target))
    write(found, target)
    print("\n".join(words(found)))
    print(f"wrote     {target}")
    return found


def words(diagnosis: Diagnosis) -> Iterator[str]:
    """A verdict as a console shows it: since when, why, what to try, and what came before."""
    name = diagnosis.verdict
    yield f"verdict   {name} since iteration {diagnosis.since}, judged after {diagnosis.judged_at}"
    for what, number in diagnosis.evidence.items():
        # A run that warms up is told what it still lacks.
        why, limit = ("because", "") if number.holds else ("lacking", "has to be ")
        limit += f"{number.relation} {number.threshold:.4g}"
        yield printable(f"{why:9} {what} {number.value:.4g}, {limit}: {number.meaning}")
    record = diagnosis.record()
    for sentence in record["advice"]:
        yield f"try       {sentence}" if diagnosis.failing else f"note      {sentence}"
    yield f"source    {record['source']}"
    for sentence in diagnosis.not_judged:
        yield f"unjudged  {sentence}"
    if len(diagnosis.history) > 1:
        spans = [
            f"{span.verdict} from {span.since}" + " (gone back from)" * ("rolled_back_to" in span.also)
            for span in diagnosis.history
        ]
        yield f"history   {', '.join(spans)}"


def write(diagnosis: Diagnosis, target: Path) -> None:
    with written_whole(target) as path:
        path.write_text(json.dumps(diagnosis.record(), indent=2) + "\n")


def rolled_back(file: Path) -> list[Span]:
    """What a run went back from, as its ``diagnosis.json`` says, whose tables have it no more; none where it cannot."""
    try:
        history = json.loads(file.read_text())["history"]
        told = [entry for entry in history if isinstance(entry.get("rolled_back_to"), int)]
        return [Span.of_record(entry) for entry in told if entry["verdict"] in FAILURES]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return []


def is_original(loss: object) -> bool:
    """Whether a loss is the original one, whose losses, accuracies and outputs can be judged; a subclass may not be."""
    return type(loss) is BCE


def _name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


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
        return (loss if isinstance(loss, dict) else config["loss"])["_target_"] == _name(
            BCE
        )  # else an interpolation of it
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
