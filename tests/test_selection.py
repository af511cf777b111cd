"""Choosing by D's score, held against a plain sort; the distance, against torch.cdist."""

import copy
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from dcgan_lightning import selection
from dcgan_lightning.errors import Refusal
from dcgan_lightning.images import to_float, to_uint8
from dcgan_lightning.networks.dcgan import Discriminator, Generator
from dcgan_lightning.selection import Drawn, draw, mean_pairwise_distance
from tests.support import some_images


@pytest.fixture
def networks():
    """G and D whose BatchNorm statistics are not the first ones, so that the mode makes a difference."""
    torch.manual_seed(0)
    generator = Generator(image_size=28, channels=1, latent_dim=8, width=4)
    discriminator = Discriminator(image_size=28, channels=1, width=4)
    for _ in range(5):
        discriminator(generator(torch.randn(16, 8)))
    return generator, discriminator


@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_the_best_are_those_that_a_plain_sort_by_d_gives(networks, batch_size):
    generator, discriminator = networks
    z = torch.randn(40, 8)
    with torch.no_grad():
        floats = copy.deepcopy(generator).eval()(z)
        logits = copy.deepcopy(discriminator).eval()(floats).tolist()
    expected = sorted(range(40), key=lambda i: -logits[i])[:10]
    with draw(generator, discriminator, z.split(batch_size), 40) as drawn:
        torch.testing.assert_close(drawn.scores, torch.tensor(logits))
        assert drawn.best(10).tolist() == expected
        assert (drawn.images.int() - to_uint8(floats).int()).abs().max() <= 1


def test_scores_are_of_floats_and_leave_both_networks_alone(networks):
    state = [copy.deepcopy(network.state_dict()) for network in networks]
    z = torch.randn(6, 8)
    with draw(*networks, [z], 6) as drawn:
        with torch.no_grad():
            generator, discriminator = (copy.deepcopy(network).eval() for network in networks)
            floats = generator(z)
            rounded = discriminator(to_float(to_uint8(floats)))
        assert torch.equal(drawn.scores, discriminator(floats).detach())
        assert not torch.equal(drawn.scores, rounded)
    for network, before in zip(networks, state, strict=True):
        assert network.training
        assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


def test_of_equal_scores_the_one_drawn_first_comes_first():
    drawn = Drawn(some_images(5), torch.tensor([1.0, 3.0, 1.0, 3.0, 2.0]))
    assert drawn.best(5).tolist() == [1, 3, 4, 0, 2]
    assert drawn.best(2).tolist() == [1, 3]


@pytest.mark.parametrize("rows", [1, 2, 7, 30, 1024])
@pytest.mark.parametrize("n", [2, 29, 30, 31])
def test_the_distance_is_cdists_at_every_size_of_blocks(monkeypatch, rows, n):
    monkeypatch.setattr(selection, "BLOCK_ROWS", rows)
    images = some_images(40, channels=3, size=6)
    which = torch.randperm(40, generator=torch.Generator().manual_seed(n))[:n]
    flat = to_float(images[which], torch.float64).flatten(1)
    all_pairs = torch.cdist(flat, flat, compute_mode="donot_use_mm_for_euclid_dist")
    expected = all_pairs.sum() / (n * (n - 1))
    assert mean_pairwise_distance(images, which) == pytest.approx(expected.item(), rel=1e-12)


def test_large_images_come_in_smaller_blocks(monkeypatch):
    images, which = some_images(9, size=16), torch.arange(9)
    at_once = mean_pairwise_distance(images, which)
    monkeypatch.setattr(selection, "BLOCK_NUMBERS", 3 * 16 * 16)
    assert mean_pairwise_distance(images, which) == pytest.approx(at_once, rel=1e-12)
    monkeypatch.setattr(selection, "BLOCK_NUMBERS", 1)
    assert mean_pairwise_distance(images, which) == pytest.approx(at_once, rel=1e-12)


def test_images_that_are_the_same_have_no_distance_and_black_and_white_have_the_longest():
    same = some_images(1, channels=3, size=64).expand(50, -1, -1, -1)
    assert mean_pairwise_distance(same, torch.arange(50)) == 0
    opposite = torch.stack([torch.zeros(3, 64, 64), torch.full((3, 64, 64), 255)]).to(torch.uint8)
    assert mean_pairwise_distance(opposite, torch.arange(2)) == pytest.approx(2 * (3 * 64 * 64) ** 0.5, rel=1e-12)


class Diverged(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, images):
        return self.weight + images.mean(dim=(1, 2, 3)).where(torch.arange(len(images)) > 1, torch.nan)


def test_scores_that_are_not_finite_are_refused(networks):
    with pytest.raises(Refusal, match="scores of 2 of 6 images"), draw(networks[0], Diverged(), [torch.randn(6, 8)], 6):
        pass


def test_images_that_the_disk_has_no_room_for_are_refused(networks, monkeypatch):
    monkeypatch.setattr(selection.shutil, "disk_usage", lambda folder: SimpleNamespace(free=6 * 28 * 28 - 1))
    with pytest.raises(Refusal, match="TMPDIR") as refusal, draw(*networks, [torch.randn(6, 8)], 6):
        pass
    assert refusal.value.option == "select_from"
