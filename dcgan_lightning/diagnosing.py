"""The verdict on a run that is over, or on anybody's curves: tables read, judged, and written down beside them."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import yaml

from dcgan_lightning.course import FAILURES, Columns, Span
from dcgan_lightning.curves import METRICS, SCALARS
from dcgan_lightning.diagnosis import Diagnosis, diagnose, with_rolled_back
from dcgan_lightning.errors import Refusal, printable
from dcgan_lightning.judged_tables import read_run, read_table
from dcgan_lightning.losses import BCE
from dcgan_lightning.symptoms import OF_IMAGES, Thresholds
from dcgan_lightning.untrusted import local
from dcgan_lightning.whole_files import written_whole

DIAGNOSIS = "diagnosis.json"


def diagnosed(run: str | None, columns: Mapping[str, str] | None, bce: bool | None, diagnosis: Thresholds) -> Diagnosis:
    """Judge a run folder, or a CSV file, write ``diagnosis.json`` beside its tables, and say what came out.

    Args:
        run: a run folder, or a CSV file with a header and a row for each iteration logged.
        columns: for a CSV file with other names: theirs to ours, or ours to theirs.
        bce: whether its losses are the original GAN's; None: what the run's config says, and for a file yes, unless one
            is negative.
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
    if place.name == METRICS and (place.parent / "run.json").is_file():
        place = place.parent
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
        bce, failure = _may_be_bce(table) if bce is None else bce, ""
    found = diagnose(curves, samples, diagnosis, bce, failure)
    target = (place if place.is_dir() else place.parent) / DIAGNOSIS
    if place.is_dir():
        found = with_rolled_back(found, rolled_back(target))
    print("\n".join(words(found)))
    try:
        write(found, target)
    except OSError as error:
        problem = f"{DIAGNOSIS} cannot be written beside it: {error.strerror or error}"
        raise Refusal("run", run, problem, "copy it to a folder of your own for that") from error
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


def _may_be_bce(table: Columns) -> bool:
    """Cross-entropies are not negative."""
    return not any(
        (table[name] < 0).any() for name in ("loss_d", "loss_d_real", "loss_d_fake", "loss_g") if name in table
    )


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
    """A command line that judges a run, with the thresholds of the run's config before those that are typed."""
    run = next((word.partition("=")[2].strip("'\"") for word in arguments if word.startswith("run=")), "")
    folder = Path(run).parent if Path(run).name == METRICS else Path(run)
    try:
        config = yaml.safe_load((folder / ".hydra" / "config.yaml").read_text())
        told = list(_numbers(config["diagnosis"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, yaml.YAMLError):
        return arguments
    flags = [word for word in arguments if word.startswith("-")]
    return [*flags, *told, *(word for word in arguments if not word.startswith("-"))]


def _numbers(node: Mapping[str, Any]) -> Iterator[str]:
    """Overrides that give thresholds the values that they have in a config; nothing but numbers is taken from it."""
    for field in fields(Thresholds):
        value = node.get(field.name)
        if _is_number(value):
            yield f"diagnosis.{field.name}={value!r}"
    healthy = node.get("healthy")
    for name, ends in healthy.items() if isinstance(healthy, dict) else ():
        if name in SCALARS and isinstance(ends, list) and all(map(_is_number, ends)):
            yield f"++diagnosis.healthy.{name}={ends}"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e15
