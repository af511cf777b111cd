"""A sweep's report: its cells ranked, with what each draws, what is the matter with it, and its own report."""

import os
from pathlib import Path
from typing import Any
from urllib.parse import quote

from dcgan_lightning import sweep
from dcgan_lightning.curves import NotThere, grids
from dcgan_lightning.report import NAME, words
from dcgan_lightning.report.files import Part, Run, part
from dcgan_lightning.report.pictures import Picture, picture
from dcgan_lightning.report.rendering import render
from dcgan_lightning.sweep_table import Result, notes, ranked
from dcgan_lightning.whole_files import written_whole

BUDGET, LARGEST, SIDE = 6_000_000, 150_000, 400  # bytes of all cells' pictures, and of one; pixels


def write(folder: Path) -> Path:
    """Write ``report.html``; see :func:`dcgan_lightning.report.write_of_sweep`."""
    results = ranked(folder, sweep.read_cells(folder))
    options = list(dict.fromkeys(n for result in sorted(results, key=lambda r: r.number) for n in result.swept))
    share = min(LARGEST, BUDGET // max(1, len(results)))
    content = {
        "title": f"Sweep {folder.absolute().name}",
        "options": options,
        "cells": [_cell(result, folder, share) for result in results],
        "notes": notes(results),
        "tags": list(dict.fromkeys(result.tag for result in results if result.tag)),
        "finished": sum(result.status == "finished" for result in results),
    }
    html = render("sweep.html", **content)
    with written_whole(folder / NAME) as path:
        path.write_text(html, encoding="utf-8")
    return folder / NAME


def _cell(result: Result, sweep_folder: Path, share: int) -> dict[str, Any]:
    best, last = result.best, result.fids[-1] if result.fids else None
    return {
        "number": result.number,
        "rank": words.number(result.rank) if result.rank is not None else "",
        "typed": result.typed,
        "swept": result.swept,
        "status": result.status,
        "reason": result.reason,
        "verdict": _verdict(result),
        "best": "" if best is None else f"{best[1]:.2f}",
        "best_iteration": "" if best is None else words.number(best[0]),
        "last": "" if last is None else f"{last[1]:.2f}",
        "tag": result.tag or "",
        "iterations": words.number(result.run["iterations"]) if "iterations" in result.run else "",
        "time": words.duration(result.run["seconds"]) if "seconds" in result.run else "",
        "speed": words.number(result.run["images_per_s"]) if "images_per_s" in result.run else "",
        "link": _link(result, sweep_folder),
        "picture": part(sweep_folder, lambda: _newest(result, share)),
    }


def _verdict(result: Result) -> Part[words.Verdict]:
    def read() -> words.Verdict:
        if result.folder is None:
            raise NotThere("there is no run folder")
        return words.verdict(Run(result.folder).diagnosis.get("verdict"))

    return part(result.folder or Path(), read)


def _newest(result: Result, share: int) -> tuple[int, Picture]:
    """The newest grid that can be read."""
    found = {} if result.folder is None else grids(result.folder)
    for iteration, file in reversed(found.items()):
        drawn = part(file.parent, lambda file=file: picture(file, share, SIDE)).content  # type: ignore[misc]
        if drawn is not None:
            return iteration, drawn
    raise NotThere("there are no pictures")


def _link(result: Result, sweep_folder: Path) -> str:
    """To the cell's own report, as seen from the sweep's; empty where there is none."""
    if result.folder is None or not (result.folder / NAME).is_file():
        return ""
    there = Path(os.path.relpath(result.folder / NAME, sweep_folder.absolute()))
    return f"./{quote(there.as_posix())}"  # whatever the folder is called, no other kind of address
