"""generate.py: grids and numbered images from run folders, checkpoints and bare weights."""

import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from dcgan_lightning.generation import latents
from dcgan_lightning.images import to_uint8
from tests.conftest import assert_refused
from tests.reference.tutorial import NetG


def png(path):
    return np.asarray(Image.open(path)).astype(int)


def test_a_run_folder_gives_its_best_checkpoint_and_says_so(command, trained, tmp_path):
    run = command("generate", f"ckpt_path={trained.folder}", f"out={tmp_path}/grid.png")
    assert run.code == 0
    assert str(trained.folder / "checkpoints" / "best.ckpt") in run.out
    assert png(tmp_path / "grid.png").shape == (8 * 34 + 2, 8 * 34 + 2, 3)
    assert run.made == []


def test_without_a_best_checkpoint_the_last_one_is_taken(command, trained, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(trained.folder, folder)
    (folder / "checkpoints" / "best.ckpt").unlink()
    run = command("generate", f"ckpt_path={folder}", "n=3", "seed=7")
    assert str(folder / "checkpoints" / "last.ckpt") in run.out
    assert (folder / "samples_n3_seed7.png").is_file()
    assert run.made == []


def test_numbered_images_are_the_same_at_any_batch_size(command, trained, tmp_path):
    checkpoint = trained.folder / "checkpoints" / "last.ckpt"
    for batch_size in (1, 4, 256):
        folder = tmp_path / f"by_{batch_size}"
        sizes = (f"ckpt_path={checkpoint}", "n=10", "seed=3", f"batch_size={batch_size}")
        run = command("generate", *sizes, "save=images", f"out={folder}")
        assert run.code == 0
        assert sorted(path.name for path in folder.iterdir()) == [f"{i:05d}.png" for i in range(10)]
    for i in range(10):
        by_one, by_four, at_once = (png(tmp_path / f"by_{size}" / f"{i:05d}.png") for size in (1, 4, 256))
        assert by_one.shape == (32, 32)
        assert abs(by_one - by_four).max() <= 1
        assert abs(by_one - at_once).max() <= 1
    assert run.made == []


def test_latents_are_the_same_bits_at_any_batch_size_and_number():
    whole = torch.cat(list(latents(seed=5, n=100, latent_dim=7, batch_size=100)))
    for batch_size in (1, 3, 64):
        assert torch.equal(torch.cat(list(latents(5, 100, 7, batch_size))), whole)
    assert torch.equal(torch.cat(list(latents(5, 10, 7, 4))), whole[:10])
    assert not torch.isin(torch.cat(list(latents(6, 100, 7, 100))), whole).any()


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize(("nz", "ngf", "nc"), [(100, 64, 3), (20, 8, 1)])
def test_weights_of_the_tutorials_own_generator_give_its_images(command, tmp_path, suffix, nz, ngf, nc):
    torch.manual_seed(0)
    net_g = NetG(nz, ngf, nc).eval()
    file = tmp_path / f"netG{suffix}"
    (torch.save if suffix == ".pth" else save_file)(net_g.state_dict(), file)
    weights = (f"weights={file}", "model=dcgan", "n=5", "seed=2")
    run = command("generate", *weights, "save=images", f"out={tmp_path}/images")
    assert run.code == 0
    with torch.no_grad():
        (z,) = latents(2, 5, nz, 5)
        expected = to_uint8(net_g(z.view(5, nz, 1, 1)))
    for i, image in enumerate(expected):
        written = png(tmp_path / "images" / f"{i:05d}.png").reshape(64, 64, nc).transpose(2, 0, 1)
        assert abs(written - image.numpy()).max() <= 1


def test_nothing_that_a_run_folder_names_is_executed(command, trained, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(trained.folder, folder)
    marker = tmp_path / "executed"
    attack = f"_target_: os.system\ncommand: touch {marker}\n"
    for name in ("config.yaml", "hydra.yaml", "overrides.yaml"):
        (folder / ".hydra" / name).write_text(f"model:\n  generator:\n    {attack.replace(chr(10), chr(10) + '    ')}")
    assert command("generate", f"ckpt_path={folder}", "n=2").code == 0
    checkpoint = torch.load(folder / "checkpoints" / "best.ckpt", weights_only=True)
    for record in (
        {"family": "os", "role": "system", "kwargs": {"command": f"touch {marker}"}},
        {"family": "dcgan", "role": "Generator", "kwargs": {"image_size": {"_target_": "os.system"}}},
        {},
    ):
        checkpoint["dcgan_lightning"]["generator"] = record
        torch.save(checkpoint, tmp_path / "stranger.ckpt")
        run = command("generate", f"ckpt_path={tmp_path / 'stranger.ckpt'}", "n=2")
        assert_refused(run, "ckpt_path")
    assert not marker.exists()


class Attack:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        import os

        return os.system, (f"touch {self.marker}",)


@pytest.mark.parametrize("option", ["ckpt_path={}", "weights={}"])
def test_a_pickle_that_executes_is_refused(command, tmp_path, option):
    marker, file = tmp_path / "executed", tmp_path / "stranger.pth"
    torch.save({"state_dict": Attack(marker)}, file)
    assert_refused(command("generate", option.format(file), "model=dcgan"), str(file), "cannot be read")
    assert not marker.exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), ("ckpt_path", "weights")),
        (("ckpt_path=nowhere",), ("ckpt_path=nowhere", "no such file")),
        (("weights=nowhere.pth", "model=dcgan"), ("weights=nowhere.pth",)),
        (("ckpt_path={folder}", "n=0"), ("n=0", "at least 1")),
        (("ckpt_path={folder}", "n=many"), ("n=many", "int")),
        (("ckpt_path={folder}", "save=video"), ("save=video", "grid, images")),
        (("ckpt_path={folder}", "save=images"), ("out=null", "folder")),
        (("ckpt_path={folder}", "save=images", "out={folder}"), ("out=", "not an empty folder")),
        (("ckpt_path={folder}", "out=samples"), ("out=samples", "*.png", "save=images")),
        (("ckpt_path={folder}", "save=images", "out=/proc/samples"), ("out=/proc/samples", "cannot be made")),
        (("ckpt_path={folder}", "device=abacus"), ("device=abacus",)),
        (("ckpt_path={folder}", "select=512"), ("select=512", "no such option")),
        (("weights={folder}/checkpoints/last.ckpt",), ("model=null", "dcgan")),
        (("weights={folder}/checkpoints/last.ckpt", "model=dcgan"), ("not a state dict",)),
        (("weights={folder}/checkpoints/last.ckpt", "model=vae"), ("model/vae", "dcgan")),
    ],
)
def test_bad_options(command, trained, arguments, words):
    run = command("generate", *(argument.format(folder=trained.folder) for argument in arguments))
    assert_refused(run, *words)


def test_a_generator_that_emits_nan_is_an_error(command, trained, tmp_path):
    checkpoint = torch.load(trained.folder / "checkpoints" / "last.ckpt", weights_only=True)
    checkpoint["state_dict"]["generator.main.0.weight"][:] = float("nan")
    torch.save(checkpoint, tmp_path / "nan.ckpt")
    run = command("generate", f"ckpt_path={tmp_path / 'nan.ckpt'}")
    assert run.code == 1
    assert "not finite" in run.err
    assert "Traceback" not in run.err
    assert run.made == []
