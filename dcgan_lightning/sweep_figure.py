"""One figure of a sweep: for each cell its name, its samples at four moments of the run, and its losses."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from dcgan_lightning.captions import size_if_whole
from dcgan_lightning.curves import NotThere, grids, read_curves
from dcgan_lightning.figures import D, G, running_mean, thinned
from dcgan_lightning.sweep_table import Result, clock
from dcgan_lightning.untrusted import open_png
from dcgan_lightning.whole_files import written_whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FIGURE = "figure.png"
# Pixels; the figure is laid out in them, so that those of the samples stay what they are.
DPI = 100
LARGEST = 400  # side of a grid of samples
NAME, LOSSES = 320, 460  # widths of what stands left and right of the grids
GAP, TITLE, AXIS, LINE = 16, 30, 46, 19
LOWEST = 130  # height of a row without grids
CHARACTERS = 38  # of a line of words
MOMENTS = 4
DRAWN, SMOOTHED = 1500, 200  # points of a line at most; from so many on their running mean is drawn over them


def draw(results: list[Result], folder: Path) -> Path:
    """Draw ``figure.png``, one row a result, in their order.

    Args:
        results: of a sweep's cells, at least one.
        folder: of the sweep.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    pictures = [_moments(result) for result in results]
    side = max((max(picture.size) for row in pictures for _, picture in row), default=LARGEST // 2)
    words = [(_name(result), _failure(result)) for result in results]
    needed = [LINE * (len(name) + len(failure) + 1) for name, failure in words]
    heights = [TITLE + max(side if row else LOWEST, lines) + AXIS for row, lines in zip(pictures, needed, strict=True)]
    width = GAP + NAME + MOMENTS * (side + GAP) + AXIS + LOSSES + GAP
    figure = Figure(figsize=(width / DPI, sum(heights) / DPI), dpi=DPI)
    FigureCanvasAgg(figure)
    top = TITLE
    for result, row, (name, failure), height in zip(results, pictures, words, heights, strict=True):
        inner = height - TITLE - AXIS
        axes = _axes(figure, GAP, top, NAME, inner)
        axes.text(0, 1, "\n".join(name), va="top", fontsize=11)
        axes.text(0, 0, "\n".join(failure), va="bottom", fontsize=11, color="firebrick")
        left = GAP + NAME
        for title, picture in row:
            axes = _axes(figure, left, top, *picture.size)
            axes.imshow(np.asarray(picture), interpolation="nearest", aspect="auto")
            axes.set_title(title, fontsize=10)
            left += side + GAP
        if not row:
            _axes(figure, left, top, side, inner).text(0, 1, "no pictures", va="top", color="grey")
        _draw_losses(_axes(figure, width - GAP - LOSSES, top, LOSSES, inner), result)
        top += height
    with written_whole(folder / FIGURE) as path:
        figure.savefig(path, dpi=DPI)
    return folder / FIGURE


def _axes(figure: Figure, left: int, top: int, width: int, height: int) -> Axes:
    """Axes without ticks in a rectangle of whole pixels, counted from the upper left corner."""
    whole_width, whole_height = (round(inches * DPI) for inches in figure.get_size_inches())
    bottom = whole_height - top - height
    axes = figure.add_axes((left / whole_width, bottom / whole_height, width / whole_width, height / whole_height))
    axes.set_axis_off()
    return axes


def _name(result: Result) -> list[str]:
    """Lines: what the cell is, its best FID, the time that it took."""
    lines = [] if result.rank is None else [f"rank {result.rank}"]
    for option in result.typed or [f"cell {result.number}"]:
        lines += textwrap.wrap(option, CHARACTERS, subsequent_indent="  ")
    if result.best is not None:
        iteration, value = result.best
        lines += ["", f"best FID {value:.2f} at iteration {iteration:,}", f"({result.tag})"]
    if "seconds" in result.run:
        began = result.run.get("first_iteration")
        lines.append(clock(result.run["seconds"]) + (f" from iteration {began:,} on" if began else ""))
    return lines


def _failure(result: Result) -> list[str]:
    words = "" if result.status == "finished" else f"{result.status}: {result.reason}".rstrip(": ")
    return textwrap.wrap(words, CHARACTERS, max_lines=6)


def _moments(result: Result) -> list[tuple[str, Image.Image]]:
    """Titles and pictures: the end of the first epoch, a quarter, a half, the end; for each the nearest that was drawn.

    The first picture of all stands for the first epoch where that is longer than a quarter of the run. No picture
    stands for two moments.
    """
    found = {} if result.folder is None else grids(result.folder)
    drawn = {iteration: path for iteration, path in found.items() if size_if_whole(path)}
    length = result.run.get("iterations") or max(drawn, default=0)
    an_epoch = result.run.get("iterations_per_epoch")
    first = an_epoch if an_epoch and an_epoch <= length / 4 else min(drawn, default=0)
    left, chosen = list(drawn), []
    for moment in (length, length / 2, length / 4, first)[: len(drawn)]:
        chosen.append(min(left, key=lambda iteration: abs(iteration - moment)))
        left.remove(chosen[-1])
    epochs = {i: f", epoch {i / an_epoch:,.1f}".removesuffix(".0") if an_epoch else "" for i in sorted(chosen)}
    return [(f"iteration {i:,}{epoch}", _fitted(drawn[i])) for i, epoch in epochs.items()]


def _fitted(path: Path) -> Image.Image:
    """A grid magnified by a whole number, or else made smaller by averaging over areas; never blurred."""
    with open_png(path) as opened:
        picture = opened.convert("RGB")
    longest = max(picture.size)
    scale = LARGEST // longest if longest <= LARGEST else LARGEST / longest
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    return picture.resize(size, Image.Resampling.NEAREST if scale >= 1 else Image.Resampling.BOX)


def _draw_losses(axes: Axes, result: Result) -> None:
    try:
        curves = read_curves(result.folder) if result.folder is not None else {}
    except (NotThere, ValueError):
        curves = {}
    if not {"loss_d", "loss_g"} <= set(curves):
        axes.text(0, 1, "no losses", va="top", color="grey")
        return
    axes.set_axis_on()
    for label, column, colour in (("D", "loss_d", D), ("G", "loss_g", G)):
        known = np.isfinite(curves[column])
        x, y = curves["iteration"][known], curves[column][known]
        if len(y) >= SMOOTHED:
            shown = thinned(y, DRAWN)
            axes.plot(x[shown], y[shown], color=colour, linewidth=0.5, alpha=0.3)
            y = running_mean(y, len(y) // 50)
        shown = thinned(y, DRAWN)
        axes.plot(x[shown], y[shown], color=colour, linewidth=1.3, label=label)
    axes.set_title("loss [nats] by iteration", fontsize=10)
    axes.tick_params(labelsize=9)
    axes.locator_params(axis="x", integer=True)
    axes.legend(loc="best", fontsize=9)
    axes.grid(alpha=0.3)
    axes.margins(x=0.01)
