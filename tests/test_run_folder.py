"""Run folders: one a run, whatever starts at the same time, and none for a run that was refused."""

import contextlib
import errno
import json
import multiprocessing
import os
import signal
import subprocess
import sys

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from omegaconf import open_dict

from dcgan_lightning import tables
from dcgan_lightning.errors import Refusal
from dcgan_lightning.precision import resolved
from dcgan_lightning.run_folder import _claim, claimed
from dcgan_lightning.run_record import in_words, interrupted
from dcgan_lightning.sweep import _unused
from tests.conftest import TINY
from tests.support import CONF, ROOT


@pytest.fixture
def config(tmp_path):
    """Composed with Hydra's own part, as a run under Hydra sees it."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("train", return_hydra_config=True)
    with open_dict(cfg):
        cfg.hydra.runtime.output_dir = str(tmp_path / "outputs" / "now")
        cfg.hydra.mode = "RUN"
    HydraConfig.instance().set_config(cfg)
    with open_dict(cfg):
        del cfg["hydra"]
    yield cfg
    HydraConfig.instance().cfg = None


def test_runs_of_the_same_second_have_folders_of_their_own(config):
    names = []
    for _ in range(3):
        with claimed(config) as folder:
            (folder / "metrics.csv").touch()
            names.append(folder.name)
            assert config.run_dir == str(folder)
    assert names == ["now", "now_2", "now_3"]


def at_once(work, count=8):
    """What ``work(number)`` returns in so many processes that start together."""
    context = multiprocessing.get_context("fork")
    together, answers = context.Barrier(count), context.Queue()

    def process(number):
        together.wait()
        try:
            answers.put(work(number))
        except BaseException as error:
            answers.put(repr(error))

    processes = [context.Process(target=process, args=(number,)) for number in range(count)]
    for each in processes:
        each.start()
    results = [answers.get(timeout=60) for _ in processes]
    for each in processes:
        each.join()
    return results


def numbered(stem, count=8):
    return sorted([stem, *(f"{stem}_{number}" for number in range(2, count + 1))])


def test_eight_processes_that_start_at_once_have_folders_of_their_own(config):
    def run(number):
        with claimed(config) as folder:
            (folder / "metrics.csv").open("x").write(str(number))
        return folder.name

    assert sorted(at_once(run)) == numbered("now")


def test_runs_that_are_refused_meanwhile_take_no_folder_away(tmp_path):
    wanted = tmp_path / "outputs" / "now"

    def run(number):
        if number % 2:  # what the command line does for a run that is refused
            for _ in range(200):
                with contextlib.suppress(OSError):
                    wanted.mkdir(parents=True, exist_ok=True)
                    wanted.rmdir()
            return "refused"
        return _claim(wanted, chosen=False).name

    assert sorted(set(at_once(run))) == sorted([*numbered("now", 4), "refused"])


def test_of_runs_that_choose_the_same_folder_one_has_it(tmp_path):
    def run(number):
        try:
            return _claim(tmp_path / "mine", chosen=True).name
        except Refusal as refusal:
            return refusal.option

    assert sorted(at_once(run)) == ["hydra.run.dir"] * 7 + ["mine"]


def test_eight_sweeps_that_start_at_once_have_folders_of_their_own(tmp_path):
    wanted = tmp_path / "sweeps" / "now"
    assert sorted(at_once(lambda number: _unused(wanted).name)) == numbered("now")
    assert all((tmp_path / "sweeps" / name / "cells.json").read_text() == "[]\n" for name in numbered("now"))


@pytest.mark.slow
def test_eight_commands_of_the_same_second(tmp_path):
    same = [*TINY, "metrics=none", "trainer.max_steps=1", "hydra.sweep.dir=outputs/sweeps/now"]
    same.append("hydra.sweep.subdir=${hydra:runtime.cwd}/outputs/digits/now_${hydra:job.num}")
    command = [sys.executable, str(ROOT / "train.py"), "-m", *same, "seed=0,1"]
    processes = [subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL) for _ in range(8)]
    assert [process.wait(timeout=600) for process in processes] == [0] * 8
    tables = list(tmp_path.glob("outputs/sweeps/*/cells.json"))
    cells = [cell for table in tables for cell in json.loads(table.read_text())]
    folders = {(tmp_path / "outputs" / "sweeps" / "now" / cell["folder"]).resolve() for cell in cells}
    assert (len(tables), len(cells), len(folders)) == (8, 16, 16)
    assert all(len((folder / "metrics.csv").read_text().splitlines()) == 2 for folder in folders)


def test_a_folder_in_which_nothing_came_about_goes_again(config, tmp_path):
    with pytest.raises(KeyboardInterrupt), claimed(config) as folder:  # noqa: PT012
        assert (folder / ".hydra" / "config.yaml").is_file()
        raise KeyboardInterrupt
    assert not (folder / ".hydra").exists()


def test_a_folder_with_results_stays_after_an_exception(config):
    with pytest.raises(RuntimeError), claimed(config) as folder:  # noqa: PT012
        (folder / "metrics.csv").touch()
        raise RuntimeError
    assert (folder / "metrics.csv").is_file()
    assert (folder / ".hydra" / "overrides.yaml").is_file()


def record(folder):
    return json.loads((folder / "run.json").read_text())


def test_a_run_leaves_its_lengths_and_times(trained):
    left = record(trained.folder)
    images = 12 * 974 / 16  # 974 images are 16 batches
    assert left["images_per_s"] * left["seconds"] == pytest.approx(images, rel=0.02)
    assert 0 < left["seconds"] < 600
    told_elsewhere = {"seconds", "images_per_s", "environment", "git", "data"}  # the last three: test_surroundings.py
    assert {name: left[name] for name in left.keys() - told_elsewhere} == {
        "status": "finished",
        "error": None,
        "first_iteration": 0,
        "iterations": 12,
        "trained_iterations": 12,
        "planned_iterations": 12,
        "epochs": 0.75,
        "iterations_per_epoch": 16,
        "precision": resolved("auto", "cpu"),
        "experiment": None,
        "seed": 0,
    }


def test_a_resumed_run_counts_its_time_from_where_it_began(command, trained):
    left = record(command.tiny(f"ckpt_path={trained.folder}", "trainer.max_steps=14", "metrics=none").folder)
    assert (left["first_iteration"], left["iterations"]) == (12, 14)
    assert left["images_per_s"] * left["seconds"] == pytest.approx(2 * 974 / 16, rel=0.02)


def test_an_interrupted_run_says_how_far_it_came(command):
    handler = signal.getsignal(signal.SIGINT)
    stops = ("+callbacks.mine._target_=tests.test_sweep.Ends", "+callbacks.mine.how=stop")
    try:
        run = command.tiny("metrics=none", *stops)
    finally:
        signal.signal(signal.SIGINT, handler)  # Lightning ignores it from then on
    assert run.code == 1
    left = record(run.folder)
    assert (left["status"], left["error"], left["iterations"]) == ("failed", "interrupted", 1)


def test_what_to_type_to_go_on_undoes_what_would_end_the_run(command):
    run = command.tiny("metrics=none", "data.batch_size=900", "trainer.max_epochs=8", "trainer.fraction=0.25")
    assert record(run.folder)["epochs"] == 2
    (line,) = (line for line in run.out.splitlines() if line.startswith("go on"))
    assert line.endswith("trainer.max_steps=8 trainer.max_epochs=null trainer.fraction=1")


def test_errors_in_words():
    assert in_words(RuntimeError("boom")) == "RuntimeError: boom"
    assert in_words(ValueError()) == "ValueError"
    assert not interrupted(SystemExit(1))
    with pytest.raises(SystemExit) as caught:  # noqa: PT012
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            raise SystemExit(1)  # noqa: B904 - as Lightning does
    assert in_words(caught.value) == "interrupted"


def test_a_disk_without_room_for_a_picture_says_what_is_left_and_what_to_do(command, monkeypatch):
    def draw(self, trainer, pl_module):
        if trainer.global_step == 6:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "grids/iteration_000006.png")

    monkeypatch.setattr("dcgan_lightning.callbacks.grid.SampleGrid._draw", draw)
    run = command.tiny("trainer.max_steps=9", "callbacks.checkpoints.every=2", "callbacks.grid.every=3", "metrics=none")
    assert run.code == 1
    assert "No space left on device: 'grids/iteration_000006.png'" in run.err
    assert "Traceback" not in run.err
    assert f"{run.folder}/checkpoints/last.ckpt or the one before it is whole" in run.err
    assert f"python train.py ckpt_path={run.folder}" in run.err
    assert json.loads((run.folder / "run.json").read_text())["status"] == "failed"
    monkeypatch.undo()
    assert command("train", f"ckpt_path={run.folder}", "trainer.max_steps=6").code == 0


@pytest.mark.parametrize("short_until", [7, 99])
def test_rows_that_do_not_fit_on_the_disk_wait_and_none_is_lost(command, monkeypatch, short_until):
    append, seen = tables._append, []

    def full(path, rows):
        seen.append(path.name)
        if path.name == "metrics.csv" and 3 < len(seen) < short_until:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        append(path, rows)

    monkeypatch.setattr(tables, "_append", full)
    run = command.tiny(
        "trainer.max_steps=9", "callbacks.checkpoints.every=2", "callbacks.scalars.fetch_every=1", "metrics=none"
    )
    assert run.code == (0 if short_until == 7 else 1), run.err
    numbers = [int(line.partition(",")[0]) for line in (run.folder / "metrics.csv").read_text().splitlines()[1:]]
    assert numbers == list(range(9 if short_until == 7 else 2))
    assert (run.folder / "checkpoints" / "last.ckpt").is_file()  # also of the end
    if short_until == 99:
        assert "No space left on device" in run.err
        assert "last.ckpt or the one before it is whole" in run.err
        monkeypatch.undo()
        again = command("train", f"ckpt_path={run.folder}", "trainer.max_steps=10")
        assert "metrics.csv lacks 7 rows, the first of iteration 2" in again.out


def test_a_row_that_fits_in_part_leaves_the_file_as_it_was(tmp_path, monkeypatch):
    table = tables.Table(["iteration", "value"])
    table.append(tmp_path / "x.csv", [[0, 1.5]])

    class Half:
        def __init__(self, file):
            self.file = file

        def writerows(self, rows):
            self.file.write("1,2")
            self.file.flush()
            raise OSError(errno.ENOSPC, "full")

    with monkeypatch.context() as patch:
        patch.setattr(tables.csv, "writer", Half)
        table.append(tmp_path / "x.csv", [[1, 2.5]])
        assert (tmp_path / "x.csv").read_bytes() == b"iteration,value\r\n0,1.5\r\n"
        other = tables.Table(["iteration"])
        other.append(tmp_path / "y.csv")
        assert not (tmp_path / "y.csv").exists()
    table.append(tmp_path / "x.csv", [[2, 3.5]])
    assert (tmp_path / "x.csv").read_bytes() == b"iteration,value\r\n0,1.5\r\n1,2.5\r\n2,3.5\r\n"
