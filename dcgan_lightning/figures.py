"""Pictures of a whole run: its curves as published GANs are shown with, and real beside generated images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dcgan_lightning.captions import PAPER, captioned, font_size, size_if_whole, size_with_band
from dcgan_lightning.curves import Curves, NotThere, grids, is_stacked, read_curves
from dcgan_lightning.untrusted import open_png
from dcgan_lightning.whole_files import written_whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# One colour a meaning, in every figure.
REAL, FAKE, G, D = "tab:blue", "tab:orange", "tab:green", "tab:purple"
FEW, MANY = 50, 500  # points: up to the first each is marked, from the second on a running mean is drawn over them
DRAWN = 2000  # points of a line at most
WHOLE = (-0.03, 1.03)  # limits of an axis for values in [0, 1]
SHOWN = 480  # pixels: real and generated images are magnified until they are about as high


def draw_curves(folder: Path) -> list[Path]:
    """Draw ``losses.png``, ``losses_tutorial.png`` and ``d_outputs.png`` from a run's ``metrics.csv``.

    Raises:
        NotThere: there is no row in it.
    """
    curves = read_curves(folder)
    drawn = {"losses": losses(curves), "losses_tutorial": losses_tutorial(curves), "d_outputs": d_outputs(curves)}
    paths = [folder / f"{name}.png" for name in drawn]
    for path, figure in zip(paths, drawn.values(), strict=True):
        with written_whole(path) as file:
            figure.savefig(file)
    return paths


def losses(curves: Curves) -> Figure:
    """D's losses on real and fake images and G's in one axis, accuracies below: as the guide to GAN failures has it.

    Where D was trained on real and fake images stacked into one batch, its loss is one curve.
    """
    apart = {"D on real": ("loss_d_real", REAL), "D on fake": ("loss_d_fake", FAKE)}
    figure, (above, below) = _figure(2)
    _draw(above, curves, ({"D": ("loss_d", D)} if is_stacked(curves) else apart) | {"G": ("loss_g", G)})
    _draw(below, curves, {"on real": ("acc_real", REAL), "on fake": ("acc_fake", FAKE)})
    above.set(ylabel="loss [nats]", xlabel="")
    above.set_title("Losses", loc="left")
    below.set_title("Accuracy of D", loc="left")
    below.set(ylabel="fraction judged rightly", ylim=WHOLE)
    return figure


def losses_tutorial(curves: Curves) -> Figure:
    """G's loss and D's whole loss in one axis: as PyTorch's DCGAN tutorial has it."""
    figure, (axes,) = _figure(1)
    _draw(axes, curves, {"G": ("loss_g", G), "D": ("loss_d", D)})
    axes.set_title("What G and D lost in each iteration", loc="left")
    axes.set_ylabel("Loss")
    return figure


def d_outputs(curves: Curves) -> Figure:
    """D(x), and D(G(z)) before and after D's step; at 0.5 D cannot tell."""
    figure, (axes,) = _figure(1)
    axes.axhline(0.5, color="black", linestyle=":", linewidth=1)
    before_and_after = {"D(G(z)) before D's step": ("d_gz_before", FAKE), "D(G(z)) after it": ("d_gz_after", G)}
    _draw(axes, curves, {"D(x)": ("d_x", REAL)} | before_and_after)
    axes.set_title("How real D takes images to be", loc="left")
    axes.set(ylabel="mean output of D", ylim=WHOLE)
    return figure


def draw_real_vs_fake(folder: Path) -> list[Path]:
    """Put ``real.png`` and the newest grid side by side in ``real_vs_fake.png``, one magnification for both.

    Raises:
        NotThere: one of the two is missing.
    """
    real = folder / "real.png"
    newest = next((grid for grid in reversed(grids(folder).items()) if size_if_whole(grid[1])), None)
    if newest is None:
        raise NotThere(f"there is no whole picture in {folder / 'grids'}")
    if not real.is_file():
        raise NotThere(f"there is no {real}")
    iteration, generated = newest
    named = {"Real": real, f"Generated, iteration {iteration:,}": generated}
    pictures = {words: open_png(file).convert("RGB") for words, file in named.items()}
    times = max(1, round(SHOWN / max(picture.height for picture in pictures.values())))
    larger = {
        words: picture.resize((times * picture.width, times * picture.height), Image.Resampling.NEAREST)
        for words, picture in pictures.items()
    }
    font = font_size(max(picture.width for picture in larger.values()))
    sizes = [size_with_band(words, picture.size, font) for words, picture in larger.items()]
    width, height = (max(sides) for sides in zip(*sizes, strict=True))
    both = Image.new("RGB", (2 * width + font, height), PAPER)
    for left, (words, picture) in zip((0, width + font), larger.items(), strict=True):
        both.paste(captioned(picture, words, (width, height), font), (left, 0))
    target = folder / "real_vs_fake.png"
    with written_whole(target) as file:
        both.save(file)
    return [target]


def running_mean(values: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    """The mean of the ``width`` values around each, of fewer towards both ends; (N,) to (N,)."""
    sums = np.concatenate([[0.0], np.cumsum(values)])
    middle = np.arange(len(values))
    first, end = np.maximum(middle - width // 2, 0), np.minimum(middle - width // 2 + width, len(values))
    return (sums[end] - sums[first]) / (end - first)


def thinned(values: NDArray[np.float64], most: int) -> NDArray[np.intp]:
    """Indices, rising and about ``most`` of them, of values whose line looks like that of all: stretches' extremes."""
    if len(values) <= most:
        return np.arange(len(values))
    stretches = np.array_split(np.arange(len(values)), most // 2)
    extremes = [stretch[pick] for stretch in stretches for pick in (values[stretch].argmin(), values[stretch].argmax())]
    return np.unique([0, *extremes, len(values) - 1])


def _figure(rows: int) -> tuple[Figure, list[Axes]]:
    """A figure on a canvas of its own; pyplot's belong to the whole process, and to its main thread."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 5 if rows == 1 else 7.5), dpi=100)
    FigureCanvasAgg(figure)
    margin = 0.5 / figure.get_figheight()  # constrained layout would draw everything twice
    figure.subplots_adjust(left=0.08, right=0.98, top=1 - 0.8 * margin, bottom=1.1 * margin, hspace=0.2)
    ratios = {"height_ratios": [3, 2] if rows == 2 else None}
    return figure, list(figure.subplots(rows, 1, sharex=True, squeeze=False, gridspec_kw=ratios)[:, 0])


def _draw(axes: Axes, curves: Curves, names: dict[str, tuple[str, str]]) -> None:
    """Lines through the known points of columns; ``names``: column and colour by what the legend says."""
    iterations = curves["iteration"]
    window = len(iterations) // 50
    for label, (column, colour) in names.items():
        if column not in curves:
            raise NotThere(f"there is no column {column} in metrics.csv")
        known = np.isfinite(curves[column])
        x, y = iterations[known], curves[column][known]
        if len(iterations) >= MANY:
            _line(axes, x, y, color=colour, linewidth=0.6, alpha=0.3, zorder=1.5)
            y = running_mean(y, max(1, round(window * known.mean())))
        _line(axes, x, y, color=colour, linewidth=1.3, marker="." if len(y) <= FEW else None, label=label)
    axes.set_xlabel(f"iterations (thick: mean over {window})" if len(iterations) >= MANY else "iterations")
    axes.grid(alpha=0.3)
    axes.margins(x=0.01)
    # Above the axes, where it hides nothing.
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=len(names), frameon=False, borderaxespad=0.2)


def _line(axes: Axes, x: NDArray[np.float64], y: NDArray[np.float64], **style: Any) -> None:
    shown = thinned(y, DRAWN)
    axes.plot(x[shown], y[shown], **style)
