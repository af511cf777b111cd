"""A run's report says what stands in its folder: each part, with the run's values."""

import base64
import hashlib
import io
import json
import re

import numpy as np
import pytest
from PIL import Image

from dcgan_lightning import report
from dcgan_lightning.curves import NotThere
from dcgan_lightning.report import pictures
from tests.report.synthetic import DIAGNOSIS, RUN, Page, noise, run_folder

PARTS = [
    "Is this normal?",
    "Generated beside real images",
    "Losses and accuracy",
    "Which checkpoint to use",
    "What was run",
    "Time",
    "What to type next",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return run_folder(tmp_path_factory.mktemp("reports") / "run")


@pytest.fixture(scope="module")
def page(folder):
    (path,) = report.write(folder)
    assert path == folder / "report.html"
    return Page(path)


def pixels(src):
    return Image.open(io.BytesIO(base64.b64decode(src.removeprefix("data:image/webp;base64,"))))


def test_the_parts_come_in_order_and_the_html_is_whole(page):
    assert page.headings == PARTS
    assert page.unclosed == []
    identities = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(identities) == len(set(identities))


def test_the_verdict_comes_with_its_evidence(page):
    for words in (
        "dcgan on image_folder",
        "SIGTERM after 2000 iterations",
        "Mode collapse",
        "Since iteration 1,650. Judged after 1,950 iterations.",
        "diversity 0.321 below 0.6 distance between two samples",
        "Iteration 400 to 1,650: stable",
        "Iteration 1,650 to the end: mode collapse",
        *DIAGNOSIS["advice"],
        *DIAGNOSIS["not_judged"],
        DIAGNOSIS["source"],
    ):
        assert words in page.words, words


def test_a_run_that_warms_up_says_what_it_lacks(tmp_path):
    gap = {"gap": {"value": 0.54, "threshold": 0.4, "relation": "below", "meaning": "gap to real images"}}
    told = {"verdict": "warming_up", "since": 0, "judged_at": 450, "evidence": gap}
    (tmp_path / "diagnosis.json").write_text(json.dumps(told))
    (path,) = report.write(tmp_path)
    assert "What it still lacks" in Page(path).words
    assert "gap 0.54 has to be below 0.4 gap to real images" in Page(path).words


def test_lines_are_called_thin_and_thick_where_both_are_drawn(page, tmp_path):
    assert "Thick ones" in page.words
    (tmp_path / "metrics.csv").write_text("iteration,loss_d,loss_g\n" + "".join(f"{n},1.2,0.8\n" for n in range(40)))
    (path,) = report.write(tmp_path)
    assert "The ribbon below each chart" in Page(path).words
    assert "Thick ones" not in Page(path).words


def test_a_run_that_went_back_says_where_to_and_with_what(tmp_path):
    (tmp_path / "run.json").write_text("{}")
    lost = {"rolled_back_to": 500, "learning_rates": {"model.lr": [2e-4, 1e-4]}, "rows": {"metrics.csv": ["500,1"]}}
    collapse = {"verdict": "mode_collapse", "since": 600, "until": 900, **lost}
    told = {"verdict": "stable", "history": [collapse, {"verdict": "stable", "since": 500, "until": None}]}
    (tmp_path / "diagnosis.json").write_text(json.dumps(told))
    (tmp_path / "metrics.csv").write_text("iteration,loss_g\n" + "".join(f"{n},0.8\n" for n in range(0, 900, 10)))
    (path,) = report.write(tmp_path)
    assert "an iteration that the run went back to" in Page(path).words
    dotted = re.findall(r"stroke-dasharray[^;]*; stroke-dashoffset: 0; stroke: var\(--bad\)", path.read_text())
    assert len(dotted) == 1
    assert (
        "Iteration 600 to 900: mode collapse, then rolled back to iteration 500, model.lr=0.0001 (was 0.0002); the "
        "rows in between are kept in diagnosis.json Iteration 500 to the end: stable" in Page(path).words
    )


def test_a_run_that_its_verdict_stopped_says_what_that_saved(tmp_path):
    error = "diagnosis: mode_collapse since iteration 1650, stopped after 2000"
    (tmp_path / "run.json").write_text(json.dumps(RUN | {"error": error}))
    (tmp_path / "diagnosis.json").write_text(json.dumps(DIAGNOSIS))
    (path,) = report.write(tmp_path)
    assert (
        "That it was stopped here saved training. 2,000 iterations of 4,000 were not trained: at this run's pace, "
        "2 min 0 s." in Page(path).words
    )


def test_the_slider_has_every_grid_and_without_script_the_last_one_shows(page, folder):
    assert [frame["iteration"] for frame in page.frames] == [500, 1000, 1500, 2000]
    assert "the best by FID" in page.frames[2]["words"]
    assert "2,000 (epoch 25.6)" in page.frames[3]["words"]
    (slider,) = page.all("input")
    assert (slider["type"], slider["min"], slider["max"], slider["value"]) == ("range", "0", "3", "3")
    shown, real = page.all("img")
    assert shown["src"] == page.frames[3]["src"]
    assert shown["alt"] == "Grid of generated images after 2,000 iterations"
    original = Image.open(folder / "grids" / "iteration_002000.png")
    assert pixels(shown["src"]).size == original.size
    assert real["alt"]
    difference = np.asarray(pixels(real["src"]), float) - np.asarray(Image.open(folder / "real.png"), float)
    assert abs(difference.mean()) < 4  # levels: it is that picture


def test_curves_have_words_for_who_cannot_see_and_no_colour_of_their_own(page, folder):
    drawn = page.all("svg")
    assert [figure["role"] for figure in drawn] == ["img"] * 6
    losses, *_ = (figure["aria-label"] for figure in drawn)
    assert losses.startswith("D's loss, over 2,000 iterations; both together ends at ")
    assert any("FID ends at 122, lowest 51.3 at iteration 1,500" in figure["aria-label"] for figure in drawn)
    html = (folder / "report.html").read_text()
    for svg in re.findall(r"<svg.*?</svg>", html, re.DOTALL):
        assert set(re.findall(r"(?:fill|stroke): ?([^;\"]+)", svg)) <= {
            "none",
            *(f"var(--{name})" for name in ("ink", "grid", "real", "fake", "g", "d", "good", "bad", "open", "best")),
        }
        assert {"var(--open)", "var(--good)", "var(--bad)"} <= set(re.findall(r"var\(--\w+\)", svg))  # the ribbon
    assert "Shaded: 0.2 to 1.5, where healthy runs are with both together." in page.words


def test_it_says_which_checkpoint_is_the_best_and_why(page):
    assert (
        "The state after iteration 1,500 , which is checkpoints/best.ckpt : its FID, 51.30 (fid/digits), is the lowest "
        "of the 4 that were measured. The newest, after 2,000 iterations, has 121.70, 137.2% more." in page.words
    )
    assert "49.0 at 42,000 steps and 137.4 at 200,000" in page.words
    assert "checkpoints/best.ckpt the best by FID 2.0 MB" in page.words


def test_it_says_what_was_run_where_and_how_to_do_it_again(page, folder):
    for words in (
        "model=dcgan model.lr=1e-3",
        "/data/faces",
        "8,189",
        "3 x 64 x 48 (channels x height x width, pixels)",
        "fe" * 16,
        "NVIDIA H100",
        "torch 2.15.0",
        "callbacks.grid.seed 64",
        "3bcf640" * 5,
        "yes: the commit alone is not what ran",
        "2 min 0 s",
        "2,125 images/s",
        "2,000 iterations of 4,000 were not trained: at this run's pace, 2 min 0 s.",
        "python train.py model=dcgan model.lr=1e-3",
        f"python train.py ckpt_path={folder} model=dcgan model.lr=1e-3",
        f"python generate.py ckpt_path={folder} n=64 seed=0",
        f"python rebuild.py run={folder}",
    ):
        assert words in page.words, words


def test_nothing_is_loaded_and_only_its_own_script_may_run(page):
    for _, attributes in page.elements:
        for name in ("src", "href", "srcset", "data", "action", "poster", "xlink:href"):
            assert attributes.get(name, "#").startswith(("#", "data:image/webp;base64,")), attributes
        assert not re.search(r"url\((?!#)|@import", attributes.get("style", ""))
        assert not [name for name in attributes if name.startswith("on")]
    (policy,) = (each["content"] for each in page.all("meta") if "http-equiv" in each)
    digest = base64.b64encode(hashlib.sha256(page.scripts[1].encode()).digest()).decode()
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert f"script-src 'sha256-{digest}'" in policy


@pytest.mark.slow
def test_of_many_grids_some_are_shown_the_best_among_them(tmp_path):
    numbers = range(30, 3001, 30)
    folder = run_folder(tmp_path / "run", iterations=100, grids=numbers, side=12)
    (folder / "grids" / "iteration_000030.png").write_bytes(b"\x89PNG")
    report.write(folder)
    page = Page(folder / "report.html")
    shown = [frame["iteration"] for frame in page.frames]
    assert len(shown) in (pictures.MOST - 1, pictures.MOST)
    assert shown == sorted(shown)
    assert shown[-1] == 3000
    assert 1500 in shown
    assert f"{len(shown)} of 100 grids are shown" in page.words
    assert "1 could not be read" in page.words


def test_a_picture_keeps_to_its_share_of_the_page(tmp_path):
    noise(tmp_path / "x.png", 500, np.random.default_rng(0))
    free, tight = (pictures.picture(tmp_path / "x.png", most) for most in (10**6, 40_000))
    assert len(tight.src) * 3 / 4 <= 40_000 < len(free.src) * 3 / 4
    assert (tight.width, tight.height) == (500, 500)


def test_a_picture_of_too_many_pixels_is_not_opened(tmp_path):
    Image.new("1", (10_000, 6_000)).save(tmp_path / "x.png")
    with pytest.raises(ValueError, match="10000 x 6000 pixels"):
        pictures.picture(tmp_path / "x.png", 10**6)


@pytest.mark.slow
def test_forty_large_grids_of_noise_are_less_than_ten_megabytes(tmp_path):
    folder = run_folder(tmp_path / "run", grids=range(50, 2001, 50), side=1058)
    (path,) = report.write(folder)
    assert path.stat().st_size < 10e6


def test_a_folder_with_nothing_of_a_run_has_no_report(tmp_path):
    with pytest.raises(NotThere, match="nothing of a run"):
        report.write(tmp_path)
    assert list(tmp_path.iterdir()) == []
