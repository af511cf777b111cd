"""Latents that are a function of (seed, stream, iteration, index of the sample in the global batch).

Philox, a counter-based generator (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011), is keyed on
the seed and the stream, and its counter is set to the iteration. So no state has to be kept or restored, ranks differ,
reruns repeat, and the number of devices does not change which latents a global batch gets.
"""

import hashlib
from functools import cache

import numpy as np
import torch
from torch import Tensor


def generator(seed: int, stream: str, iteration: int = 0) -> np.random.Generator:
    """A generator of its own for each (seed, stream, iteration); 2**192 draws lie between two iterations."""
    return np.random.Generator(np.random.Philox(key=key_of(seed, stream), counter=iteration << 192))


@cache
def key_of(seed: int, stream: str) -> int:
    """Philox's key, 128 bits."""
    return int.from_bytes(hashlib.blake2b(f"{seed}/{stream}".encode(), digest_size=16).digest(), "little")


def sample_latents(seed: int, stream: str, iteration: int, n: int, latent_dim: int) -> Tensor:
    """Draw the latents of a global batch.

    Args:
        seed: the run's seed.
        stream: what the latents are for, such as ``"d"``; streams are independent.
        iteration: from 0 over the whole run.
        n: size of the global batch; row i does not depend on it.
        latent_dim: length of a latent vector.

    Returns:
        (n, latent_dim) float32 on the CPU, standard normal.
    """
    z = generator(seed, stream, iteration).standard_normal((n, latent_dim), dtype=np.float32)
    return torch.from_numpy(z)


def rows_of_rank(z: Tensor, rank: int, world_size: int) -> Tensor:
    """A rank's rows of a global batch: every ``world_size``-th, as DistributedSampler deals out the images."""
    return z[rank::world_size]
