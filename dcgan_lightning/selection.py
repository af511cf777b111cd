"""The images that a discriminator takes most for real, and what choosing them costs in diversity.

Choosing follows Chen Yun's "pytorch-book", chapter on GANs (github.com/chenyuntc/pytorch-book): 512 are drawn, and the
64 with the highest output of D are kept.
"""

import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from torch import Tensor, nn

from dcgan_lightning.errors import Refusal
from dcgan_lightning.images import to_uint8
from dcgan_lightning.parallel import in_order, turns
from dcgan_lightning.sampling import as_drawn, eval_mode, sample_floats

T = TypeVar("T")
BLOCK_ROWS, BLOCK_NUMBERS = 1024, 2**24  # of a block of images whose distances are taken at once: 128 MiB of float64


@dataclass(frozen=True)
class Drawn:
    """Images in a file, and D's score of each.

    Args:
        images: (N, C, H, W) uint8, mapped into memory.
        scores: (N,) logits: above 0 where D takes the image for real.
    """

    images: Tensor
    scores: Tensor

    def best(self, n: int) -> Tensor:
        """The indices of the ``n`` images with the highest scores, the best first; of equals the one drawn first."""
        return self.scores.argsort(descending=True, stable=True)[:n]


@contextmanager
def draw(generator: nn.Module, discriminator: nn.Module, latents: Iterable[Tensor], n: int) -> Iterator[Drawn]:
    """Draw images and score each as D is given it in training: as floats, before they are rounded to be saved.

    Both networks are in eval mode and compute in float32, in several threads. The images wait in a temporary file,
    which is gone afterwards, so that memory holds a few batches of them, however many there are.

    Args:
        generator: G.
        discriminator: D, of G's images.
        latents: batches (<= batch_size, latent_dim).
        n: how many latents that is in all.

    Raises:
        Refusal: there is no room for the images, or D's scores are not finite.
    """
    turn = turns(generator)
    # The modes are set once for all threads: each would put back what it found while others still draw.
    with tempfile.TemporaryFile() as file, eval_mode(generator), eval_mode(discriminator):
        scores: list[Tensor] = []
        shape: torch.Size | None = None
        for images, scored in in_order(partial(_scored, generator, discriminator, z, turn) for z in latents):
            if shape is None:
                shape = images.shape[1:]
                _refuse_without_room(n * shape.numel(), n)
            scores.append(scored)
            file.write(images.numpy().tobytes())
        assert shape is not None
        file.flush()
        # Copy-on-write, since torch takes no read-only arrays; nothing is written.
        stored = np.memmap(file, np.uint8, "c", shape=(n, *shape))
        yield Drawn(torch.from_numpy(stored), _finite(torch.cat(scores)))


def _scored(
    generator: nn.Module, discriminator: nn.Module, z: Tensor, turn: AbstractContextManager[object]
) -> tuple[Tensor, Tensor]:
    """Images (N, C, H, W) uint8 and logits (N,), both on the CPU."""
    with turn:
        images = sample_floats(generator, z)  # (N, C, H, W) in [-1, 1]
        return to_uint8(images).cpu(), score(discriminator, images).cpu()


def score(discriminator: nn.Module, images: Tensor) -> Tensor:
    """D's logits (N,) of images (N, C, H, W) in [-1, 1]; its mode and its BatchNorm statistics stay untouched."""
    with as_drawn(discriminator):
        return discriminator(images.to(next(discriminator.parameters())))


def mean_pairwise_distance(images: Tensor, which: Tensor) -> float:
    """How far images are from each other on average: a measure of their diversity, 0 where all are the same.

    2 / (N (N - 1)) * sum over i < j of ||x_i - x_j||, where x is an image as it is saved, put into [-1, 1] and
    flattened, and ||.|| is the Euclidean norm.

    It is exact: uint8 pixels u are compared as ||u||^2 + ||v||^2 - 2 <u, v>, a whole number below 2**53, which float64
    holds without rounding; its root is divided by 127.5, since u is (x + 1) * 127.5. Blocks of images are compared with
    blocks, so that memory is bounded; time grows with N^2.

    Args:
        images: (M, C, H, W) uint8.
        which: (N,) indices of those to compare, at least 2.
    """
    n = len(which)
    size = max(1, min(BLOCK_ROWS, BLOCK_NUMBERS // images[0].numel()))
    total = 0.0
    blocks = which.split(size)
    for i, block in enumerate(bar(blocks, "comparing images", len(blocks))):
        these = images[block].flatten(1).double()  # (<= size, C * H * W)
        for j, other in enumerate(blocks[i:]):
            those = images[other].flatten(1).double()
            squares = these.square().sum(1)[:, None] + those.square().sum(1) - 2 * these @ those.T
            # A block compared with itself holds each of its pairs twice; all other pairs are met once.
            total += squares.sqrt().sum().item() * (1 if j else 0.5)
    return total / (n * (n - 1) / 2) / 127.5


def bar(rounds: Iterable[T], words: str, total: int) -> Iterable[T]:
    """The same rounds, with a progress bar on a terminal, which is gone at the end."""
    console = Console(stderr=True)
    return track(rounds, words, total=total, console=console, transient=True, disable=not console.is_terminal)


def _finite(scores: Tensor) -> Tensor:
    bad = int((~scores.isfinite()).sum())
    if bad:
        problem = f"D's scores of {bad} of {len(scores)} images are not finite (NaN or infinity): it has diverged"
        raise Refusal("select_from", len(scores), problem, "take an earlier checkpoint, or leave select_from out")
    return scores


def _refuse_without_room(needed: int, n: int) -> None:
    folder = tempfile.gettempdir()
    free = shutil.disk_usage(folder).free
    if needed > free:
        problem = f"the images take {needed / 1e9:.1f} GB in {folder}, which has {free / 1e9:.1f} GB left"
        raise Refusal("select_from", n, problem, "draw fewer, or set the environment variable TMPDIR to a larger place")
