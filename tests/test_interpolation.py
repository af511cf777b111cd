"""Ways between latents, held against closed forms and scipy's slerp of unit vectors."""

import math

import pytest
import torch
from scipy.spatial import geometric_slerp

from dcgan_lightning.interpolation import between, linear, spherical

T = torch.linspace(0, 1, 9, dtype=torch.float64)[:, None]


def latents(n, dim, seed=0):
    return torch.randn(n, dim, generator=torch.Generator().manual_seed(seed))


def test_a_quarter_circle_goes_by_cosine_and_sine():
    a, b = torch.tensor([3.0, 0, 0]).double(), torch.tensor([0, 3.0, 0]).double()
    expected = torch.stack([3 * (T[:, 0] * math.pi / 2).cos(), 3 * (T[:, 0] * math.pi / 2).sin(), 0 * T[:, 0]], dim=1)
    torch.testing.assert_close(spherical(a, b, T), expected)


def test_unit_vectors_go_as_scipys_do():
    a, b = torch.nn.functional.normalize(latents(2, 100).double())
    expected = torch.from_numpy(geometric_slerp(a.numpy(), b.numpy(), T[:, 0].numpy()))
    torch.testing.assert_close(spherical(a, b, T), expected)


def test_latents_of_one_length_keep_it_on_a_great_circle_and_lose_it_on_a_line():
    a, b = torch.nn.functional.normalize(latents(2, 100).double()) * 10
    torch.testing.assert_close(spherical(a, b, T).norm(dim=1), torch.full((9,), 10.0).double())
    assert linear(a, b, T)[4].norm() < 8  # 10 / sqrt(2) where they are at right angles, as they nearly are


def test_latents_of_unlike_lengths_go_by_the_plain_formula():
    a, b = torch.tensor([2.0, 0]).double(), torch.tensor([0, 5.0]).double()
    half = spherical(a, b, torch.tensor([0.5]).double())
    torch.testing.assert_close(half, torch.tensor([2.0, 5.0]).double() * math.sin(math.pi / 4))


@pytest.mark.parametrize("dim", [1, 2, 100])
@pytest.mark.parametrize("times", [1.0, 2.5, -1.0, 0.0, 1 + 1e-9])
def test_where_there_is_no_one_great_circle_the_line_is_taken(dim, times):
    a = latents(1, dim)[0].double()
    assert torch.equal(spherical(a, times * a, T), linear(a, times * a, T))


def test_close_to_parallel_both_ways_agree():
    a, off = latents(2, 50).double()
    for angle in (1e-3, 1e-5, 1e-7, 1e-9):
        b = a + angle * off
        assert (spherical(a, b, T) - linear(a, b, T)).abs().max() <= 10 * angle**2 + 1e-12


@pytest.mark.parametrize("way", [linear, spherical])
def test_the_ends_are_the_latents_to_the_last_bit(way):
    a, b = latents(2, 100).double()
    assert torch.equal(way(a, b, T)[0], a)
    assert torch.equal(way(a, b, T)[-1], b)


@pytest.mark.parametrize("kind", ["linear", "spherical"])
def test_between_gives_the_inner_latents_of_each_strip(kind):
    z = latents(4, 7)
    inner = between(z, kind, steps=5)
    assert (inner.shape, inner.dtype) == ((3, 3, 7), torch.float32)
    way = {"linear": linear, "spherical": spherical}[kind]
    for i in range(3):
        for j, t in enumerate((0.25, 0.5, 0.75)):
            expected = way(z[i].double(), z[i + 1].double(), torch.tensor([t]).double())
            torch.testing.assert_close(inner[i, j], expected.float())
    assert between(z, kind, steps=2).shape == (3, 0, 7)
