import math
import sys
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Callback
from safetensors.torch import load_file

from dcgan_lightning import checkpoints
from dcgan_lightning.callbacks.weights import Weights, export
from dcgan_lightning.errors import Refusal
from dcgan_lightning.networks.dcgan import Discriminator, Generator
from tests.conftest import assert_refused
from tests.support import Images, gan, some_images, trainer

ROLES = ("generator", "discriminator")
SIZES = {"image_size": 28, "channels": 1, "width": 4}


def train(folder, *callbacks, iterations=6, channels_last=False, **settings):
    """Epochs of four batches."""
    torch.manual_seed(0)
    module = gan(Generator(**SIZES, latent_dim=6), Discriminator(**SIZES), channels_last=channels_last)
    fit = trainer(folder, iterations, callbacks, **settings)
    fit.fit(module, datamodule=Images(some_images(32), 8, folder / "cache"))
    return module, fit


def files(folder):
    return sorted(
        str(path.relative_to(folder)) for path in folder.rglob("*") if path.suffix in (".safetensors", ".pth")
    )


@pytest.mark.parametrize(("channels_last", "precision"), [(False, "32-true"), (True, "32-true"), (False, "64-true")])
def test_both_networks_are_saved_at_the_end_under_their_own_keys(tmp_path, channels_last, precision):
    callback = Weights(save_every=None, export_pth=False)
    module, _ = train(tmp_path, callback, channels_last=channels_last, precision=precision)
    assert files(tmp_path) == ["discriminator.safetensors", "generator.safetensors"]
    for role in ROLES:
        saved, network = load_file(tmp_path / f"{role}.safetensors"), getattr(module, role)
        assert set(saved) == set(network.state_dict())
        assert "main.0.weight" in saved
        for key, value in network.state_dict().items():
            assert saved[key].dtype == (torch.float32 if value.is_floating_point() else torch.int64)
            assert torch.equal(saved[key], value.to(saved[key].dtype))


def test_every_so_many_epochs_and_as_pth_too(tmp_path):
    states = {}

    class Watch(Callback):
        def on_train_batch_end(self, trainer, pl_module, *args):
            weights = pl_module.generator.state_dict()
            states[trainer.global_step] = {key: value.clone() for key, value in weights.items()}

    train(tmp_path, Watch(), Weights(save_every=2, export_pth=True), iterations=18)
    stems = [f"weights/{role}_epoch_{epoch:04d}" for role in ROLES for epoch in (2, 4)] + list(ROLES)
    assert files(tmp_path) == sorted(stem + suffix for stem in stems for suffix in (".safetensors", ".pth"))
    for stem, iteration in (
        ("weights/generator_epoch_0002", 8),
        ("weights/generator_epoch_0004", 16),
        ("generator", 18),
    ):
        plain = torch.load(tmp_path / f"{stem}.pth", weights_only=True)
        for weights in (plain, load_file(tmp_path / f"{stem}.safetensors")):
            assert all(torch.equal(weights[key], value) for key, value in states[iteration].items())
    Generator(**SIZES, latent_dim=6).load_state_dict(plain, strict=True)


def test_weights_that_are_not_finite_are_not_saved(tmp_path):
    class Spoil(Callback):
        def on_train_batch_end(self, trainer, pl_module, *args):
            if trainer.global_step == 5:
                next(pl_module.generator.parameters()).data[0] = math.inf

    with pytest.warns(UserWarning, match="weights of generator.* are not finite .* after 6 iterations"):
        _, fit = train(tmp_path, Spoil(), Weights(save_every=1, export_pth=True))
    good = [f"weights/{role}_epoch_0001" for role in sorted(ROLES)]
    assert files(tmp_path) == [stem + suffix for stem in good for suffix in (".pth", ".safetensors")]

    fit.save_checkpoint(tmp_path / "checkpoints" / "last.ckpt")
    with pytest.raises(Refusal, match="not finite"):
        export(tmp_path, export_pth=False)


def test_a_failed_write_leaves_what_was_there(tmp_path, monkeypatch):
    (tmp_path / "generator.safetensors").write_text("before")

    def fail(state, path):
        Path(path).write_text("half")
        raise OSError("no space left")

    monkeypatch.setitem(sys.modules["dcgan_lightning.callbacks.weights"].WRITERS, ".safetensors", fail)
    with pytest.raises(OSError, match="no space left"):
        train(tmp_path, Weights(save_every=None, export_pth=False), iterations=1)
    assert [path.name for path in tmp_path.iterdir() if "generator" in path.name] == ["generator.safetensors"]
    assert (tmp_path / "generator.safetensors").read_text() == "before"


def test_export_makes_the_files_of_the_end_again(trained, tmp_path):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "last.ckpt").write_bytes((trained.folder / "checkpoints" / "last.ckpt").read_bytes())
    made = export(tmp_path, export_pth=True)
    assert [str(path.relative_to(tmp_path)) for path in made] == [
        "generator.safetensors",
        "generator.pth",
        "discriminator.safetensors",
        "discriminator.pth",
    ]
    assert files(tmp_path) == sorted(path.name for path in made)
    for role in ROLES:
        name = f"{role}.safetensors"
        assert (tmp_path / name).read_bytes() == (trained.folder / name).read_bytes()


def test_the_weights_of_a_run_are_those_of_its_last_checkpoint(trained):
    generator = checkpoints.load_generator(trained.folder / "checkpoints" / "last.ckpt")
    saved = load_file(trained.folder / "generator.safetensors")
    assert all(torch.equal(saved[key], value) for key, value in generator.state_dict().items())


def test_the_options_are_named_as_they_are_typed(command):
    assert_refused(command.tiny("save_every=0"), "save_every=0", "at least 1")
    assert_refused(command.tiny("export_pth=7"), "export_pth=7", "bool")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device that is always full")
@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_a_full_disk_is_an_oserror(suffix):
    write = sys.modules["dcgan_lightning.callbacks.weights"].WRITERS[suffix]
    with pytest.raises(OSError, match="No space left"):
        write({"weight": torch.zeros(3)}, Path("/dev/full"))
