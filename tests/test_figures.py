"""The figures of a run: which curves they show, through which points, and how they look from afar."""

import shutil

import numpy as np
import pytest
from PIL import Image

from dcgan_lightning.captions import font_size
from dcgan_lightning.curves import NotThere
from dcgan_lightning.figures import (
    d_outputs,
    draw_curves,
    draw_real_vs_fake,
    losses,
    losses_tutorial,
    running_mean,
    thinned,
)

OF_D = ("loss_d", "loss_d_real", "loss_d_fake", "d_x", "d_gz_before", "acc_real", "acc_fake")
OF_G = ("loss_g", "d_gz_after")


def curves(n, d_every=1, g_every=1):
    """Random columns in [0, 1], NaN where a network is not due."""
    rng = np.random.default_rng(0)
    table = {"iteration": np.arange(n, dtype=float)}
    for name in (*OF_D, *OF_G):
        due = np.arange(n) % (d_every if name in OF_D else g_every) == 0
        table[name] = np.where(due, rng.random(n), np.nan)
    table["loss_d"] = table["loss_d_real"] + table["loss_d_fake"]
    return table


def lines(axes):
    """The labelled lines of an axis: (x, y) by what the legend says."""
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [
        line.get_label() for line in axes.lines if not line.get_label().startswith("_")
    ]
    return {line.get_label(): line.get_data() for line in axes.lines if not line.get_label().startswith("_")}


def assert_shows(axes, table, expected):
    shown = lines(axes)
    assert list(shown) == list(expected)
    for label, column in expected.items():
        known = ~np.isnan(table[column])
        np.testing.assert_array_equal(shown[label][0], table["iteration"][known])
        np.testing.assert_array_equal(shown[label][1], table[column][known])


@pytest.mark.parametrize(("d_every", "g_every"), [(1, 1), (1, 5), (5, 1)])
def test_curves_go_through_the_known_points(d_every, g_every):
    table = curves(33, d_every, g_every)
    above, below = losses(table).axes
    assert_shows(above, table, {"D on real": "loss_d_real", "D on fake": "loss_d_fake", "G": "loss_g"})
    assert_shows(below, table, {"on real": "acc_real", "on fake": "acc_fake"})
    (axes,) = losses_tutorial(table).axes
    assert_shows(axes, table, {"G": "loss_g", "D": "loss_d"})
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("iterations", "Loss")


def test_d_trained_on_a_stacked_batch_has_one_curve():
    table = curves(20)
    table["loss_d"] /= 2
    assert_shows(losses(table).axes[0], table, {"D": "loss_d", "G": "loss_g"})


def test_outputs_of_d_stand_between_0_and_1_with_a_line_at_a_half():
    table = curves(20)
    (axes,) = d_outputs(table).axes
    before_and_after = {"D(G(z)) before D's step": "d_gz_before", "D(G(z)) after it": "d_gz_after"}
    assert_shows(axes, table, {"D(x)": "d_x"} | before_and_after)
    low, high = axes.get_ylim()
    assert -0.1 < low < 0 < 1 < high < 1.1
    assert [0.5, 0.5] in [list(line.get_ydata()) for line in axes.lines]


def test_a_network_that_was_never_updated_leaves_the_others_curves():
    table = curves(20)
    table["loss_g"][:] = np.nan
    assert len(lines(losses(table).axes[0])["G"][0]) == 0


def test_long_runs_have_a_running_mean_over_a_thin_line_with_all_its_peaks():
    table = curves(30_000, g_every=5)
    table["loss_g"][12_345] = 50.0
    (axes,) = losses_tutorial(table).axes
    assert axes.get_xlabel() == "iterations (thick: mean over 600)"
    thin, thick = (line for line in axes.lines if line.get_color() == "tab:green")
    assert thin.get_linewidth() < thick.get_linewidth()
    assert max(thin.get_ydata()) == 50
    assert max(len(line.get_xdata()) for line in axes.lines) <= 2002
    mean = dict(zip(*thick.get_data(), strict=True))
    for x in list(mean)[500:1500:100]:  # 600 iterations are 120 of G's updates
        around = table["loss_g"][int(x) - 300 : int(x) + 300 : 5]
        assert mean[x] == pytest.approx(around.mean())


@pytest.mark.parametrize("width", [1, 2, 3, 10, 50])
def test_running_mean(width):
    values = np.random.default_rng(0).random(40)
    expected = [values[max(0, i - width // 2) : max(0, i - width // 2 + width)].mean() for i in range(40)]
    np.testing.assert_allclose(running_mean(values, width), expected)


def test_thinned_lines_keep_both_ends_and_every_stretch_its_extremes():
    values = np.random.default_rng(0).random(1000)
    kept = thinned(values, 100)
    assert len(kept) <= 102
    assert (kept[0], kept[-1]) == (0, 999)
    assert (np.diff(kept) > 0).all()
    for start in range(0, 1000, 20):
        stretch = values[start : start + 20]
        assert {start + stretch.argmin(), start + stretch.argmax()} <= set(kept)
    np.testing.assert_array_equal(thinned(values, 1000), range(1000))


def test_the_files_are_pictures_and_nothing_else_is_left(trained, tmp_path):
    shutil.copy(trained.folder / "metrics.csv", tmp_path)
    paths = draw_curves(tmp_path)
    assert paths == [tmp_path / f"{name}.png" for name in ("losses", "losses_tutorial", "d_outputs")]
    assert [Image.open(path).size for path in paths] == [(1000, 750), (1000, 500), (1000, 500)]
    assert len(list(tmp_path.iterdir())) == 4


def noise(height, width, seed):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def run_with(folder, real, generated):
    (folder / "grids").mkdir()
    Image.fromarray(real).save(folder / "real.png")
    for number, picture in generated.items():
        Image.fromarray(picture).save(folder / "grids" / f"iteration_{number:06d}.png")


def test_real_and_generated_images_stand_side_by_side_pixel_by_pixel(tmp_path):
    real, old, new = (noise(60, 80, seed) for seed in range(3))
    run_with(tmp_path, real, {250: old, 1250: new})
    (path,) = draw_real_vs_fake(tmp_path)
    both = np.array(Image.open(path))
    times = 8  # 480 pixels are 8 times 60
    band = 2 * font_size(times * 80)
    for picture, panel in ((real, both[:, : times * 80]), (new, both[:, -times * 80 :])):
        np.testing.assert_array_equal(panel[band:], picture.repeat(times, axis=0).repeat(times, axis=1))
        assert panel[:band].min() < 100  # words
        assert (panel[0] == 255).all()  # on white
    gap = both[:, times * 80 : -times * 80]
    assert gap.shape[1] > 0
    assert (gap == 255).all()


def test_a_grid_half_written_when_the_run_was_killed_is_passed_over(tmp_path):
    run_with(tmp_path, noise(500, 400, 0), {250: noise(500, 400, 1), 500: noise(500, 400, 2)})
    newest = tmp_path / "grids" / "iteration_000500.png"
    newest.write_bytes(newest.read_bytes()[:5000])
    (path,) = draw_real_vs_fake(tmp_path)
    both = np.array(Image.open(path))
    np.testing.assert_array_equal(both[-500:, -400:], noise(500, 400, 1))


def test_grids_of_another_size_than_the_real_images_keep_their_pixels(tmp_path):
    run_with(tmp_path, noise(500, 400, 0), {7: noise(300, 420, 1)})
    (path,) = draw_real_vs_fake(tmp_path)
    both = np.array(Image.open(path))
    panel = both[:, -420:][2 * font_size(420) :]
    np.testing.assert_array_equal(panel[:300], noise(300, 420, 1))
    assert (panel[300:] == 255).all()


@pytest.mark.parametrize("missing", ["real.png", "grids/iteration_000250.png"])
def test_what_is_missing_for_the_pair_is_named(tmp_path, missing):
    run_with(tmp_path, noise(60, 80, 0), {250: noise(60, 80, 1)})
    (tmp_path / missing).unlink()
    with pytest.raises(NotThere, match=missing.partition("/")[0]):
        draw_real_vs_fake(tmp_path)
    assert not (tmp_path / "real_vs_fake.png").exists()
