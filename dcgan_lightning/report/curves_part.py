"""The report's charts: losses and accuracies, with what is healthy and what was diagnosed; FID and diversity."""

import math
from typing import Any

import numpy as np
import yaml

from dcgan_lightning.curves import Curves, NotThere, is_stacked
from dcgan_lightning.report.charts import Chart, Line, Span, chart, known
from dcgan_lightning.report.files import Run, is_count, is_number, part
from dcgan_lightning.report.words import verdict
from dcgan_lightning.settings import CONF

SPANS = 200  # of a history that is drawn


def training(run: Run) -> list[Chart]:
    """D's losses, G's loss, and D's accuracies.

    Raises:
        NotThere, ValueError: metrics.csv is missing, or damaged.
    """
    curves, ranges, spans = run.curves, healthy(run), history(run)
    stacked = is_stacked(curves)
    d = [known("D" if stacked else "both together", "d", curves, "loss_d")]
    if not stacked:  # else it has one loss
        d += _on_each(curves, "loss_d_real", "loss_d_fake")
    accuracies = _on_each(curves, "acc_real", "acc_fake")
    whole: dict[str, Any] = {"spans": spans, "end": run.iterations, "back": went_back(run)}
    wanted = [
        ("D's loss", "nats", d, ranges.get("loss_d"), (0, None)),
        ("G's loss", "nats", [known("G", "g", curves, "loss_g")], ranges.get("loss_g"), (0, None)),
        ("Accuracy of D", "fraction judged rightly", accuracies, ranges.get("acc_real"), (0, 1.03)),
    ]
    charts = []
    for title, unit, lines, band, limits in wanted:
        drawn = [line for line in lines if len(line.y)]
        if drawn:
            of = " with both together" if title == "D's loss" and not stacked else ""
            notes = [] if band is None else [f"Shaded: {band[0]:g} to {band[1]:g}, where healthy runs are{of}."]
            charts.append(chart(title, unit, drawn, healthy=band, limits=limits, notes=notes, **whole))
    if not charts:
        raise NotThere("there is no finite loss in metrics.csv")
    return charts


def _on_each(curves: Curves, real: str, fake: str) -> list[Line]:
    return [known("on real images", "real", curves, real), known("on generated ones", "fake", curves, fake, True)]


def fid(run: Run) -> Chart:
    """Each FID, the best marked.

    Raises:
        NotThere, ValueError, KeyError: there is none, or fid.csv is damaged.
    """
    finite = [row for row in run.fids if math.isfinite(row.value)]
    if not finite:
        raise NotThere("no FID in fid.csv is a finite number")
    table = {"iteration": _array([row.iteration for row in finite]), "value": _array([row.value for row in finite])}
    best = None if run.best is None else (run.best.iteration, run.best.value)
    line = known("FID", "d", table, "value")
    notes = ["Lower is better."]
    return chart("FID", "FID", [line], best=best, limits=(0, None), spans=history(run), end=run.iterations, notes=notes)


def samples(run: Run) -> list[Chart]:
    """How varied the samples are beside real images, and how far from them.

    Raises:
        NotThere, ValueError: samples.csv is missing, or damaged.
    """
    table = run.samples
    ratios: Curves = {"iteration": table["iteration"]}
    for name in ("diversity", "nearest"):
        with np.errstate(divide="ignore", invalid="ignore"):  # real images that are all the same
            ratios[name] = table[name] / table[f"{name}_real"]
    varied = [
        known("between any two", "g", ratios, "diversity"),
        known("to the nearest other", "real", ratios, "nearest", True),
    ]
    wanted: list[tuple[str, str, list[Line], float | None, str]] = [
        (
            "How varied samples are",
            "part of real images'",
            varied,
            1,
            "Distances between samples, as a part of those between real images: 1 is as varied as these; near 0, one "
            "image is made again and again.",
        ),
        (
            "How far samples are from real images",
            "gap",
            [known("gap", "fake", table, "gap")],
            None,
            "0: no difference that this measure sees; 1: nothing in common.",
        ),
    ]
    charts = []
    for title, unit, lines, level, note in wanted:
        drawn = [line for line in lines if len(line.y)]
        if drawn:
            place = run.best and float(run.best.iteration)
            marked = None if place is None else (place, _nearest(drawn[0], place))
            whole: dict[str, Any] = {"best": marked, "spans": history(run), "end": run.iterations, "notes": [note]}
            charts.append(chart(title, unit, drawn, level=level, limits=(0, 1.05), **whole))
    if not charts:
        raise NotThere("there is no number in samples.csv")
    return charts


def healthy(run: Run) -> dict[str, tuple[float, float]]:
    """By column the range of healthy runs, as the run's own config has it, or else as conf/ has it.

    They are those of the original loss: under another there are none.
    """
    if run.choices.get("loss", "bce") != "bce":
        return {}

    def of_run() -> dict[str, tuple[float, float]]:
        return _ranges(run.settings["diagnosis"]["healthy"])

    def of_project() -> dict[str, tuple[float, float]]:
        return _ranges(yaml.safe_load((CONF / "diagnosis" / "default.yaml").read_text())["healthy"])

    return part(run.folder, of_run).content or part(run.folder, of_project).content or {}


def _ranges(node: Any) -> dict[str, tuple[float, float]]:
    pairs = {name: tuple(ends) for name, ends in node.items()}
    return {name: (ends[0], ends[1]) for name, ends in pairs.items() if len(ends) == 2 and all(map(is_number, ends))}


def history(run: Run) -> list[Span]:
    """The verdicts in time, as far as diagnosis.json tells of any."""

    def read() -> list[Span]:
        told = [span for span in run.diagnosis.get("history", []) if isinstance(span, dict)]
        told = [span for span in told if "rolled_back_to" not in span][:SPANS]  # the curves have nothing of the others
        return [
            Span(span["since"], span["until"] if is_count(span.get("until")) else run.iterations, verdict(name).kind)
            for span in told
            if is_count(span.get("since")) and (name := span.get("verdict")) is not None
        ]

    return part(run.folder, read).content or []


def went_back(run: Run) -> list[int]:
    """Iterations that the run was rolled back to."""

    def read() -> list[int]:
        told = [span.get("rolled_back_to") for span in run.diagnosis.get("history", []) if isinstance(span, dict)]
        return [place for place in told if is_count(place)][:SPANS]

    return part(run.folder, read).content or []


def _nearest(line: Line, place: float) -> float:
    return float(line.y[abs(line.x - place).argmin()])


def _array(values: list[Any]) -> Any:
    return np.array(values, dtype=float)
