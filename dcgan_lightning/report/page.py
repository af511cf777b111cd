"""A run's report: what each part of it says."""

import shlex
from pathlib import Path
from typing import Any

from dcgan_lightning import next_steps
from dcgan_lightning.curves import NotThere, resumed_from
from dcgan_lightning.report import NAME, curves_part, words
from dcgan_lightning.report.files import Run, is_count, is_number, part
from dcgan_lightning.report.pictures import Frames, frames, picture
from dcgan_lightning.report.rendering import render
from dcgan_lightning.report.setting import commands, setting
from dcgan_lightning.symptoms import Number
from dcgan_lightning.whole_files import written_whole

REAL = 400_000  # bytes of real.png in the page
MANY = 100  # rows of a table, or points of a list, that are shown
ENDS = {
    "finished": "The run came to its end.",
    "stopped": "The run was stopped.",
    "failed": "The run failed.",
    "running": "The run was under way when this was written, or it was killed.",
}


def write(folder: Path) -> Path:
    """Write ``report.html``; see :func:`dcgan_lightning.report.write`."""
    run = Run(folder)
    if not run.seen():
        raise NotThere(f"there is nothing of a run in {folder}")
    parts = {
        "verdict": diagnosed,
        "pictures": lambda run: frames(run.folder, run.best and run.best.iteration),
        "real": lambda run: picture(run.folder / "real.png", REAL),
        "training": curves_part.training,
        "fid": curves_part.fid,
        "best": best_checkpoint,
        "samples": curves_part.samples,
        "checkpoints": checkpoints,
        "setting": setting,
        "time": took,
        "commands": commands,
    }
    content = {name: part(run.folder, lambda make=make: make(run)) for name, make in parts.items()}  # type: ignore[misc]
    shown = content["pictures"].content
    words_of_it = {
        "slides": _slides(run, shown) if shown is not None else [],
        "latents": _latents(run),
        "went_back": bool(curves_part.went_back(run)),
        "diagnose": shlex.join(next_steps.diagnose(run.folder)),
        "number": words.number,
    }
    html = render("run.html", title=_title(run), heading=_heading(run), **content, **words_of_it)
    with written_whole(folder / NAME) as path:
        path.write_text(html, encoding="utf-8")
    return folder / NAME


def _title(run: Run) -> str:
    of = [run.choices[group] for group in ("model", "data") if group in run.choices]
    return " on ".join(of) or run.folder.name


def _heading(run: Run) -> dict[str, Any]:
    status, error, experiment = (_words(run.known.get(name)) for name in ("status", "error", "experiment"))
    before = part(run.folder, lambda: resumed_from(run.folder)).content
    return {
        "folder": run.folder.name,
        "status": status if status in ENDS else "unknown",
        "ended": ENDS.get(status, "How the run ended is not known: run.json is missing or damaged."),
        "error": error,
        "experiment": experiment,
        "iterations": words.iterations(run.iterations),
        "before": before,
    }


def _slides(run: Run, shown: Frames) -> list[dict[str, Any]]:
    """What the slider's script needs of each grid."""
    best, an_epoch = run.best and run.best.iteration, run.known.get("iterations_per_epoch")
    slides = []
    for iteration, shows in shown.shown:
        epoch = f" (epoch {iteration / an_epoch:,.1f})" if is_count(an_epoch) and an_epoch else ""
        told = f"Iteration {iteration:,}{epoch}{', the best by FID' if iteration == best else ''}"
        alt = f"Grid of generated images after {iteration:,} iterations"
        slides.append({"iteration": iteration, "src": shows.src, "alt": alt, "words": told})
    return slides


def _latents(run: Run) -> str:
    """Whether each image of the grids has one latent all through."""
    kind = part(run.folder, lambda: run.settings["callbacks"]["grid"]["latents"]).content
    if kind == "fixed":
        return "Every place in the grid has one latent all through the run, so that a place can be followed."
    return "" if kind is None else "Each grid is drawn from other latents."


def _words(value: Any) -> str:
    return value if isinstance(value, str) else ""


def diagnosed(run: Run) -> dict[str, Any]:
    """The verdict with its evidence."""
    told = run.diagnosis
    evidence, history = told.get("evidence"), told.get("history")
    spans = [span for span in history if isinstance(span, dict)] if isinstance(history, list) else []
    rows = evidence.items() if isinstance(evidence, dict) else []
    return {
        "verdict": words.verdict(told.get("verdict")),
        "since": words.number(told.get("since")) if is_count(told.get("since")) else "",
        "judged_at": words.iterations(told.get("judged_at")) if is_count(told.get("judged_at")) else "",
        "evidence": [_evidence(name, row) for name, row in rows if isinstance(row, dict)][:MANY],
        "lacking": any(isinstance(row, dict) and _lacks(row) for _, row in rows),
        "history": [_span(span) for span in spans][-MANY:],
        "advice": _sentences(told.get("advice")),
        "source": _words(told.get("source")),
        "not_judged": _sentences(told.get("not_judged")),
        "saved": _saved(run),
    }


def _saved(run: Run) -> str:
    """How much training a run was spared that its diagnosis stopped."""
    stopped = _words(run.known.get("error")).startswith("diagnosis:")
    return f"That it was stopped here saved training. {unspent(run)}" if stopped and unspent(run) else ""


def _evidence(name: Any, row: dict[str, Any]) -> dict[str, str]:
    threshold = f"{row.get('relation', '')} {words.number(row.get('threshold'))}".strip()
    threshold = f"has to be {threshold}" if _lacks(row) else threshold
    return {
        "name": str(name),
        "value": words.number(row.get("value")),
        "threshold": threshold,
        "meaning": str(row.get("meaning", "")),
    }


def _lacks(row: dict[str, Any]) -> bool:
    """Whether a number is not on its threshold's side: that of a run that warms up tells what is still to come."""
    value, threshold = row.get("value"), row.get("threshold")
    relation: Any = row.get("relation")
    return is_number(value) and is_number(threshold) and not Number(value, threshold, relation, "").holds


def _span(span: dict[str, Any]) -> dict[str, Any]:
    return {
        "verdict": words.verdict(span.get("verdict")),
        "since": words.number(span.get("since")),
        "until": words.number(span["until"]) if span.get("until") is not None else "the end",
        "back": _rolled_back(span) if is_count(span.get("rolled_back_to")) else "",
    }


def _rolled_back(span: dict[str, Any]) -> str:
    """Where a run went back to, in words, and with what."""
    rates = span.get("learning_rates")
    pairs = rates.items() if isinstance(rates, dict) else []
    told = [
        f"{option}={words.number(pair[1])} (was {words.number(pair[0])})"
        for option, pair in list(pairs)[:MANY]
        if isinstance(pair, list) and len(pair) == 2
    ]
    back = f"then rolled back to iteration {words.number(span['rolled_back_to'])}"
    return ", ".join([back, *told]) + "; the rows in between are kept in diagnosis.json"


def _sentences(told: Any) -> list[str]:
    return [sentence for sentence in told if isinstance(sentence, str)][:MANY] if isinstance(told, list) else []


def best_checkpoint(run: Run) -> dict[str, Any]:
    """Which checkpoint is the best, and why."""
    if run.best is None:
        part_of_it = part(run.folder, lambda: run.fids)
        why = part_of_it.problem or "No FID is a finite number."
        return {"found": None, "why": f"{why} Without an FID nothing says which checkpoint is the best."}
    best, last, count = run.best, run.fids[-1], len(run.fids)
    worse = 100 * (last.value / best.value - 1) if is_number(last.value) and best.value > 0 else None
    return {
        "found": best,
        "why": "",
        "value": f"{best.value:.2f}",
        "count": f"is the lowest of the {count} that were measured"
        if count > 1
        else "is the only one that was measured",
        "newest": best.iteration == last.iteration,
        "last": words.iterations(last.iteration),
        "last_value": f"{last.value:.2f}" if is_number(last.value) else words.number(last.value),
        "worse": None if worse is None else f"{worse:.1f}%",
        "there": (run.folder / "checkpoints" / "best.ckpt").is_file(),
    }


def checkpoints(run: Run) -> list[dict[str, str]]:
    """The files, and what each is."""
    kinds = {
        "best.ckpt": "the best by FID",
        "last.ckpt": "the newest",
        "previous.ckpt": "the one before the newest",
        "good.ckpt": "the newest with no failure behind it",
    }
    files = [(run.folder / "checkpoints" / name, meaning) for name, meaning in kinds.items()]
    found = [
        {"name": f"checkpoints/{file.name}", "size": words.size(file.stat().st_size), "meaning": meaning}
        for file, meaning in files
        if file.is_file()
    ]
    if not found:
        raise NotThere("no checkpoint was saved")
    return found


def unspent(run: Run) -> str:
    """How much training a run that ended early did not do, in words; empty where that is not known."""
    record = run.known
    done, planned, first = (record.get(name) for name in ("iterations", "planned_iterations", "first_iteration"))
    seconds = record.get("seconds")
    if not (is_count(done) and is_count(planned) and is_count(first) and is_number(seconds)):
        return ""
    trained = record.get("trained_iterations", done - first)  # some of which were taken back
    if planned <= done or not (is_count(trained) and trained):
        return ""
    time = words.duration((planned - done) * seconds / trained)
    return (
        f"{words.iterations(planned - done)} of {words.number(planned)} were not trained: at this run's pace, {time}."
    )


def took(run: Run) -> list[tuple[str, str]]:
    """Length, time and speed, by what they are."""
    record = run.record
    first = record.get("first_iteration")
    rows = [
        ("Iterations", words.number(run.iterations)),
        ("Planned", words.number(record["planned_iterations"]) if record.get("planned_iterations") else ""),
        ("Epochs", words.number(record.get("epochs"))),
        ("Went on from iteration", words.number(first) if first else ""),
        ("Time of this run", words.duration(record.get("seconds"))),
        ("Speed, all it did besides included", f"{words.number(record.get('images_per_s'))} images/s"),
        ("Precision", record.get("precision") or ""),
        ("Not trained", unspent(run)),
    ]
    return [(name, str(value)) for name, value in rows if value]
