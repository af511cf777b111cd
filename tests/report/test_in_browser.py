"""Reports as their readers have them: opened from disk, light and dark, narrow and wide, by keyboard, on paper."""

import base64
import io
import json
import re
import shutil

import numpy as np
import pytest
from PIL import Image

from dcgan_lightning import report
from dcgan_lightning.curves import grids
from tests.browser import Visit, chromium, pictures
from tests.conftest import command_in
from tests.report.synthetic import run_folder

pytestmark = pytest.mark.slow

SLIDER, GRID, CAPTION = "input[type=range]", "#grid", "#shown"
HOSTILE = f"<img src=http://localhost:40404/a onerror=a()></script><script>a()</script>'&amp;{{{{ 7 }}}} {'long' * 99}"
DIAGNOSIS = {
    "verdict": HOSTILE,
    "since": 6,
    "judged_at": 12,
    "evidence": {
        "diversity": {"value": 0.01, "threshold": 0.5, "relation": "below", "meaning": "of the real images' distance"},
        HOSTILE: {"value": HOSTILE, "threshold": 0.4, "relation": "below", "meaning": HOSTILE},
    },
    "history": [{"verdict": HOSTILE, "since": HOSTILE, "until": 3}, {"verdict": "stuck", "since": 3, "until": None}],
    "advice": [HOSTILE],
    "source": HOSTILE,
    "not_judged": [HOSTILE],
}
NAMES = ("trained", "synthetic", "hostile", "sweep")


@pytest.fixture(scope="module")
def folders(trained, tmp_path_factory):
    """A short run, one with all there can be, one with little left, and that hostile, and a sweep that lost a cell."""
    made = tmp_path_factory.mktemp("reports")
    shutil.copytree(trained.folder, made / "trained")
    run_folder(made / "synthetic")
    hostile = made / "hostile"
    hostile.mkdir()
    (hostile / "run.json").write_text(json.dumps({"status": "failed", "error": HOSTILE, "experiment": HOSTILE}))
    (hostile / "metrics.csv").write_text("iteration,loss_d\n0,nonsense\n")
    (hostile / "diagnosis.json").write_text(json.dumps(DIAGNOSIS))
    with pytest.MonkeyPatch.context() as patch:
        cells = ("callbacks.grid.every=2", "trainer.max_steps=4", "model.lr=1e-4,2e-4,1e30")
        swept = command_in(made, patch).tiny("-m", *cells)
    (sweep,) = swept.cwd.glob("outputs/sweeps/*")
    for name in NAMES[:3]:
        report.write(made / name)
    report.write_of_sweep(sweep)
    return {name: made / name for name in NAMES[:3]} | {"sweep": sweep}


@pytest.fixture(scope="module")
def browser(folders):  # after what trains: Playwright's event loop runs until the last of these tests
    with chromium() as running:
        yield running


@pytest.fixture
def visit(browser, folders):
    """Open the report of one of the folders."""
    return lambda name, **window: Visit(browser, folders[name] / report.NAME, **window)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", [(360, 800), (1600, 1000)], ids=["narrow", "wide"])
def test_everybody_can_read_it_and_it_asks_for_nothing(visit, name, theme, size):
    with visit(name, size=size, theme=theme) as page:
        assert page.overflow() == []
        assert page.broken_words() == []
        assert page.faint_text() == []
        assert page.barriers() == []
        assert page.tiny_text() == []
        assert page.complaints == page.requests == []


def shown_by(page):
    """The picture beside the slider: (H, W, 3), 0 to 255."""
    source = page.page.get_attribute(GRID, "src")
    picture = Image.open(io.BytesIO(base64.b64decode(source.partition("base64,")[2]))).convert("RGB")
    return np.asarray(picture, dtype=float)


def test_the_slider_moves_the_picture(visit, folders):
    found = {
        number: np.asarray(Image.open(path).convert("RGB"), float)
        for number, path in grids(folders["synthetic"]).items()
    }
    assert list(found) == [500, 1000, 1500, 2000]
    with visit("synthetic") as page:
        slider, drawn = page.page.locator(SLIDER), set()
        slider.focus()
        moves = (
            (None, 2000), ("Home", 500), ("ArrowLeft", 500), ("ArrowRight", 1000), ("ArrowRight", 1500),
            ("ArrowLeft", 1000), ("End", 2000), ("ArrowRight", 2000), ("ArrowLeft", 1500),
        )  # fmt: skip
        for key, number in moves:
            if key:
                slider.press(key)
            differences = {n: abs(shown_by(page) - grid).mean() for n, grid in found.items()}  # levels of 255
            assert min(differences, key=differences.get) == number
            for words in (page.page.text_content(CAPTION), slider.get_attribute("aria-valuetext")):
                assert re.search(rf"\b{number:,}\b", words)
            assert re.search(rf"\b{number:,}\b", page.page.get_attribute(GRID, "alt"))
            drawn.add(page.page.locator(GRID).screenshot())
        assert len(drawn) == len(found)
        assert page.complaints == page.requests == []


def test_without_scripts_the_last_grid_is_there_and_no_dead_slider(visit):
    with visit("synthetic", scripts=False) as page, visit("synthetic") as scripted:
        np.testing.assert_array_equal(shown_by(page), shown_by(scripted))
        assert page.page.locator(GRID).is_visible()
        assert not page.page.locator(SLIDER).is_visible()
        assert scripted.page.locator(SLIDER).is_visible()
        assert page.complaints == page.requests == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_prints_dark_on_light_and_cuts_no_picture(visit, folders, theme):
    first = Image.open(next(iter(grids(folders["synthetic"]).values()))).size
    with visit("synthetic", theme=theme) as page:
        with page.pdf() as sheets:
            found = [
                (bounds, sheet.get_size()) for sheet in sheets for bounds, size in pictures(sheet) if size == first
            ]
            assert len(found) == 2  # generated and real; one that is cut lies on two sheets
            for (left, bottom, right, top), (width, height) in found:
                assert 0 < left < right < width
                assert 0 < bottom < top < height
            assert np.median(sheets[0].render(scale=1).to_numpy()) == 255
        page.page.emulate_media(media="print")
        page.page.set_viewport_size({"width": 688, "height": 1000})  # A4 without its margins, at 96 pixels an inch
        assert page.faint_text() == page.broken_words() == page.overflow() == []


@pytest.mark.parametrize(("name", "count"), [("trained", 2), ("synthetic", 2), ("hostile", 0), ("sweep", 2)])
def test_every_picture_can_be_drawn(visit, name, count):
    with visit(name) as page:
        widths = page.page.evaluate("[...document.images].map((image) => image.complete ? image.naturalWidth : 0)")
        assert len(widths) == count
        assert all(widths)
