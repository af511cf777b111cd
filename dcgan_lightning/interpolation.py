"""Walks between latents, along straight lines or along great circles.

A generator trained on standard normal latents has hardly seen a latent near the origin: nearly all lie close to a
sphere of radius sqrt(latent_dim), which a straight line leaves and a great circle follows (White, "Sampling generative
networks", arXiv:1609.04468, section 2.1).
"""

from typing import Literal

import torch
from torch import Tensor

Kind = Literal["linear", "spherical"]
NEARLY_PARALLEL = 1e-6  # sine of the angle below which two directions leave the great circle open


def linear(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """(1 - t) a + t b; ``a`` and ``b`` (..., latent_dim), ``t`` (..., 1) in [0, 1]."""
    return (1 - t) * a + t * b


def spherical(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """Slerp: (sin((1 - t) w) a + sin(t w) b) / sin(w), where w is the angle between ``a`` and ``b``.

    Shoemake, "Animating rotation with quaternion curves" (SIGGRAPH 1985), section 3.3; as White applies it, to latents
    that keep their lengths, so that between two of one length every latent has that length. Directions that are
    parallel, opposite or zero have no one great circle through them (with a latent_dim of 1 all are such): these go
    along the straight line.

    Args:
        a, b: (..., latent_dim).
        t: (..., 1) in [0, 1]; 0 gives ``a`` and 1 gives ``b``, exactly.
    """
    lengths = a.norm(dim=-1, keepdim=True) * b.norm(dim=-1, keepdim=True)
    cosine = ((a * b).sum(dim=-1, keepdim=True) / lengths).clamp(-1, 1)  # NaN for a zero vector
    angle = cosine.acos()
    sine = angle.sin()
    along = ((1 - t) * angle).sin() / sine * a + (t * angle).sin() / sine * b
    return torch.where(sine > NEARLY_PARALLEL, along, linear(a, b, t))


def between(z: Tensor, kind: Kind, steps: int) -> Tensor:
    """The latents strictly between each latent and the next one, evenly spaced in t.

    Args:
        z: (R + 1, latent_dim).
        kind: ``linear`` or ``spherical``.
        steps: images of a strip, both ends among them; at least 2.

    Returns:
        (R, steps - 2, latent_dim) in the dtype of ``z``, computed in float64.
    """
    t = torch.linspace(0, 1, steps, dtype=torch.float64)[1:-1, None]  # (steps - 2, 1)
    a, b = z[:-1, None].double(), z[1:, None].double()  # (R, 1, latent_dim)
    return {"linear": linear, "spherical": spherical}[kind](a, b, t).to(z.dtype)
