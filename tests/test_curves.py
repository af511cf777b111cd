"""A run's scalars and grids as they are read back: gaps, half-written files, resumed runs."""

import json
from pathlib import Path

import numpy as np
import pytest

from dcgan_lightning.curves import NotThere, carry_over, grids, is_stacked, lineage, read_curves


def write_run(folder, iterations, value=0.0, grid_numbers=(), resumed_from=None):
    """A run folder whose loss_d is ``value`` all through."""
    (folder / "grids").mkdir(parents=True)
    rows = [f"{i},0,{value}" for i in iterations]
    (folder / "metrics.csv").write_text("iteration,epoch,loss_d\n")
    if isinstance(resumed_from, Path):
        carry_over(resumed_from, folder, min(iterations))
        (folder / "run.json").write_text(json.dumps({"first_iteration": min(iterations)}))
    with (folder / "metrics.csv").open("a") as file:
        file.writelines(f"{row}\n" for row in rows)
    for number in grid_numbers:
        (folder / "grids" / f"iteration_{number:06d}.png").touch()
    if resumed_from is not None:
        (folder / "resumed_from.txt").write_text(f"{resumed_from}/checkpoints/last.ckpt\n")
    return folder


def names(folder):
    return {number: path.parent.parent.name for number, path in grids(folder).items()}


def test_columns_are_numbers_and_empty_cells_nan(tmp_path):
    (tmp_path / "metrics.csv").write_text("iteration,loss_d,loss_g\n0,0.5,\n1,,-2e3\n")
    curves = read_curves(tmp_path)
    assert list(curves) == ["iteration", "loss_d", "loss_g"]
    np.testing.assert_array_equal(curves["iteration"], [0, 1])
    np.testing.assert_array_equal(curves["loss_d"], [0.5, np.nan])
    np.testing.assert_array_equal(curves["loss_g"], [np.nan, -2000])


def test_the_row_that_a_killed_run_was_writing_is_left_out(tmp_path):
    (tmp_path / "metrics.csv").write_text("iteration,loss_d,loss_g\n0,1,2\n1,3")
    np.testing.assert_array_equal(read_curves(tmp_path)["loss_d"], [1])


@pytest.mark.parametrize("content", [None, "", "iteration,loss_d\n", "iteration,loss_d\n0", "loss_d\n1\n"])
def test_without_iterations_the_error_names_the_file(tmp_path, content):
    if content is not None:
        (tmp_path / "metrics.csv").write_text(content)
    with pytest.raises(NotThere, match=str(tmp_path / "metrics.csv")):
        read_curves(tmp_path)


@pytest.mark.parametrize("rows", ["0,1\n1,many\n", "0\n1,2\n"])
def test_something_else_than_numbers_is_damage(tmp_path, rows):
    (tmp_path / "metrics.csv").write_text(f"iteration,loss_d\n{rows}")
    with pytest.raises(ValueError, match=r"metrics\.csv is damaged"):
        read_curves(tmp_path)


def test_a_resumed_run_begins_with_the_rows_of_those_before_it(tmp_path):
    first = write_run(tmp_path / "first", range(10), value=1)
    second = write_run(tmp_path / "second", range(6, 12), value=2, resumed_from=first)
    third = write_run(tmp_path / "third", range(11, 14), value=3, resumed_from=second)
    curves = read_curves(third)
    np.testing.assert_array_equal(curves["iteration"], range(14))
    np.testing.assert_array_equal(curves["loss_d"], [1] * 6 + [2] * 5 + [3] * 3)
    assert lineage(third) == [third, second, first]


def test_rows_are_carried_over_up_to_the_checkpoint_as_they_are(tmp_path):
    """Row 6 of metrics.csv tells of the seventh iteration, row 6 of fid.csv of the state after six."""
    parent, folder = tmp_path / "parent", tmp_path / "folder"
    parent.mkdir()
    folder.mkdir()
    (parent / "metrics.csv").write_bytes(
        b"iteration,loss_d\r\n" + b"".join(b"%d,0.5\r\n" % i for i in range(9)) + b"9,0."
    )
    (parent / "fid.csv").write_bytes(b"iteration,tag\r\n" + b"".join(b"%d,t\r\n" % i for i in (3, 6, 9)))
    assert carry_over(parent, folder, 6) == ""
    assert (folder / "metrics.csv").read_bytes() == b"iteration,loss_d\r\n" + b"".join(
        b"%d,0.5\r\n" % i for i in range(6)
    )
    assert (folder / "fid.csv").read_bytes() == b"iteration,tag\r\n3,t\r\n6,t\r\n"
    assert carry_over(parent, folder, 100).endswith("lacks 91 rows, the first of iteration 9")
    assert (folder / "metrics.csv").read_bytes().endswith(b"\r\n8,0.5\r\n")  # a kill cut the next one off
    assert "the curves begin here" in carry_over(tmp_path / "nowhere", tmp_path, 6)


@pytest.mark.parametrize("resumed_from", ["gone", "second"])  # the folder itself, too
def test_what_is_not_there_any_more_is_done_without(tmp_path, resumed_from):
    second = write_run(tmp_path / "second", range(5, 8), grid_numbers=[8], resumed_from=resumed_from)
    np.testing.assert_array_equal(read_curves(second)["iteration"], [5, 6, 7])
    assert list(grids(second)) == [8]


def test_a_checkpoint_that_lies_elsewhere_belongs_to_no_run(tmp_path):
    write_run(tmp_path, range(5))
    second = write_run(tmp_path / "outputs" / "second", range(5, 8))
    (second / "resumed_from.txt").write_text(f"{tmp_path}/downloads/some.ckpt\n")
    assert lineage(second) == [second]


def test_outputs_may_be_moved_as_a_whole(tmp_path, monkeypatch):
    outputs = tmp_path / "moved" / "outputs"
    first = write_run(outputs / "a_b" / "first", range(5))
    second = write_run(outputs / "a_b" / "second", range(5, 7), resumed_from="outputs/a_b/first")
    monkeypatch.chdir(tmp_path)
    assert lineage(second) == [second, first]
    monkeypatch.chdir(second)
    np.testing.assert_array_equal(read_curves(Path())["iteration"], [5, 6])


def test_grids_are_sorted_by_number(tmp_path):
    write_run(tmp_path / "run", range(3), grid_numbers=[1_000_000, 250, 999_999])
    (tmp_path / "run" / "grids" / "iteration_000250.safetensors").touch()
    (tmp_path / "run" / "grids" / "mine.png").touch()
    assert list(grids(tmp_path / "run")) == [250, 999_999, 1_000_000]
    assert grids(tmp_path / "nowhere") == {}


def test_grids_of_the_run_before_count_up_to_its_checkpoint(tmp_path):
    first = write_run(tmp_path / "first", range(10), grid_numbers=[2, 4, 6, 8, 10])
    second = write_run(tmp_path / "second", range(6, 12), grid_numbers=[9, 12], resumed_from=first)
    assert names(second) == {2: "first", 4: "first", 6: "first", 9: "second", 12: "second"}


def test_without_a_record_of_where_it_began_a_runs_grids_begin_with_its_first(tmp_path):
    first = write_run(tmp_path / "first", range(10), grid_numbers=[2, 6, 9, 10])
    second = write_run(tmp_path / "second", range(7, 12), grid_numbers=[9, 12], resumed_from=first)
    (second / "run.json").unlink()
    assert names(second) == {2: "first", 6: "first", 9: "second", 12: "second"}


@pytest.mark.parametrize(("factor", "stacked"), [(1.0, False), (0.5, True)])
def test_a_stacked_batch_is_known_by_its_mean(factor, stacked):
    real, fake = np.array([0.7, np.nan, 0.1, 0.0]), np.array([0.4, np.nan, 0.2, 0.0])  # D is not due in the second
    curves = {"loss_d": factor * (real + fake), "loss_d_real": real, "loss_d_fake": fake}
    assert is_stacked(curves) is stacked
    curves["loss_d"][0] *= 2 if stacked else 0.5  # one row against one
    assert is_stacked(curves) is False


def test_without_a_sign_of_stacking_there_is_none():
    zeros = np.zeros(3)
    assert is_stacked({"loss_d": zeros, "loss_d_real": zeros, "loss_d_fake": zeros}) is False
    assert is_stacked({"loss_d": zeros}) is False


def test_of_a_long_table_some_rows_are_read_the_last_among_them(tmp_path):
    (tmp_path / "metrics.csv").write_text(
        "iteration,a,b\n" + "".join(f"{i},{i}.5,{'' if i % 2 else 1}\n" for i in range(10))
    )
    whole, some = read_curves(tmp_path), read_curves(tmp_path, most=4)
    np.testing.assert_array_equal(whole["b"], [1, np.nan] * 5)
    np.testing.assert_array_equal(some["iteration"], [0, 3, 6, 9])
    np.testing.assert_array_equal(some["a"], [0.5, 3.5, 6.5, 9.5])
