import csv
import math

import pytest
import torch

from dcgan_lightning.callbacks.checkpoints import Checkpoints
from dcgan_lightning.callbacks.console import (
    MLP,
    AuthorsLines,
    Guide,
    Position,
    Tutorial,
    _NanWhereUnknown,
    make_console,
)
from dcgan_lightning.callbacks.progress import Progress
from dcgan_lightning.callbacks.scalars import Scalars
from dcgan_lightning.networks.dcgan import Discriminator, Generator
from tests.conftest import assert_refused
from tests.support import Images, gan, some_images, trainer

VALUES = {
    "loss_d": 0.75,
    "loss_g": 1.5,
    "loss_d_real": 0.25,
    "loss_d_fake": 0.5,
    "d_x": 0.625,
    "d_gz_before": 0.375,
    "d_gz_after": 0.3125,
    "acc_real": 0.999,
    "acc_fake": float(torch.tensor(0.29)),  # a little below it
}
AT = Position(iteration=51, epoch=0, epochs=5, batch=50, batches=1583)


def test_the_lines_of_each_author():
    tutorial = "[0/5][50/1583]\tLoss_D: 0.7500\tLoss_G: 1.5000\tD(x): 0.6250\tD(G(z)): 0.3750 / 0.3125"
    assert Tutorial().line(AT, VALUES) == tutorial
    mlp = "[Epoch 0/5] [Batch 50/1583] [D loss: 0.750000] [G loss: 1.500000] [D real: 0.625000] [D fake: 0.375000]"
    assert MLP().line(AT, VALUES) == mlp
    assert Guide().line(AT, VALUES) == ">51, d1=0.250, d2=0.500 g=1.500, a1=99, a2=29"
    assert Guide().line(AT, VALUES | {"loss_d": 0.375}) == ">51, d=0.375 g=1.500, a1=99, a2=29"


def test_the_guides_line_stays_what_it_was_when_losses_reach_zero():
    zero = {"loss_d": 0.0, "loss_d_real": 0.0, "loss_d_fake": 0.0}
    for loss_d, shown in ((0.375, "d=0.000 g="), (0.75, "d1=0.000, d2=0.000 g=")):
        guide = Guide()
        guide.line(AT, VALUES | {"loss_d": loss_d})
        assert shown in guide.line(AT, VALUES | zero)


def test_values_that_are_not_finite_are_shown():
    diverged = dict.fromkeys(VALUES, math.nan)
    assert Guide().line(AT, diverged) == ">51, d1=nan, d2=nan g=nan, a1=nan, a2=nan"


def lines(tmp_path, capfd, form, iterations=10, g_every=1, ckpt_path=None):
    """What is printed over epochs of four batches, and the rows of metrics.csv."""
    torch.manual_seed(0)
    sizes = {"image_size": 28, "channels": 1, "width": 4}
    module = gan(Generator(**sizes, latent_dim=6), Discriminator(**sizes), g_every=g_every)
    callbacks = [Scalars(fetch_every=3), AuthorsLines(form), Checkpoints(every=100)]
    fit = trainer(tmp_path, iterations, callbacks, enable_checkpointing=True)
    capfd.readouterr()
    fit.fit(module, datamodule=Images(some_images(32), 8, tmp_path / "cache"), ckpt_path=ckpt_path, weights_only=True)
    printed = capfd.readouterr().out.splitlines()
    with (tmp_path / "metrics.csv").open(newline="") as file:
        return printed, list(csv.DictReader(file))


@pytest.mark.parametrize("form", [Tutorial, MLP])
def test_a_line_at_the_first_batch_of_an_epoch_and_every_so_many(tmp_path, capfd, monkeypatch, form):
    monkeypatch.setattr(form, "every", 3)
    printed, table = lines(tmp_path, capfd, form())
    expected = []
    for i in (0, 3, 4, 7, 8):  # batches 0 and 3 of epochs of 4; 10 iterations are 3 epochs, the last one cut short
        values = {name: float(cell) for name, cell in table[i].items()}
        expected.append(form().line(Position(i + 1, i // 4, 3, i % 4, 4), values))
    assert printed == expected


def test_the_rhythm_of_each_author():
    assert (Tutorial.every, MLP.every, Guide.every) == (50, 300, 1)


def test_the_guides_lines_count_iterations_from_one_and_keep_the_newest_values(tmp_path, capfd):
    printed, table = lines(tmp_path, capfd, Guide(), iterations=6, g_every=4)
    assert [line.split(",")[0] for line in printed] == [f">{i}" for i in range(1, 7)]
    shown = [line.split("g=")[1].split(",")[0] for line in printed]
    newest = [table[i // 4 * 4]["loss_g"] for i in range(6)]
    assert shown == [f"{float(value):.3f}" for value in newest]
    assert [line.split("d1=")[1][:5] for line in printed] == [f"{float(row['loss_d_real']):.3f}" for row in table]


def test_a_resumed_run_shows_the_newest_values_of_the_run_before(tmp_path, capfd):
    whole, _ = lines(tmp_path, capfd, Guide(), iterations=6, g_every=4)
    lines(tmp_path, capfd, Guide(), iterations=2, g_every=4)
    resumed, _ = lines(
        tmp_path, capfd, Guide(), iterations=6, g_every=4, ckpt_path=tmp_path / "checkpoints" / "last.ckpt"
    )
    assert resumed == whole[2:]


def test_a_network_that_has_no_values_yet_shows_nan():
    assert "g=nan" in Guide().line(
        Position(1, 0, 1, 0, 4), _NanWhereUnknown({name: value for name, value in VALUES.items() if name != "loss_g"})
    )


def test_progress_is_the_bar():
    assert isinstance(make_console("progress", 10), Progress)


def test_an_authors_lines_take_the_place_of_the_bar(command):
    run = command.tiny("callbacks.console=guide", "trainer.max_steps=3", "metrics=none")
    assert run.code == 0
    assert [line.split(",")[0] for line in run.out.splitlines() if line.startswith(">")] == [">1", ">2", ">3"]
    assert "it/s" not in run.out + run.err


def test_another_author_is_refused(command):
    assert_refused(command.tiny("callbacks.console=foo"), "callbacks.console=foo", "progress, tutorial, mlp, guide")
