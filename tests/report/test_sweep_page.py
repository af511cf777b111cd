"""A sweep's report: every cell, whatever became of it."""

import json
import shutil

import pytest

from dcgan_lightning import report
from dcgan_lightning.errors import Refusal
from tests.conftest import REPORT
from tests.report.synthetic import Page, run_folder
from tests.report.test_strangers import EVIL
from tests.test_sweep import ends

CELL = {
    "number": 0,
    "swept": {},
    "overrides": [],
    "experiment": None,
    "folder": None,
    "status": "finished",
    "error": None,
}


def sweep(folder, *cells):
    folder.mkdir(exist_ok=True)
    numbered = [CELL | {"number": number, "swept": {"model.lr": f"1e-{number}"}} | c for number, c in enumerate(cells)]
    (folder / "cells.json").write_text(json.dumps(numbered))
    return folder


def write(folder):
    (path,) = report.write_of_sweep(folder)
    return Page(path)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Four cells: two with FIDs, one whose folder is gone, and one that was refused and has none."""
    around = tmp_path_factory.mktemp("sweep")
    for name in ("worse run", "better"):
        run_folder(around / "runs" / name, iterations=20, status="finished", error=None)
    fid = around / "runs" / "better" / "fid.csv"
    fid.write_text(fid.read_text().replace("51.3", "12.5"))
    (around / "runs" / "better" / "diagnosis.json").write_text('{"verdict": "stable"}')
    (around / "runs" / "worse run" / "report.html").write_text("<p>")
    return sweep(
        around / "sweep",
        {"folder": "../runs/worse run"},
        {"folder": "../runs/better"},
        {"folder": "../runs/gone", "status": "running"},
        {"status": "failed", "error": "Refused: model.lr=7\nand more"},
    )


def test_the_cells_are_ranked_with_samples_and_verdicts(made):
    page = write(made)
    assert "4 cells, of which 2 finished" in page.words
    table = page.words[page.words.index("Report 1 1e-1") :]
    for words in ("1 1e-1 Stable 12.50 1,500 121.70 2,000 2 min 0 s 2,125 none", "2 1e-0 Mode collapse"):
        assert words in table, words
    assert "By the best FID of each cell (fid/digits); lower is better" in page.words
    assert table.index("12.50") < table.index("51.30")
    assert len(page.all("img")) == 2
    assert all(image["src"].startswith("data:image/webp") and image["alt"] for image in page.all("img"))
    assert "failed : Refused: model.lr=7" in page.words
    assert "No verdict. There is no run folder." in page.words
    assert "2 of 4 cells did not finish." in page.words
    assert [link["href"] for link in page.all("a")] == ["./../runs/worse%20run/report.html"]


def test_a_strangers_sweep_is_words(tmp_path):
    evil = {"swept": {EVIL: EVIL}, "error": EVIL, "status": EVIL, "folder": "javascript:alert(1)"}
    folder = sweep(tmp_path / "sweep", evil)
    run_folder(folder / "javascript:alert(1)", iterations=5)
    (folder / "javascript:alert(1)" / "report.html").touch()
    page = write(folder)
    assert page.scripts == []
    assert [link["href"] for link in page.all("a")] == ["./javascript%3Aalert%281%29/report.html"]
    assert all(not name.startswith("on") for _, attributes in page.elements for name in attributes)


def test_what_is_no_sweep_has_none(tmp_path):
    with pytest.raises(Refusal, match=r"cells\.json cannot be read"):
        report.write_of_sweep(tmp_path)


@pytest.mark.slow
def test_a_sweep_ends_with_it_though_a_cell_fails_and_rebuild_makes_the_same(command, monkeypatch):
    short = ("metrics=none", "trainer.max_steps=1", "callbacks.weights=null", "logger=none", "callbacks.grid.n=4")
    run = command.tiny("-m", *short, REPORT, *ends("error", "fine"))
    assert run.code == 1
    (folder,) = run.cwd.glob("outputs/sweeps/*")
    assert f"report        {(folder / 'report.html').relative_to(run.cwd)}" in run.out
    page, before = Page(folder / "report.html"), (folder / "report.html").read_bytes()
    assert "2 cells, of which 1 finished" in page.words
    assert "RuntimeError: boom" in page.words
    links = [folder / link["href"] for link in page.all("a")]
    assert len(links) == 2
    assert all(link.is_file() for link in links)
    (folder / "report.html").unlink()
    assert command("rebuild", f"run={folder}").code == 0
    assert (folder / "report.html").read_bytes() == before
    shutil.rmtree(links[0].parent)
    assert "none" in write(folder).words
