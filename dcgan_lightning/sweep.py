"""Sweeps: the cells of one ``-m`` command, recorded as they end, and compared in a table and a figure."""

import gc
import itertools
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from lightning.pytorch.utilities import rank_zero_only
from omegaconf import DictConfig, read_write

from dcgan_lightning import report, sweep_table
from dcgan_lightning.callbacks.report import write_or_warn
from dcgan_lightning.errors import Refusal
from dcgan_lightning.next_steps import shown
from dcgan_lightning.run_record import ended_as, in_words
from dcgan_lightning.whole_files import written_whole

CELLS = "cells.json"


def is_cell() -> bool:
    """Whether what Hydra runs now is a cell of a sweep; the other ranks of a cell are started as single runs."""
    return HydraConfig.get().mode == RunMode.MULTIRUN


class Sweep:
    """The training runs of one command, in the order in which they ran; a single run is none.

    ``cells.json`` in the sweep's folder lists them after each that ends: a JSON list of objects with ``number``,
    ``swept`` (the options that are not the same in all cells), ``overrides`` (all that were typed), ``experiment``,
    ``folder`` (relative to the sweep's folder; null where there is none), ``status`` (``finished``, ``failed``,
    ``stopped``, or ``running``, which it stays if the process is killed) and ``error``. Hydra tells its callbacks of
    the end of a sweep only where no cell failed, so that :meth:`finish` is called by who runs Hydra.
    """

    def __init__(self) -> None:
        self.cells: list[dict[str, Any]] = []
        self.reported = False  # whether a cell writes a report, and so does the sweep
        self.folder: Path | None = None

    @contextmanager
    def recorded(self, cfg: DictConfig) -> Iterator[None]:
        """Record how the cell that runs inside ends."""
        if not is_cell() or "run_dir" not in cfg:  # sampling leaves no run folders to compare
            yield
            return
        self.cells.append(cell := self._begun())
        self.reported |= cfg.callbacks.get("report") is not None
        self._write()
        try:
            yield
            cell["status"] = "finished"
        except BaseException as error:
            cell |= {"status": ended_as(error), "error": in_words(error)}
            raise
        finally:
            folder = Path(cfg.run_dir)
            cell["folder"] = self._seen_from_here(folder) if (folder / ".hydra").is_dir() else None
            self._write()

    def go_on(self, cfg: DictConfig) -> None:
        """Give the run the ``ckpt_path`` that ``continues`` stands for: the folder of the cell of that experiment.

        Of several it is the one with the same other overrides. The path becomes one of the run's own overrides, too,
        with which other ranks are started, and which the run folder keeps.

        Raises:
            Refusal: that cell failed.
        """
        if cfg.get("continues") is None or cfg.ckpt_path is not None:
            return
        mine: Any = HydraConfig.get().overrides
        alone = not is_cell()
        alike = [
            cell
            for cell in ([] if alone else self.cells[:-1])
            if cell["experiment"] == cfg.continues and _but_experiment(cell["overrides"]) == _but_experiment(mine.task)
        ]
        if not alike:
            if rank_zero_only.rank == 0:  # type: ignore[attr-defined]
                where = "a run by itself" if alone else "no such cell ran before in this sweep"
                print(f"continues     {cfg.continues}: {where}, so it starts at iteration 0")
            return
        cell = alike[-1]
        if cell["status"] != "finished":
            problem = (
                f"cell {cell['number']} of this sweep, which is that experiment, {_ended(cell['status'])}: "
                f"{_first_line(cell['error'])}"
            )
            raise Refusal("continues", cfg.continues, problem, "mend that cell; continues=null starts at iteration 0")
        if self.folder is None:
            problem = "each process of this sweep was started by another program, and only one knows the cells' folders"
            raise Refusal("continues", cfg.continues, problem, "trainer.devices=... starts the processes by itself")
        cfg.ckpt_path = shown(Path(os.path.normpath(self.folder / cell["folder"])))
        with read_write(mine):
            mine.task.append(f"ckpt_path='{cfg.ckpt_path}'")

    def finish(self) -> None:
        """Make the table and the figure of the cells so far, and print the table; nothing where there were no cells."""
        if self.folder is None or not self.cells:
            return
        paths = rebuild(self.folder)
        print(f"\nsweep folder  {shown(self.folder)}\n\n{(self.folder / sweep_table.MARKDOWN).read_text()}")
        print(f"figure        {shown(paths[-1])}", flush=True)
        if self.reported:
            write_or_warn(report.write_of_sweep, self.folder)

    def _begun(self) -> dict[str, Any]:
        gc.collect()  # what a failed cell still holds on the device in reference cycles
        hydra = HydraConfig.get()
        if self.folder is None and rank_zero_only.rank == 0:  # type: ignore[attr-defined]
            self.folder = _unused(Path(hydra.sweep.dir).absolute())
        return {
            "number": hydra.job.num,
            "swept": {},
            "overrides": list(hydra.overrides.task),
            "experiment": hydra.runtime.choices.get("experiment"),
            "folder": self._seen_from_here(Path(hydra.runtime.output_dir)),
            "status": "running",
            "error": None,
        }

    def _seen_from_here(self, folder: Path) -> str | None:
        return None if self.folder is None else Path(os.path.relpath(folder, self.folder)).as_posix()

    def _write(self) -> None:
        if self.folder is None:
            return
        for cell, swept in zip(self.cells, _swept([cell["overrides"] for cell in self.cells]), strict=True):
            cell["swept"] = swept
        with written_whole(self.folder / CELLS) as path:
            path.write_text(json.dumps(self.cells, indent=2) + "\n")


def rebuild(folder: Path) -> list[Path]:
    """Make ``table.csv``, ``table.md`` and ``figure.png`` from a sweep's ``cells.json`` and its run folders.

    Args:
        folder: of the sweep.

    Returns:
        The three files, the figure last.

    Raises:
        Refusal: there is no ``cells.json``, or it cannot be read.
    """
    from dcgan_lightning import sweep_figure  # it takes matplotlib along, which a run by itself need not wait for

    results = sweep_table.ranked(folder, read_cells(folder))
    return [*sweep_table.write(results, folder), sweep_figure.draw(results, folder)]


def read_cells(folder: Path) -> list[dict[str, Any]]:
    """The cells of a sweep's ``cells.json``.

    Raises:
        Refusal: there is none, or it cannot be read.
    """
    try:
        cells = json.loads((folder / CELLS).read_text())
        if not isinstance(cells, list) or not all(map(sweep_table.is_cell, cells)):
            raise ValueError("not a list of cells")
        return cells
    except (OSError, ValueError, RecursionError) as error:
        problem = f"its {CELLS} cannot be read: {error}"
        raise Refusal("run", folder, problem, "give the folder of a sweep, outputs/sweeps/...") from error


def _unused(folder: Path) -> Path:
    """The folder, or ``<folder>_2`` and so on; whoever makes ``cells.json`` in it has claimed it.

    Hydra names a sweep's folder by the second in which it starts, and two may start in the same.
    """
    for attempt in itertools.count(1):
        free = folder if attempt == 1 else folder.with_name(f"{folder.name}_{attempt}")
        with suppress(FileExistsError):
            _list_no_cells(free)
            break
    return free


def _list_no_cells(folder: Path) -> None:
    """Make ``cells.json``; FileExistsError where another sweep was first."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with (folder / CELLS).open("x") as file:
            file.write("[]\n")
    except FileNotFoundError:  # a sweep that cannot be composed removed the empty folder just now
        _list_no_cells(folder)


def _swept(overrides: list[list[str]]) -> list[dict[str, str]]:
    """For each list of overrides the options that are not the same in all of them, with their values."""
    by_cell = [{name.lstrip("+"): value for name, _, value in (o.partition("=") for o in cell)} for cell in overrides]
    names = list(dict.fromkeys(name for cell in by_cell for name in cell))
    differ = [name for name in names if len({cell.get(name) for cell in by_cell}) > 1]
    return [{name: cell[name] for name in differ if name in cell} for cell in by_cell]


def _but_experiment(overrides: list[str]) -> list[str]:
    return [override for override in overrides if not override.lstrip("+").startswith("experiment=")]


def _ended(status: str) -> str:
    return "was stopped" if status == "stopped" else status


def _first_line(words: str) -> str:
    return words.partition("\n")[0]
