"""What the cells of a sweep came to, read from their run folders, ranked by FID, as CSV and Markdown."""

import csv
import json
import math
import os
import textwrap
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from dcgan_lightning.whole_files import written_whole

CSV, MARKDOWN = "table.csv", "table.md"
# The columns after the rank and the swept options: in the CSV, and as they are titled in Markdown.
TITLES = {
    "status": "status",
    "best_fid": "best FID",
    "best_iteration": "at iteration",
    "last_fid": "last FID",
    "tag": "tag",
    "iterations": "iterations",
    "epochs": "epochs",
    "seconds": "seconds",
    "images_per_s": "images/s",
    "folder": "folder",
    "error": "error",
}
MEASURED_BY = ("network", "weights_sha256", "resize", "samples_real", "samples_fake")  # columns of fid.csv


@dataclass(frozen=True)
class Result:
    """One cell: how it ended, and what its run folder holds.

    Attributes:
        number: its place in the sweep, from 0.
        swept: the options in which the cells differ, with their values.
        status: ``finished``, ``failed``, ``stopped`` or ``running``.
        error: why it failed.
        folder: of the run, None where it left none.
        shown: that folder as seen from the sweep's, empty where there is none.
        run: what stands in ``run.json``.
        fids: (iteration, value) of each evaluation by this run itself, not those of a run that it went on from.
        tag: which metric these are of; None without any.
        measured_by: what else two values have to share to be comparable: network and sample counts.
        rank: by best FID among the cells with the same tag, 1 the lowest; None for cells without one, or that failed.
    """

    number: int
    swept: dict[str, str]
    status: str
    error: str | None
    folder: Path | None
    shown: str
    run: dict[str, Any] = field(default_factory=dict)
    fids: tuple[tuple[int, float], ...] = ()
    tag: str | None = None
    measured_by: tuple[str, ...] = ()
    rank: int | None = None

    @property
    def best(self) -> tuple[int, float] | None:
        """Iteration and value of the lowest FID, the first of equal ones."""
        known = [fid for fid in self.fids if math.isfinite(fid[1])]
        return min(known, key=lambda fid: fid[1], default=None)

    @property
    def typed(self) -> list[str]:
        """The swept options as they are typed."""
        return [name if name.startswith("~") else f"{name}={value}" for name, value in self.swept.items()]

    @property
    def reason(self) -> str:
        """The first line of the error."""
        return (self.error or "").partition("\n")[0]


def ranked(folder: Path, cells: list[dict[str, Any]]) -> list[Result]:
    """Read the cells' run folders.

    First those with an FID, tag by tag in the order of the sweep, the lowest best value first; then those that finished
    without one, in the order of the sweep; those that did not finish last.

    Args:
        folder: of the sweep.
        cells: of its ``cells.json``.
    """
    results = [_read(folder, cell) for cell in cells]
    finished = [result for result in results if result.status == "finished"]
    in_order = []
    for tag in dict.fromkeys(result.tag for result in finished if result.best):
        alike = [result for result in finished if result.best and result.tag == tag]
        alike.sort(key=lambda result: result.best[1] if result.best else math.inf)
        in_order += [replace(result, rank=rank) for rank, result in enumerate(alike, start=1)]
    return [
        *in_order,
        *(result for result in finished if not result.best),
        *(result for result in results if result.status != "finished"),
    ]


def write(results: list[Result], folder: Path) -> list[Path]:
    """Write ``table.csv`` with all digits, and ``table.md`` for reading."""
    in_sweep = sorted(results, key=lambda result: result.number)
    options = list(dict.fromkeys(name for result in in_sweep for name in result.swept))
    with written_whole(folder / CSV) as path, path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["rank", *options, *TITLES])
        writer.writerows(_row(result, options, exact=True) for result in results)
    with written_whole(folder / MARKDOWN) as path:
        path.write_text(_markdown(results, options))
    return [folder / CSV, folder / MARKDOWN]


def clock(seconds: float) -> str:
    """h:mm:ss."""
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def _row(result: Result, options: list[str], exact: bool) -> list[str]:
    """The cells of a line of the table, empty where nothing is known."""
    fid, (best, last) = ".9g" if exact else ".2f", (result.best, result.fids[-1] if result.fids else None)
    known = {
        "status": result.status,
        "best_fid": best and f"{best[1]:{fid}}",
        "best_iteration": best and best[0],
        "last_fid": last and f"{last[1]:{fid}}",
        "tag": result.tag,
        "folder": result.shown,
        "error": result.reason,
        "iterations": result.run.get("iterations"),
    }
    for name, digits in {"epochs": 2, "seconds": 0, "images_per_s": 0}.items():
        value = result.run.get(name)
        known[name] = None if value is None else value if exact else f"{value:.{digits}f}"
    row = [result.rank, *(result.swept.get(name) for name in options), *(known[name] for name in TITLES)]
    return ["" if cell is None else str(cell) for cell in row]


def _markdown(results: list[Result], options: list[str]) -> str:
    """The table, its columns aligned, and what has to be known to read it."""
    table = [["rank", *options, *TITLES.values()], *(_row(result, options, exact=False) for result in results)]
    table = [[*row[:-1], textwrap.shorten(row[-1], 100, placeholder=" ...")] for row in table]
    if not any(result.error for result in results):
        table = [row[:-1] for row in table]
    table = [[cell.replace("|", "\\|") for cell in row] for row in table]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = [f"| {' | '.join(map(str.ljust, row, widths))} |" for row in table]
    lines.insert(1, f"|{'|'.join('-' * (width + 2) for width in widths)}|")
    return "\n".join([*lines, *([""] * bool(notes(results))), *notes(results)]) + "\n"


def notes(results: list[Result]) -> list[str]:
    """What has to be known to read the table, in sentences."""
    notes = []
    unfinished = sum(result.status != "finished" for result in results)
    if unfinished == len(results):
        notes.append("No cell finished.")
    elif unfinished:
        notes.append(f"{unfinished} of {len(results)} cells did not finish.")
    if any(result.run.get("first_iteration") for result in results):
        notes.append("Of a run that went on from another, seconds and images/s count from there.")
    in_ranks = [result for result in results if result.rank is not None]
    tags = list(dict.fromkeys(result.tag for result in in_ranks))
    if len(tags) > 1:
        notes.append(f"FIDs of {' and '.join(map(str, tags))} cannot be compared: each is ranked by itself.")
    for tag in tags:
        differ = zip(*{result.measured_by for result in in_ranks if result.tag == tag}, strict=True)
        names = [name for name, values in zip(MEASURED_BY, differ, strict=True) if len(set(values)) > 1]
        if names:
            notes.append(f"The values of {tag} were not all measured alike ({', '.join(names)} in fid.csv).")
    return notes


def is_cell(value: Any) -> bool:
    """Whether a value from ``cells.json``, which a stranger may have written, has the form of a cell."""
    forms = {"number": int, "swept": dict, "status": str, "error": str | None, "folder": str | None}
    return (
        isinstance(value, dict)
        and all(name in value and isinstance(value[name], form) for name, form in forms.items())
        and all(isinstance(setting, str) for setting in value["swept"].values())
    )


def _read(sweep: Path, cell: dict[str, Any]) -> Result:
    base = Result(cell["number"], cell["swept"], cell["status"], cell["error"], None, cell["folder"] or "")
    folder = Path(os.path.normpath(sweep.absolute() / cell["folder"])) if cell["folder"] else None
    if folder is None or not folder.is_dir():
        return base
    base = replace(base, folder=folder)
    try:
        return _with_files(base, folder)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        problem = f"its run.json or fid.csv is damaged: {type(error).__name__}: {error}"
        return replace(
            base, status="damaged" if base.status == "finished" else base.status, error=base.error or problem
        )


def _with_files(base: Result, folder: Path) -> Result:
    """With what stands in ``run.json`` and ``fid.csv``."""
    run = json.loads((folder / "run.json").read_text()) if (folder / "run.json").is_file() else {}
    base = replace(base, run={name: value for name, value in run.items() if isinstance(value, int | float)})
    if not (folder / "fid.csv").is_file():
        return base
    with (folder / "fid.csv").open(newline="") as file:
        whole = [row for row in csv.DictReader(file) if None not in row.values()]  # not what a kill cut off
    rows = [row for row in whole if int(row["iteration"]) > run.get("first_iteration", 0)]
    if not rows:
        return base
    fids = tuple((int(row["iteration"]), float(row["value"])) for row in rows)
    return replace(base, fids=fids, tag=rows[-1]["tag"], measured_by=tuple(rows[-1][name] for name in MEASURED_BY))
