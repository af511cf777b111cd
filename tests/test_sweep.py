"""Sweeps: every cell runs and is recorded, the table ranks them, the figure shows them."""

import csv
import json
import signal
import sys

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from lightning.pytorch import Callback
from omegaconf import open_dict
from PIL import Image

from dcgan_lightning.callbacks.fid import COLUMNS
from dcgan_lightning.errors import Refusal
from dcgan_lightning.launch import own_command_for_other_ranks
from dcgan_lightning.sweep import Sweep, rebuild
from dcgan_lightning.sweep_figure import AXIS, GAP, LARGEST, LOSSES, MOMENTS, NAME, TITLE
from tests.conftest import TINY
from tests.support import CONF, finished

SHORT = ("metrics=none", "trainer.max_steps=2")


class Ends(Callback):
    """Ends a run after its first iteration, in the way that it is told."""

    def __init__(self, how):
        self.error = {
            "exit": SystemExit(3),
            "exit 0": SystemExit(0),
            "exit words": SystemExit("enough"),
            "error": RuntimeError("boom\nand more"),
            "memory": MemoryError("no room"),
            "recursion": RecursionError("too deep"),
            "refusal": Refusal("model.lr", 7, "too high", "lower it"),
            "stop": KeyboardInterrupt(),
        }.get(how)

    def on_train_batch_end(self, trainer, *_):
        if self.error is not None:
            raise self.error


def ends(*how):
    return "+callbacks.mine._target_=tests.test_sweep.Ends", f"+callbacks.mine.how={','.join(how)}"


def cells_of(run):
    (folder,) = run.cwd.glob("outputs/sweeps/*")
    return folder, json.loads((folder / "cells.json").read_text())


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_no_way_to_fail_stops_or_hides_the_other_cells(command):
    run = command.tiny("-m", *SHORT, *ends("exit", "error", "fine"))
    assert run.code == 1
    assert "Traceback" in run.err
    folder, cells = cells_of(run)
    assert [(cell["status"], cell["error"]) for cell in cells] == [
        ("failed", "SystemExit: 3"),
        ("failed", "RuntimeError: boom\nand more"),
        ("finished", None),
    ]
    assert [cell["swept"] for cell in cells] == [{"callbacks.mine.how": how} for how in ("exit", "error", "fine")]
    for cell, iterations in zip(cells, (1, 1, 2), strict=True):
        assert {"data.digit=8", f"+callbacks.mine.how={cell['swept']['callbacks.mine.how']}"} <= set(cell["overrides"])
        record = json.loads((folder / cell["folder"] / "run.json").read_text())
        assert (record["status"], record["error"]) == (cell["status"], cell["error"])
        assert record["iterations"] == iterations
    table = rows(folder / "table.csv")
    assert [(row["callbacks.mine.how"], row["error"]) for row in table] == [
        ("fine", ""),
        ("exit", "SystemExit: 3"),
        ("error", "RuntimeError: boom"),
    ]
    assert (folder / "table.md").read_text() in run.out
    assert (folder / "figure.png").is_file()


@pytest.mark.slow
def test_a_cell_that_exits_with_zero_failed_all_the_same(command):
    hows = ("exit 0", "exit words", "memory", "recursion", "fine")
    run = command.tiny("-m", *SHORT, *ends(*hows))
    folder, cells = cells_of(run)
    assert [(cell["status"], cell["error"]) for cell in cells] == [
        ("failed", "SystemExit: 0"),
        ("failed", "SystemExit: enough"),
        ("failed", "MemoryError: no room"),
        ("failed", "RecursionError: too deep"),
        ("finished", None),
    ]
    assert [row["status"] for row in rows(folder / "table.csv")] == ["finished", *["failed"] * 4]
    assert run.code == 1
    for how, word in zip(hows, ("SystemExit: 0", "SystemExit: enough", "MemoryError", "RecursionError"), strict=False):
        assert word in run.err, how


@pytest.mark.slow
@pytest.mark.parametrize(("hows", "code"), [(("refusal", "fine"), 2), (("error", "refusal"), 2), (("fine", "none"), 0)])
def test_a_sweeps_exit_code_says_what_became_of_its_cells(command, hows, code):
    assert command.tiny("-m", *SHORT, "callbacks.grid=null", *ends(*hows)).code == code


def test_a_run_that_exits_with_zero_before_its_end_failed(command):
    run = command.tiny(*SHORT, *ends("exit 0"))
    assert run.code == 1
    assert json.loads((run.folder / "run.json").read_text())["status"] == "failed"
    assert "SystemExit: 0" in run.err


def test_an_interruption_ends_the_sweep_and_the_table_says_how_far_it_came(command):
    handler = signal.getsignal(signal.SIGINT)
    try:
        run = command.tiny("-m", *SHORT, *ends("fine", "stop", "never"))
    finally:
        signal.signal(signal.SIGINT, handler)  # Lightning ignores it from then on
    assert run.code != 0
    folder, cells = cells_of(run)
    assert [(cell["status"], cell["error"]) for cell in cells] == [("finished", None), ("failed", "interrupted")]
    assert [row["callbacks.mine.how"] for row in rows(folder / "table.csv")] == ["fine", "stop"]


def test_a_sweep_of_which_every_cell_is_refused_has_a_table_too(command):
    run = command.tiny("-m", "model.lr=-1,-2")
    assert run.code == 2
    folder, _ = cells_of(run)
    assert len(rows(folder / "table.csv")) == 2
    assert "No cell finished." in run.out
    assert run.folders == []


def test_a_sweep_that_cannot_be_composed_leaves_nothing(command):
    run = command.tiny("-m", "model=dcgan,nope")
    assert run.code == 2
    assert run.made == []


@pytest.fixture
def cell(tmp_path, monkeypatch):
    """Composes a config as Hydra does for a cell of a sweep, or for a single run."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["train.py", "-m", "experiment=a,b"])

    def composed(*overrides, mode="MULTIRUN"):
        with initialize_config_dir(str(CONF), version_base="1.3"):
            cfg = compose("train", list(overrides), return_hydra_config=True)
        with open_dict(cfg):
            cfg.hydra.runtime.output_dir = str(tmp_path / "outputs" / "now")
            cfg.hydra.sweep.dir = str(tmp_path / "outputs" / "sweeps" / "now")
            cfg.hydra.job.num = 0
            cfg.hydra.mode = mode
        HydraConfig.instance().set_config(cfg)
        with open_dict(cfg):
            del cfg["hydra"]
        return cfg

    yield composed
    HydraConfig.instance().cfg = None


def test_a_second_sweep_in_the_same_folder_leaves_the_first_ones_cells(tmp_path, cell):
    for seed in (1, 2):
        cfg = cell(f"seed={seed}", "run_dir=nowhere")
        with Sweep().recorded(cfg):
            pass
    files = sorted((tmp_path / "outputs" / "sweeps").glob("*/cells.json"))
    assert [path.parent.name for path in files] == ["now", "now_2"]
    overrides = [json.loads(path.read_text())[0]["overrides"] for path in files]
    assert overrides == [["seed=1", "run_dir=nowhere"], ["seed=2", "run_dir=nowhere"]]


# ---- the table


def a_sweep(tmp_path, *cells):
    """A sweep's folder; each cell: (status, fids, tag) with fids by iteration."""
    folder = tmp_path / "sweeps" / "now"
    folder.mkdir(parents=True)
    listed = []
    for number, (status, fids, tag) in enumerate(cells):
        run = tmp_path / "runs" / str(number)
        run.mkdir(parents=True)
        record = {"iterations": 400, "iterations_per_epoch": 10, "epochs": 40.0, "seconds": 3725.4, "images_per_s": 1.5}
        (run / "run.json").write_text(json.dumps(record))
        if fids:
            with (run / "fid.csv").open("w", newline="") as file:
                writer = csv.writer(file)
                writer.writerow(COLUMNS)
                writer.writerows([i, tag, value, 100, 50, "net", "abc", "none"] for i, value in fids.items())
        swept = {"model.lr": f"{number}e-4", "data.image_size": "[64,48]"}
        shared = {"overrides": [], "experiment": None, "folder": f"../../runs/{number}"}
        error = "OSError: full|up" if status == "failed" else None
        listed.append({"number": number, "swept": swept, "status": status, "error": error, **shared})
    (folder / "cells.json").write_text(json.dumps(listed))
    return folder


def test_cells_are_ranked_by_their_best_fid(tmp_path):
    folder = a_sweep(
        tmp_path,
        ("finished", {100: 90.0, 200: 30.25, 400: 50.0}, "fid/digits"),
        ("finished", {}, None),
        ("failed", {100: 1.0}, "fid/digits"),
        ("finished", {100: 20.5, 400: 20.5}, "fid/digits"),
        ("finished", {100: float("nan"), 400: 80.0}, "fid/digits"),
        ("running", {}, None),
    )
    paths = rebuild(folder)
    assert [path.name for path in paths] == ["table.csv", "table.md", "figure.png"]
    table = rows(paths[0])
    header = "rank,model.lr,data.image_size,status,best_fid,best_iteration,last_fid,tag,iterations,epochs,seconds"
    assert paths[0].read_text().splitlines()[0] == f"{header},images_per_s,folder,error"
    assert [(row["rank"], row["model.lr"], row["status"]) for row in table] == [
        ("1", "3e-4", "finished"),
        ("2", "0e-4", "finished"),
        ("3", "4e-4", "finished"),
        ("", "1e-4", "finished"),
        ("", "2e-4", "failed"),
        ("", "5e-4", "running"),
    ]
    second = table[1]
    assert (second["best_fid"], second["best_iteration"], second["last_fid"]) == ("30.25", "200", "50")
    assert (second["iterations"], second["epochs"], second["seconds"]) == ("400", "40.0", "3725.4")
    assert (table[0]["best_iteration"], table[2]["best_fid"]) == ("100", "80")
    assert (second["folder"], second["data.image_size"]) == ("../../runs/0", "[64,48]")
    markdown = paths[1].read_text()
    assert "OSError: full\\|up" in markdown
    assert "2 of 6 cells did not finish." in markdown


def test_values_of_two_tags_are_never_ranked_against_each_other(tmp_path):
    folder = a_sweep(
        tmp_path,
        ("finished", {100: 3.0}, "fid/random_conv"),
        ("finished", {100: 90.0}, "fid/digits"),
        ("finished", {100: 2.0}, "fid/random_conv"),
        ("finished", {100: 80.0}, "fid/digits"),
    )
    table = rows(rebuild(folder)[0])
    assert [(row["tag"], row["rank"], row["best_fid"]) for row in table] == [
        ("fid/random_conv", "1", "2"),
        ("fid/random_conv", "2", "3"),
        ("fid/digits", "1", "80"),
        ("fid/digits", "2", "90"),
    ]
    assert "fid/random_conv and fid/digits cannot be compared" in (folder / "table.md").read_text()


def test_values_that_were_not_measured_alike_are_marked(tmp_path):
    folder = a_sweep(tmp_path, *[("finished", {100: value}, "fid/digits") for value in (3.0, 4.0)])
    rebuild(folder)
    assert "measured alike" not in (folder / "table.md").read_text()
    file = tmp_path / "runs" / "1" / "fid.csv"
    file.write_text(file.read_text().replace(",50,", ",60,"))
    rebuild(folder)
    assert "not all measured alike (samples_fake in fid.csv)" in (folder / "table.md").read_text()


def test_the_end_of_a_sweep_and_a_rebuild_make_the_same_files(command):
    run = command.tiny("-m", "trainer.max_steps=3", "data.batch_size=64,32", "callbacks.fid.every=2")
    folder, _ = cells_of(run)
    made = {path.name: path.read_bytes() for path in folder.glob("[tf]*.*")}
    assert set(made) == {"table.csv", "table.md", "figure.png"}
    for name in made:
        (folder / name).unlink()
    assert {path.name: path.read_bytes() for path in rebuild(folder)} == made
    first, second = rows(folder / "table.csv")
    for row in (first, second):
        best = min(rows(folder / row["folder"] / "fid.csv"), key=lambda evaluation: float(evaluation["value"]))
        assert (row["best_fid"], row["best_iteration"]) == (best["value"], best["iteration"])
    assert float(first["best_fid"]) < float(second["best_fid"])


def test_a_folder_that_is_no_sweeps_is_refused(tmp_path):
    with pytest.raises(Refusal, match=r"cells\.json"):
        rebuild(tmp_path)


# ---- the figure


def test_the_figure_shows_the_grids_of_four_moments_pixel_by_pixel(tmp_path):
    folder = a_sweep(tmp_path, ("finished", {100: 3.0}, "fid/digits"), ("failed", {}, None))
    run = tmp_path / "runs" / "0"  # 400 iterations, 10 an epoch
    (run / "grids").mkdir()
    pixels = {
        i: np.random.default_rng(i).integers(0, 256, (70, 90, 3), dtype=np.uint8) for i in (5, 10, 20, 90, 199, 400)
    }
    for i, picture in pixels.items():
        Image.fromarray(picture).save(run / "grids" / f"iteration_{i:06d}.png")
    lines = [f"{i},0,{1 + i % 7},{2 + i % 5}" for i in range(400)]
    (run / "metrics.csv").write_text("\n".join(["iteration,epoch,loss_d,loss_g", *lines]) + "\n")
    figure = np.asarray(Image.open(rebuild(folder)[-1]).convert("RGB"))
    times = LARGEST // 90
    side = 90 * times
    assert figure.shape[1] == GAP + NAME + MOMENTS * (side + GAP) + AXIS + LOSSES + GAP
    for place, iteration in enumerate((10, 90, 199, 400)):
        left = GAP + NAME + place * (side + GAP)
        shown = figure[TITLE : TITLE + 70 * times, left : left + 90 * times]
        assert np.array_equal(shown, pixels[iteration].repeat(times, 0).repeat(times, 1))
    losses = figure[:, -LOSSES - GAP :]
    assert (losses[: TITLE + side] != 255).any()
    assert (losses[TITLE + side + AXIS + TITLE + 20 :] == 255).all()  # none of the failed cell


def test_a_large_grid_is_made_smaller_by_averaging(tmp_path):
    folder = a_sweep(tmp_path, ("finished", {}, None))
    (tmp_path / "runs" / "0" / "grids").mkdir()
    board = np.indices((2 * LARGEST, 2 * LARGEST)).sum(0) % 2 * 200  # as fine as a chequerboard can be
    Image.fromarray(board.astype(np.uint8)).save(tmp_path / "runs" / "0" / "grids" / "iteration_000400.png")
    figure = np.asarray(Image.open(rebuild(folder)[-1]).convert("RGB"))
    assert (figure[TITLE : TITLE + LARGEST, GAP + NAME : GAP + NAME + LARGEST] == 100).all()


def test_run_folders_that_are_gone_leave_their_cells_in_the_table(tmp_path):
    folder = a_sweep(tmp_path, *[("finished", {100: 3.0}, "fid/digits")] * 12)
    (tmp_path / "runs").rename(tmp_path / "elsewhere")
    table = rows(rebuild(folder)[0])
    assert [(row["rank"], row["best_fid"], row["status"]) for row in table] == [("", "", "finished")] * 12


# ---- going on from another cell


def a_sweep_so_far(tmp_path, *cells, folder=True):
    """Cells that ran; each: (experiment, status, further overrides). The one that runs now comes last."""
    sweep = Sweep()
    sweep.folder = tmp_path / "outputs" / "sweeps" / "now" if folder else None
    for number, (experiment, status, *others) in enumerate([*cells, ("anime_ratio_long", "running")]):
        sweep.cells.append(
            {
                "number": number,
                "experiment": experiment,
                "overrides": [f"experiment={experiment}", *others],
                "folder": f"../../anime/{number}",
                "status": status,
                "error": "RuntimeError: boom\nmore" if status == "failed" else None,
            }
        )
    return sweep


LONG = ("experiment=anime_ratio_long", "seed=1")


def test_a_run_goes_on_from_the_cell_with_the_same_other_overrides_on_every_rank(tmp_path, cell):
    cfg = cell(*LONG)
    earlier = [("anime_ratio_5_1", "finished", f"seed={seed}") for seed in (0, 1, 2)]
    a_sweep_so_far(tmp_path, *earlier, ("anime_ratio_1_1", "finished", "seed=1")).go_on(cfg)
    assert cfg.ckpt_path == "outputs/anime/1"
    with own_command_for_other_ranks(tmp_path / "run"):
        assert sys.argv == ["train.py", *LONG, "ckpt_path='outputs/anime/1'", f"hydra.run.dir='{tmp_path / 'run'}'"]


def test_a_run_whose_cell_is_missing_starts_by_itself_and_says_so(tmp_path, cell, capsys):
    cfg = cell(*LONG)
    a_sweep_so_far(tmp_path, ("anime_ratio_5_1", "finished", "seed=0")).go_on(cfg)
    assert cfg.ckpt_path is None
    assert (
        "anime_ratio_5_1: no such cell ran before in this sweep, so it starts at iteration 0" in capsys.readouterr().out
    )
    cfg = cell(*LONG, mode="RUN")
    Sweep().go_on(cfg)
    assert cfg.ckpt_path is None
    assert "a run by itself, so it starts at iteration 0" in capsys.readouterr().out


def test_a_ckpt_path_that_is_given_comes_before_the_cell(tmp_path, cell):
    cfg = cell(*LONG, "ckpt_path=mine")
    a_sweep_so_far(tmp_path, ("anime_ratio_5_1", "finished", "seed=1", "ckpt_path=mine")).go_on(cfg)
    assert cfg.ckpt_path == "mine"


def test_a_run_whose_cell_failed_is_refused(tmp_path, cell):
    cfg = cell(*LONG)
    with pytest.raises(Refusal, match=r"continues=anime_ratio_5_1: cell 0 .* failed: RuntimeError: boom\n  Remedy"):
        a_sweep_so_far(tmp_path, ("anime_ratio_5_1", "failed", "seed=1")).go_on(cfg)


def test_a_process_that_does_not_know_the_cells_folders_is_refused(tmp_path, cell):
    cfg = cell(*LONG)
    with pytest.raises(Refusal, match="continues=anime_ratio_5_1: each process of this sweep"):
        a_sweep_so_far(tmp_path, ("anime_ratio_5_1", "finished", "seed=1"), folder=False).go_on(cfg)


@pytest.mark.slow
def test_the_long_experiment_goes_on_from_its_cell_in_one_command(command):
    small = ("model=dcgan_small", "data=mnist_mini", "data.image_size=32", "data.batch_size=900", "metrics=none")
    options = (*small, "trainer.fraction=0.005", "callbacks.grid.every_epochs=1")
    run = command.tiny("-m", "experiment=anime_ratio_5_1,anime_ratio_long", *options)
    assert run.code == 0
    folder, (first, second) = cells_of(run)
    assert [cell["experiment"] for cell in (first, second)] == ["anime_ratio_5_1", "anime_ratio_long"]
    folders = [(folder / cell["folder"]).resolve() for cell in (first, second)]
    here = folders[0].relative_to(run.cwd)
    assert (folders[1] / "resumed_from.txt").read_text() == f"{here}/checkpoints/last.ckpt\n"
    assert f"goes on from  {here}/checkpoints/last.ckpt" in run.out
    assert [[int(row["iteration"]) for row in rows(run / "metrics.csv")] for run in folders] == [
        [0],
        [0, 1, 2, 3, 4, 5, 6],
    ]
    records = [json.loads((run / "run.json").read_text()) for run in folders]
    assert [(record["first_iteration"], record["epochs"]) for record in records] == [(0, 1), (1, 7)]
    assert [record["experiment"] for record in records] == ["anime_ratio_5_1", "anime_ratio_long"]
    assert "seconds and images/s count from there" in run.out


@pytest.mark.slow
def test_over_two_processes_a_failing_cell_stops_none_and_there_is_one_table(tmp_path):
    swept = [f"hydra.sweep.dir={tmp_path}/sweep", "hydra.sweep.subdir=${hydra:job.num}", *ends("error", "exit", "fine")]
    options = [*TINY, *SHORT, "data.batch_size=32", "trainer.devices=2", f"data.cache_dir={tmp_path / 'cache'}"]
    command = [sys.executable, "train.py", "-m", *options, *swept]
    done = finished(command)
    assert done.returncode == 1, done.stderr
    assert done.stdout.count("sweep folder") == 1
    table = rows(tmp_path / "sweep" / "table.csv")
    assert [(row["folder"], row["status"]) for row in table] == [("2", "finished"), ("0", "failed"), ("1", "failed")]
