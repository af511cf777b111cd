"""The pictures of the whole run are drawn when it ends, however it ends, and never make it fail."""

from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch import Callback

from dcgan_lightning.callbacks import figures
from dcgan_lightning.callbacks.figures import Figures
from dcgan_lightning.callbacks.grid import SampleGrid
from dcgan_lightning.callbacks.scalars import Scalars
from dcgan_lightning.curves import NotThere
from dcgan_lightning.networks.dcgan import Discriminator, Generator
from tests.support import Images, composed, gan, some_images, trainer


class Breaks(Callback):
    def on_train_batch_end(self, trainer, *rest):
        if trainer.global_step == 3:
            raise RuntimeError("the power failed")


def train(tmp_path, *callbacks):
    torch.manual_seed(0)
    sizes = {"image_size": 28, "channels": 1, "width": 4}
    module = gan(Generator(**sizes, latent_dim=6), Discriminator(**sizes))
    trainer(tmp_path, 4, callbacks).fit(module, datamodule=Images(some_images(32), 8, tmp_path / "cache"))


def draws_by_name(folder):
    """A maker that writes how far metrics.csv has come."""
    (folder / "drawn.txt").write_text(str(len((folder / "metrics.csv").read_text().splitlines()) - 1))
    return [folder / "drawn.txt"]


def cannot(folder):
    raise ZeroDivisionError("no ink")


def lacks(folder):
    raise NotThere("there is no paper")


def test_a_finished_run_is_drawn_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(figures, "PICTURES", {"drawn.txt": draws_by_name})
    train(tmp_path, Scalars(fetch_every=50), Figures())
    assert (tmp_path / "drawn.txt").read_text() == "4"


def test_a_run_that_fails_is_drawn_as_far_as_it_came(tmp_path):
    drawing = {"every": 2, "every_epochs": None, "latents": "fixed", "n": 4, "columns": 2, "seed": 0}
    grid = SampleGrid(**drawing, dark_on_white=False, save_generator=False)
    with pytest.raises(RuntimeError, match="the power failed"):
        train(tmp_path, Scalars(fetch_every=50), grid, Figures(), Breaks())
    assert len((tmp_path / "metrics.csv").read_text().splitlines()) == 1 + 3
    assert {"losses.png", "losses_tutorial.png", "d_outputs.png", "real_vs_fake.png", "progress.gif"} <= {
        path.name for path in tmp_path.iterdir()
    }


def test_what_cannot_be_drawn_is_warned_of_and_the_rest_is_drawn(tmp_path, monkeypatch):
    makers = {"ink.png": cannot, "paper.png": lacks, "drawn.txt": draws_by_name}
    monkeypatch.setattr(figures, "PICTURES", makers)
    with pytest.warns(UserWarning, match="could not be drawn") as warned:
        train(tmp_path, Scalars(fetch_every=50), Figures())
    (message,) = (str(warning.message) for warning in warned if "could not be drawn" in str(warning.message))
    assert "ink.png (ZeroDivisionError: no ink)" in message
    assert f"python rebuild.py run={tmp_path}" in message
    assert "paper" not in message  # what a run never had is no failure
    assert (tmp_path / "drawn.txt").is_file()


def test_only_rank_0_draws_and_only_once(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(figures, "PICTURES", {"drawn": lambda folder: drawn.append(folder) or []})
    for is_global_zero in (False, True):
        rank = SimpleNamespace(is_global_zero=is_global_zero, default_root_dir=str(tmp_path))
        callback = Figures()
        callback.on_fit_start(rank, None)
        callback.on_train_end(rank, None)
        callback.on_exception(rank, None, KeyboardInterrupt())  # of one who does not want to wait for pictures
    assert drawn == [tmp_path]


def test_the_config_has_them_after_what_they_show():
    names = list(composed("run_dir=somewhere").callbacks)
    assert names.index("figures") > max(names.index(name) for name in ("scalars", "grid", "fid", "weights"))
