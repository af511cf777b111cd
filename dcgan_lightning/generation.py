"""Images from a checkpoint or from bare weights."""

import math
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from dcgan_lightning import interpolation, noise, sample_files
from dcgan_lightning.errors import Refusal, refuse_below
from dcgan_lightning.loading import load
from dcgan_lightning.parallel import in_order, share, turns
from dcgan_lightning.sample_files import Batch
from dcgan_lightning.sampling import full_float32, sample_images
from dcgan_lightning.selection import bar, draw, mean_pairwise_distance


def generate(
    ckpt_path: str | None,
    weights: str | None,
    discriminator_weights: str | None,
    model: str | None,
    n: int | None,
    seed: int,
    latent_mean: float,
    latent_std: float,
    select_from: int | None,
    interpolate: interpolation.Kind | None,
    steps: int,
    save: Literal["grid", "images"],
    format: sample_files.Format | None,
    out: str | None,
    rows: int | None,
    columns: int,
    batch_size: int,
    device: str,
) -> None:
    """Draw latents, pass them through G, and save what comes out.

    The latents depend on the seed alone: the same bits at any batch size, the first ones the same at any ``n``.

    Args:
        ckpt_path: a run folder (its best checkpoint by FID, else its last), or a checkpoint.
        weights: instead of it, a generator's state dict.
        discriminator_weights: with ``weights`` and ``select_from``, a discriminator's state dict.
        model: with ``weights``, the family of networks that they belong to.
        n: images; with ``interpolate``, latents to walk through. Null: what ``rows`` and ``columns`` make.
        seed: of the latents.
        latent_mean, latent_std: each number of a latent is ``latent_mean + latent_std * standard normal``.
        select_from: draw so many, and keep the ``n`` that D takes most for real, the best first.
        interpolate: walk from each latent to the next one, along a straight line or a great circle.
        steps: images of such a walk, both ends among them, in a row of their own.
        save: ``grid`` for one picture (of walks also an animation), ``images`` for a file each, numbered from 0.
        format: of the files. Null: what ``out`` ends in, else PNG, and GIF for the animation.
        out: the picture's file, or the images' folder, which has to be empty.
        rows: of the picture. Null: as many as ``n`` takes, and without ``n`` as many as there are columns.
        columns: images in a row, where there are no ``steps``.
        batch_size: images at a time.
        device: ``cpu``, ``cuda``, ``mps``, or ``auto`` for the fastest there is.

    Raises:
        Refusal: no generator can be made of what was given, options contradict each other, or ``out`` is taken.
    """
    counts = {"n": n, "rows": rows, "columns": columns, "batch_size": batch_size, "select_from": select_from}
    refuse_below(1, **{name: count for name, count in counts.items() if count is not None})
    _refuse_spread(latent_mean, latent_std)
    if interpolate is None:
        n = shown = images_of(n, rows, columns)
    else:
        n = latents_of(n, rows, steps)
        shown, columns = (n - 1) * steps, steps
    drawn = _number_to_draw(n, select_from, interpolate)
    networks = load(ckpt_path, weights, discriminator_weights, model, select_from is not None, device)
    if save == "images":
        output: sample_files.Output = sample_files.numbered(out, format, shown)
    else:
        stem = _stem(n, seed, latent_mean, latent_std, select_from, interpolate and f"{interpolate}{steps}")
        strips = interpolate is not None
        output = sample_files.pictures(out, format, networks.folder / stem, shown, columns, strips)
    output.claim(networks.image_shape)
    print(f"generator  {networks.source}")
    batch_size = share(batch_size, drawn, networks.generator)
    standard = latents(seed, drawn, networks.generator.latent_dim, batch_size)
    z = (latent_mean + latent_std * batch for batch in standard)
    with full_float32():  # said once for all threads, each of which says it again and puts back what it found
        if interpolate is not None:
            output.write(walk(networks.generator, torch.cat(list(z)), interpolate, steps, latent_mean, batch_size))
        elif networks.discriminator is not None:
            _write_best(networks.generator, networks.discriminator, z, drawn, n, batch_size, output)
        else:
            output.write(samples(networks.generator, z))


def images_of(n: int | None, rows: int | None, columns: int) -> int:
    """How many images there are to be; by default a square of them."""
    if n is None:
        return (columns if rows is None else rows) * columns
    if rows is not None and rows != -(-n // columns):
        problem = f"n={n} images in columns={columns} are {-(-n // columns)} rows"
        raise Refusal("rows", rows, problem, "leave out n or rows")
    return n


def latents_of(n: int | None, rows: int | None, steps: int) -> int:
    """How many latents are walked through: one more than there are strips; by default a square of images."""
    refuse_below(2, steps=steps)
    if n is None:
        return (steps if rows is None else rows) + 1
    refuse_below(2, n=n)
    if rows is not None and rows != n - 1:
        raise Refusal("rows", rows, f"between n={n} latents there are {n - 1} strips", "leave out n or rows")
    return n


def latents(seed: int, n: int, latent_dim: int, batch_size: int) -> Iterator[Tensor]:
    """The latents of samples 0 to n - 1, in batches (<= batch_size, latent_dim); the same bits at any batch size."""
    stream = noise.generator(seed, "samples")
    for first in range(0, n, batch_size):
        size = (min(batch_size, n - first), latent_dim)
        yield torch.from_numpy(stream.standard_normal(size, dtype=np.float32))


def samples(
    generator: nn.Module, z: Iterable[Tensor], turn: AbstractContextManager[object] | None = None
) -> Iterator[Batch]:
    """Images of latents, which come in batches (<= batch_size, latent_dim); to be drawn by several threads.

    ``turn`` is what they enter to do so; samples that are drawn side by side with others share theirs.
    """
    turn = turn or turns(generator)

    def draw(latents: Tensor) -> Tensor:
        with turn:
            return sample_images(generator, latents).cpu()

    return (Batch(len(batch), partial(draw, batch)) for batch in z)


def walk(
    generator: nn.Module, z: Tensor, kind: interpolation.Kind, steps: int, centre: float, batch_size: int
) -> Iterator[Batch]:
    """The images on the way from each latent to the next one.

    Args:
        generator: G.
        z: (R + 1, latent_dim).
        kind: of the way.
        steps: images of a strip, of which the first and the last are those of the latents themselves.
        centre: of the sphere that a spherical way follows: the mean of the latents.
        batch_size: images at a time.

    Yields:
        R strips of ``steps`` images.
    """
    turn = turns(generator)
    # Drawn as samples without a walk are, so that the ends of strips are the very same images.
    ends = torch.cat(list(in_order(batch.draw for batch in samples(generator, z.split(batch_size), turn))))
    firsts = ends.split(1)

    def strip(number: int, inner: Tensor) -> Tensor:
        drawn = [batch.draw() for batch in samples(generator, inner.split(batch_size), turn) if batch.n]
        return torch.cat([firsts[number], *drawn, firsts[number + 1]])

    for number, inner in enumerate(interpolation.between(z - centre, kind, steps) + centre):
        yield Batch(steps, partial(strip, number, inner))


def _write_best(
    generator: nn.Module,
    discriminator: nn.Module,
    z: Iterable[Tensor],
    drawn: int,
    n: int,
    batch_size: int,
    output: sample_files.Output,
) -> None:
    """Write the best of the images drawn, and say what choosing them cost in diversity."""
    batches = bar(z, "drawing", -(-drawn // batch_size))
    with draw(generator, discriminator, batches, drawn) as draws:
        best, scores = draws.best(n), draws.scores
        kept = f"{scores[best[0]]:.3g} to {scores[best[-1]]:.3g}"
        print(f"selected   {n} of {drawn}: D's logits {kept}, of all {scores.max():.3g} to {scores.min():.3g}")
        output.write(Batch(len(rows), partial(draws.images.__getitem__, rows)) for rows in best.split(batch_size))
        if n == 1:
            return  # there is no pair
        of_kept = mean_pairwise_distance(draws.images, best)
        of_drawn = mean_pairwise_distance(draws.images, torch.arange(drawn))
    ratio = f"kept / drawn = {of_kept / of_drawn:.3f}" if of_drawn else "all images are the same"
    print(f"diversity  mean pairwise distance {of_kept:.2f} kept, {of_drawn:.2f} drawn: {ratio}")


def _number_to_draw(n: int, select_from: int | None, interpolate: str | None) -> int:
    if select_from is None:
        return n
    if interpolate is not None:
        problem = "chooses among single images, and interpolate walks between latents in their order"
        raise Refusal("select_from", select_from, problem, "leave one of the two out")
    if select_from < n:
        raise Refusal("select_from", select_from, f"n={n} cannot be kept of so few", f"select_from={8 * n}")
    return select_from


def _refuse_spread(mean: float, std: float) -> None:
    if not math.isfinite(mean):
        raise Refusal("latent_mean", mean, "has to be a number", "latent_mean=0")
    if not 0 <= std < math.inf:
        raise Refusal("latent_std", std, "has to be a number of at least 0", "latent_std=1")


def _stem(n: int, seed: int, mean: float, std: float, select_from: int | None, walk: str | None) -> str:
    """A file's name without its ending, different for whatever makes the images differ."""
    stem = f"samples_n{n}_seed{seed}"
    # What G was trained on, a standard normal, needs no mention.
    stem += f"_mean{mean:g}" if mean != 0 else ""
    stem += f"_std{std:g}" if std != 1 else ""
    if select_from is not None:
        stem += f"_select_from{select_from}"
    return f"{stem}_interpolate_{walk}" if walk else stem
