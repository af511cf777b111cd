"""rebuild.py: a run's pictures from its folder alone, however the run ended."""

import importlib.util
import shutil

import numpy as np
import pytest

from dcgan_lightning import rebuilding
from dcgan_lightning.curves import grids, read_curves
from tests.conftest import FIGURES, assert_refused

PICTURES = ("losses.png", "losses_tutorial.png", "d_outputs.png", "real_vs_fake.png", "progress.gif")
FILM = ("progress.mp4",) if importlib.util.find_spec("imageio_ffmpeg") else ()


@pytest.fixture
def folder(trained, tmp_path):
    """A finished run's folder with what pictures are made from, and no more."""
    copy = tmp_path / "run"
    shutil.copytree(trained.folder / "grids", copy / "grids")
    for name in ("metrics.csv", "real.png"):
        shutil.copy(trained.folder / name, copy)
    return copy


def test_the_pictures_are_those_that_the_run_left(command, trained, folder):
    assert not any((folder / name).exists() for name in PICTURES)
    run = command("rebuild", f"run={folder}")
    assert run.code == 0
    for name in PICTURES:
        assert (folder / name).read_bytes() == (trained.folder / name).read_bytes()
    for name in PICTURES + FILM:
        assert f"wrote     {folder / name}" in run.out
    assert run.made == []
    assert not (folder / ".hydra").exists()


def test_what_the_folder_lacks_is_left_out_with_the_reason(command, folder):
    shutil.rmtree(folder / "grids")
    run = command("rebuild", f"run={folder}")
    assert run.code == 0
    assert run.out.count("wrote") == 4  # the three of curves, and the report
    assert f"left out  progress.gif: there is no whole picture in {folder / 'grids'}" in run.out
    assert not (folder / "progress.gif").exists()


def test_what_fails_is_told_and_stops_nothing_else(command, folder):
    (folder / "metrics.csv").write_text("iteration,loss_d\n0,zero\n")
    run = command("rebuild", f"run={folder}")
    assert run.code == 1
    assert "failed    losses.png, losses_tutorial.png, d_outputs.png: ValueError" in run.err
    assert "metrics.csv is damaged" in run.err
    assert (folder / "progress.gif").is_file()
    assert "Traceback" not in run.err


@pytest.mark.slow
def test_a_resumed_run_shows_the_whole_way(command):
    short = ("metrics=none", "callbacks.weights=null", "callbacks.grid.every=2")
    first = command.tiny(*short, "trainer.max_steps=4").folder
    (second,) = set(command.tiny(*short, f"ckpt_path={first}", "trainer.max_steps=6", FIGURES).folders) - {first}
    np.testing.assert_array_equal(read_curves(second)["iteration"], range(6))
    assert list(grids(second)) == [2, 4, 6]
    whole = {name: (second / name).read_bytes() for name in PICTURES}
    run = command("rebuild", f"run={second}")
    assert run.code == 0
    assert {name: (second / name).read_bytes() for name in PICTURES} == whole

    shutil.rmtree(first)
    run = command("rebuild", f"run={second}")
    assert run.code == 0
    assert f"left out  what came before: {first}/checkpoints/last.ckpt is not there" in run.out
    assert (second / "progress.gif").read_bytes() != whole["progress.gif"]
    assert (second / "losses.png").read_bytes() == whole["losses.png"]  # it has all rows itself


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), ("run=null", "outputs/<model>_<data>/<time>")),
        (("run=nowhere",), ("run=nowhere", "no such folder")),
        (("run={empty}",), ("run=", "metrics.csv", "grids")),
        (("run=7",), ("run=7", "str")),
        (("runs=outputs",), ("runs=outputs", "did you mean run?")),
    ],
)
def test_bad_options(command, tmp_path, arguments, words):
    (tmp_path / "empty").mkdir()
    run = command("rebuild", *(argument.format(empty=tmp_path / "empty") for argument in arguments))
    assert_refused(run, *words)


def test_a_sweeps_folder_has_makers_of_its_own(command, folder, monkeypatch):
    def table(folder):
        (folder / "table.md").write_text("| cell |")
        return [folder / "table.md"]

    monkeypatch.setattr(rebuilding, "OF_A_SWEEP", {"table": table})
    (folder / "cells.json").write_text("[]")
    run = command("rebuild", f"run={folder}")
    assert run.code == 0
    assert run.out.strip() == f"wrote     {folder / 'table.md'}"
    assert not (folder / "losses.png").exists()


def test_weights_are_exported_again(command, trained, tmp_path):
    copy = tmp_path / "run"
    shutil.copytree(trained.folder, copy)
    files = [copy / f"{role}.safetensors" for role in ("generator", "discriminator")]
    before = [file.read_bytes() for file in files]
    for file in files:
        file.unlink()
    config = copy / ".hydra" / "config.yaml"
    config.write_text(config.read_text().replace("export_pth: false", "export_pth: true"))
    run = command("rebuild", f"run={copy}")
    assert run.code == 0, run.err
    assert [file.read_bytes() for file in files] == before
    assert (copy / "generator.pth").is_file()


def test_a_sweep_is_tabled_again(command):
    swept = command.tiny("-m", "metrics=none", "trainer.max_steps=1", "callbacks.figures=null", "model.lr=1e-4,2e-4")
    (folder,) = (swept.cwd / "outputs" / "sweeps").iterdir()
    table = (folder / "table.csv").read_bytes()
    for name in ("table.csv", "table.md", "figure.png"):
        (folder / name).unlink()
    run = command("rebuild", f"run={folder}")
    assert run.code == 0, run.err
    assert (folder / "table.csv").read_bytes() == table
    assert (folder / "figure.png").is_file()
