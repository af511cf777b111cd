"""generate.py: the best by D's score, walks between latents, spread of the latents, rows."""

import re
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image, ImageSequence

from dcgan_lightning import checkpoints
from dcgan_lightning.errors import Refusal
from dcgan_lightning.generation import images_of, latents, latents_of
from dcgan_lightning.images import to_float, to_uint8
from dcgan_lightning.interpolation import between
from dcgan_lightning.networks.dcgan import Discriminator
from tests.conftest import assert_refused


def read(path):
    return torch.from_numpy(np.array(Image.open(path)).astype(int))


def numbered(folder):
    return torch.stack([read(path) for path in sorted(folder.iterdir())])


@pytest.fixture(scope="module")
def trained(trained, tmp_path_factory):
    """A copy of the finished run, since samples are saved beside its checkpoints."""
    folder = tmp_path_factory.mktemp("sampled") / "run"
    shutil.copytree(trained.folder, folder)
    return SimpleNamespace(folder=folder)


@pytest.fixture
def networks(trained):
    file = trained.folder / "checkpoints" / "last.ckpt"
    return checkpoints.load_generator(file), checkpoints.load_discriminator(file)


@pytest.fixture
def last(trained):
    return f"ckpt_path={trained.folder}/checkpoints/last.ckpt"


def best_by_hand(networks, seed, drawn, n):
    """Indices and (n, H, W) images of the best, and all (drawn, H, W) images."""
    generator, discriminator = networks
    with torch.no_grad():
        floats = generator(next(latents(seed, drawn, generator.latent_dim, drawn)))
        logits = discriminator(floats).tolist()
    order = sorted(range(drawn), key=lambda i: -logits[i])[:n]
    images = to_uint8(floats)[:, 0]
    return images[order].int(), images


@pytest.mark.parametrize("batch_size", [7, 256])
def test_the_best_are_saved_in_their_order_and_their_diversity_is_printed(
    command, last, networks, tmp_path, batch_size
):
    kept, drawn = best_by_hand(networks, seed=4, drawn=60, n=9)
    choice = (last, "seed=4", "n=9", "select_from=60", f"batch_size={batch_size}")
    run = command("generate", *choice, "save=images", f"out={tmp_path}/best")
    assert run.code == 0
    assert (numbered(tmp_path / "best") - kept).abs().max() <= 1
    distances = [torch.pdist(to_float(images.to(torch.uint8)).flatten(1)).mean().item() for images in (kept, drawn)]
    found = re.search(r"distance (\S+) kept, (\S+) drawn: kept / drawn = (\S+)", run.out)
    printed = [float(number) for number in found.groups()]
    assert printed == pytest.approx([*distances, distances[0] / distances[1]], abs=0.01)
    assert "9 of 60" in run.out


def test_the_grid_of_the_best_has_their_number_in_its_name(command, last, trained, networks):
    kept, _ = best_by_hand(networks, seed=0, drawn=30, n=6)
    run = command("generate", last, "n=6", "select_from=30", "columns=3")
    file = trained.folder / "samples_n6_seed0_select_from30.png"
    assert f"grid       {file}" in run.out
    grid = read(file)
    assert grid.shape == (2 * 34 + 2, 3 * 34 + 2, 3)
    for i, image in enumerate(kept):
        top, left = 2 + i // 3 * 34, 2 + i % 3 * 34
        assert (grid[top : top + 32, left : left + 32, 0] - image).abs().max() <= 1


def test_one_image_is_chosen_without_a_word_on_diversity(command, last, networks, tmp_path):
    run = command("generate", last, "n=1", "select_from=10", "save=images", f"out={tmp_path}/one")
    assert run.code == 0
    assert (numbered(tmp_path / "one") - best_by_hand(networks, 0, 10, 1)[0]).abs().max() <= 1
    assert "diversity" not in run.out


def test_weights_of_both_networks_choose_as_their_checkpoint_does(command, last, networks, tmp_path):
    names = [tmp_path / "g.pth", tmp_path / "d.pth"]
    for network, name in zip(networks, names, strict=True):
        torch.save(network.state_dict(), name)
    weights = (f"weights={names[0]}", f"discriminator_weights={names[1]}", "model=dcgan_small")
    for folder, source in (("a", (last,)), ("b", weights)):
        run = command("generate", *source, "n=5", "select_from=20", "save=images", f"out={tmp_path / folder}")
        assert run.code == 0
    assert torch.equal(numbered(tmp_path / "a"), numbered(tmp_path / "b"))


def test_latents_are_spread_as_asked(command, last, networks, trained):
    run = command("generate", last, "n=4", "columns=1", "latent_mean=-0.5", "latent_std=0.25", "seed=3")
    grid = read(trained.folder / "samples_n4_seed3_mean-0.5_std0.25.png")
    assert run.code == 0
    with torch.no_grad():
        expected = to_uint8(networks[0](next(latents(3, 4, 100, 4)) * 0.25 - 0.5))[:, 0].int()
    for i in range(4):
        assert (grid[2 + 34 * i : 34 + 34 * i, 2:34, 0] - expected[i]).abs().max() <= 1


@pytest.mark.parametrize(("kind", "batch_size"), [("linear", 2), ("spherical", 256)])
def test_a_walk_goes_through_the_very_images_of_its_latents(command, last, networks, tmp_path, kind, batch_size):
    common = (last, "seed=1", "latent_mean=0.5", f"batch_size={batch_size}", "save=images")
    command("generate", *common, "n=4", f"out={tmp_path}/ends")
    run = command("generate", *common, "rows=3", "steps=5", f"interpolate={kind}", f"out={tmp_path}/walk")
    assert run.code == 0
    ends, walk = numbered(tmp_path / "ends"), numbered(tmp_path / "walk").view(3, 5, 32, 32)
    assert torch.equal(walk[:, 0], ends[:-1])
    assert torch.equal(walk[:, -1], ends[1:])
    inner = between(next(latents(1, 4, 100, 4)), kind, 5) + 0.5  # around the mean of the latents
    with torch.no_grad():
        expected = to_uint8(networks[0](inner.flatten(0, 1))).view(3, 3, 32, 32)
    assert (walk[:, 1:-1] - expected.int()).abs().max() <= 1


def test_a_walk_is_a_strip_and_an_animation(command, last, trained):
    run = command("generate", last, "n=3", "steps=4", "interpolate=spherical", "columns=7")
    assert run.code == 0
    stem = trained.folder / "samples_n3_seed0_interpolate_spherical4"
    assert f"strip      {stem}.png" in run.out
    assert f"animation  {stem}.gif" in run.out
    assert read(stem.with_suffix(".png")).shape == (2 * 34 + 2, 4 * 34 + 2, 3)
    assert Image.open(stem.with_suffix(".gif")).n_frames == 7
    strip = read(stem.with_suffix(".png"))[:, :, 0]
    frames = [torch.from_numpy(np.array(frame.convert("L"))).int() for frame in gif(stem)]
    assert torch.equal(frames[4][::4, ::4], strip[36:68, 36:68].int())  # the second strip's second


def gif(stem):
    return ImageSequence.Iterator(Image.open(stem.with_suffix(".gif")))


@pytest.mark.parametrize(
    ("n", "rows", "columns", "images"), [(None, None, 8, 64), (None, 3, 5, 15), (10, None, 8, 10), (10, 2, 8, 10)]
)
def test_rows_and_columns_say_how_many_images(n, rows, columns, images):
    assert images_of(n, rows, columns) == images


@pytest.mark.parametrize(
    ("n", "rows", "steps", "count"), [(None, None, 8, 9), (None, 1, 5, 2), (4, None, 5, 4), (4, 3, 2, 4)]
)
def test_rows_say_how_many_latents_are_walked_through(n, rows, steps, count):
    assert latents_of(n, rows, steps) == count


@pytest.mark.parametrize(
    ("refused", "words"),
    [
        (lambda: images_of(10, 3, 8), "rows=3: n=10 images in columns=8 are 2 rows"),
        (lambda: latents_of(4, 4, 8), "rows=4: between n=4 latents there are 3 strips"),
        (lambda: latents_of(1, None, 8), "n=1: has to be at least 2"),
        (lambda: latents_of(4, None, 1), "steps=1: has to be at least 2"),
    ],
)
def test_counts_that_contradict_each_other_are_refused(refused, words):
    with pytest.raises(Refusal, match=words):
        refused()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("n=3", "select_from=2"), ("select_from=2", "n=3")),
        (("n=3", "select_from=9", "interpolate=linear"), ("select_from=9", "interpolate")),
        (("select_from=0",), ("select_from=0", "at least 1")),
        (("rows=0",), ("rows=0", "at least 1")),
        (("latent_std=-0.1",), ("latent_std=-0.1", "at least 0")),
        (("latent_std=inf",), ("latent_std=inf",)),
        (("latent_mean=nan",), ("latent_mean=nan",)),
        (("interpolate=cubic",), ("interpolate=cubic", "one of linear, spherical, null")),
        (("format=tiff",), ("format=tiff", "one of png, jpg, webp, gif, null")),
        (("format=gif",), ("format=gif", "interpolate=spherical")),
        (("n=10000", "format=webp"), ("format=webp", "16383")),
        (("discriminator_weights=d.pth", "select_from=99"), ("discriminator_weights=d.pth", "of its own")),
    ],
    ids=" ".join,
)
def test_bad_options(command, last, arguments, words):
    assert_refused(command("generate", last, *arguments), *words)


def test_weights_alone_cannot_be_chosen_from(command, networks, tmp_path):
    torch.save(networks[0].state_dict(), tmp_path / "g.pth")
    alone = (f"weights={tmp_path}/g.pth", "model=dcgan", "n=2", "save=images", "out=new")
    assert_refused(command("generate", *alone, "select_from=9"), "discriminator_weights=null")
    other = Discriminator(image_size=28, channels=1, width=4)
    torch.save(other.state_dict(), tmp_path / "d.pth")
    given = f"discriminator_weights={tmp_path}/d.pth"
    assert_refused(command("generate", *alone, "select_from=9", given), given, "[28, 28]", "[1, 32, 32]")
    assert_refused(command("generate", *alone, given), given, "leave it out")
