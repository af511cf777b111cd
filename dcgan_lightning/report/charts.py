"""Curves as SVG inside the page; lines and words take their colours from its style sheet, light or dark."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from io import StringIO
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from markupsafe import Markup, escape
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import NDArray

from dcgan_lightning.figures import running_mean, thinned

WIDTH, HEIGHT, FONT = 360, 230, 13  # of the drawing, in its own units: as wide as a telephone's screen is in pixels
DRAWN, MANY = 600, 300  # points of a line at most; from so many on their running mean is drawn over them
RIBBON = 0.035  # of the axis' height, below all values
SHARE = 0.99  # of the points lie within the axis, so that a few peaks do not press all others flat
# A colour that stands in the drawing for each variable of the style sheet until that takes its place.
STANDS_FOR = {
    name: f"#01fe{number:02x}"
    for number, name in enumerate(["ink", "grid", "real", "fake", "g", "d", "good", "bad", "open", "best"])
}


class Line(NamedTuple):
    """Values over iterations; ``colour`` names a variable of the style sheet, as :data:`STANDS_FOR` does."""

    label: str
    colour: str
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    dashed: bool = False


class Span(NamedTuple):
    """From one iteration to another a verdict held: ``good``, ``bad`` or ``open``."""

    since: float
    until: float
    kind: str


class Chart(NamedTuple):
    """A drawing, and what is said beside it."""

    title: str
    svg: Markup
    lines: Sequence[Line]
    notes: Sequence[str]

    @property
    def smoothed(self) -> bool:
        """Whether a line is drawn as its running mean over its points."""
        return any(len(line.y) >= MANY for line in self.lines)


def chart(
    title: str,
    unit: str,
    lines: Sequence[Line],
    *,
    healthy: tuple[float, float] | None = None,
    spans: Sequence[Span] = (),
    best: tuple[float, float] | None = None,
    level: float | None = None,
    limits: tuple[float | None, float | None] = (None, None),
    end: float = 0,
    back: Sequence[float] = (),
    notes: Sequence[str] = (),
) -> Chart:
    """Draw lines over iterations.

    Args:
        title: of the chart, and the beginning of what those hear who cannot see it.
        unit: what stands at the axis of values.
        lines: with at least a point each that is finite.
        healthy: range of values to shade.
        spans: verdicts, as a ribbon below.
        best: iteration and value to mark.
        level: value of a dotted line.
        limits: of the axis of values; None: from the values.
        end: iterations of the whole run, where the axis ends.
        back: iterations that the run went back to, to mark.
        notes: what is said below.
    """
    style: Any = {"svg.fonttype": "none", "svg.hashsalt": title, "font.size": FONT, "path.simplify": True}
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(WIDTH / 72, HEIGHT / 72), dpi=72)
        canvas = FigureCanvasSVG(figure)
        axes = figure.add_axes((62 / WIDTH, 44 / HEIGHT, (WIDTH - 94) / WIDTH, (HEIGHT - 54) / HEIGHT))
        end = max([end, 1, *(float(line.x[-1]) for line in lines)])
        axes.set_xlim(0, end)
        if healthy is not None:
            axes.axhspan(*healthy, color=STANDS_FOR["good"], alpha=0.16, linewidth=0)
        if level is not None:
            axes.axhline(level, color=STANDS_FOR["ink"], linestyle=":", linewidth=1)
        shown = [_draw(axes, line) for line in lines]
        low, high = _limits(shown, limits)
        if healthy is not None:  # its nearer end is seen, also of a run that is nowhere near it
            low, high = min(low, 0.9 * healthy[1]), max(high, 1.1 * healthy[0])
        axes.set_ylim(low - (RIBBON + 0.01) * (high - low) if spans else low, high)
        for span in spans:
            axes.axvspan(span.since, span.until, 0, RIBBON, color=STANDS_FOR[span.kind], linewidth=0, zorder=3)
        for place in back:
            axes.axvline(place, color=STANDS_FOR["bad"], linestyle=":", linewidth=1.4)
        if best is not None:
            axes.axvline(best[0], color=STANDS_FOR["best"], linestyle="--", linewidth=1.2)
            axes.plot(*best, marker="o", markersize=6, color=STANDS_FOR["best"], zorder=4)
        _dress(axes, unit)
        written = StringIO()
        canvas.print_svg(written, metadata={"Date": None})
    return Chart(title, _inside_page(written.getvalue(), title, lines, end), lines, notes)


def _draw(axes: Any, line: Line) -> NDArray[np.float64]:
    """The line, and with many points their running mean over them; returns what has to be seen."""
    colour, dashes = STANDS_FOR[line.colour], {"linestyle": (0, (4, 1.6)) if line.dashed else "-"}
    y = line.y
    if len(y) >= MANY:
        at = thinned(y, DRAWN)
        axes.plot(line.x[at], y[at], color=colour, linewidth=0.5, alpha=0.3)
        y = running_mean(y, len(y) // 50)
    at = thinned(y, DRAWN)
    axes.plot(line.x[at], y[at], color=colour, linewidth=1.6, marker="." if len(y) <= 30 else None, **dashes)
    return np.concatenate([y, np.sort(line.y)[: max(1, round(SHARE * len(line.y)))]])


def _limits(shown: Sequence[NDArray[np.float64]], limits: tuple[float | None, float | None]) -> tuple[float, float]:
    low, high = min(float(values.min()) for values in shown), max(float(values.max()) for values in shown)
    room = 0.06 * (high - low) or 0.05 * abs(high) or 0.05
    bottom, top = limits
    return (low - room if bottom is None else bottom), (high + room if top is None else max(top, high + room))


def _dress(axes: Any, unit: str) -> None:
    ink, grid = STANDS_FOR["ink"], STANDS_FOR["grid"]
    axes.set_facecolor("none")
    axes.figure.patch.set_visible(False)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(grid)
    axes.grid(color=grid, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, labelcolor=ink, labelsize=FONT)
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.0f}"))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.set_xlabel("iterations", color=ink, labelpad=2)
    axes.set_ylabel(unit, color=ink, labelpad=2)


def _inside_page(svg: str, title: str, lines: Sequence[Line], end: float) -> Markup:
    """Cut the drawing out of its file, give its ids a name of its own, and its colours those of the page."""
    body = svg[svg.index("<svg") :]
    body = body[body.index(">") + 1 :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    own = re.sub(r"\W+", "-", title.lower())
    body = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{own}-", body)
    body = re.sub(r"\n\s*", "\n", body)
    for name, colour in STANDS_FOR.items():
        body = body.replace(colour, f"var(--{name})")
    words = "; ".join([f"{title}, over {end:,.0f} iterations", *map(_in_words, lines)])
    head = f'<svg role="img" aria-label="{escape(words)}" viewBox="0 0 {WIDTH} {HEIGHT}">'
    return Markup(head + body)  # of matplotlib's making, words escaped by it


def _in_words(line: Line) -> str:
    lowest, highest = int(line.y.argmin()), int(line.y.argmax())
    return (
        f"{line.label} ends at {line.y[-1]:.3g}, lowest {line.y[lowest]:.3g} at iteration {line.x[lowest]:,.0f}, "
        f"highest {line.y[highest]:.3g} at iteration {line.x[highest]:,.0f}"
    )


def known(label: str, colour: str, table: Mapping[str, NDArray[np.float64]], column: str, dashed: bool = False) -> Line:
    """A line of the finite values of a column."""
    y = table.get(column)
    if y is None:
        return Line(label, colour, np.empty(0), np.empty(0), dashed)
    finite = np.isfinite(y) & np.isfinite(table["iteration"])
    return Line(label, colour, table["iteration"][finite], y[finite], dashed)
