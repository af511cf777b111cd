"""Reports of folders that are damaged, empty, or made by somebody who means harm."""

import json

import numpy as np
import pytest

from dcgan_lightning import report
from tests.report.synthetic import DIAGNOSIS, RUN, Page, run_folder

EVIL = "<script>alert(1)</script><img src=http://localhost:9/x onerror=alert(2)>\"'>&amp;{{ 7 * 7 }}{% if %}\x1b[2J"
SAID = EVIL.replace("\x1b", "\\x1b").replace("&amp;", "&amp;")
FILES = ("run.json", "diagnosis.json", "metrics.csv", "samples.csv", "fid.csv", "real.png")


def evil(value):
    """The same with every word replaced, those that are names too where they need not be known."""
    if isinstance(value, dict):
        return {name: evil(inside) for name, inside in value.items()}
    if isinstance(value, list):
        return [evil(inside) for inside in value]
    return EVIL if isinstance(value, str) else value


def write(folder):
    (path,) = report.write(folder)
    return Page(path)


def test_words_of_every_file_are_words_on_the_page(tmp_path):
    folder = run_folder(tmp_path / "<b onclick=alert(3)>", iterations=20)
    quoted = json.dumps(EVIL)  # YAML takes JSON's strings
    (folder / "run.json").write_text(json.dumps(evil(RUN | {"experiment": "x"})))
    diagnosis = evil(DIAGNOSIS)
    diagnosis["evidence"][EVIL] = {"value": EVIL, "threshold": EVIL, "relation": EVIL, "meaning": EVIL}
    (folder / "diagnosis.json").write_text(json.dumps(diagnosis))
    (folder / ".hydra" / "config.yaml").write_text(f"seed: 1\nx: {quoted}\n# {EVIL}\n")
    (folder / ".hydra" / "overrides.yaml").write_text(f"- {quoted}\n- +x._target_=os.system\n")
    (folder / ".hydra" / "hydra.yaml").write_text(f"hydra: {{runtime: {{choices: {{model: {quoted}, data: x}}}}}}\n")
    fid = (folder / "fid.csv").read_text().replace("fid/digits", f'"{EVIL.replace(chr(34), chr(34) * 2)}"')
    (folder / "fid.csv").write_text(fid)
    (folder / "resumed_from.txt").write_text(f"{EVIL}\n")
    page = write(folder)
    assert len(page.scripts) == 2
    assert "alert" not in "".join(page.scripts)
    assert all(image["src"].startswith("data:image/webp") for image in page.all("img"))
    for tag, attributes in page.elements:
        assert not [name for name in attributes if name.startswith("on")]
        assert tag != "b"
    assert page.words.count("alert(1)") >= 20
    assert "49" not in page.words.replace("49.0 at", "")
    assert "\x1b" not in (folder / "report.html").read_text()


def test_what_is_missing_is_said_in_its_place(tmp_path):
    (tmp_path / "run.json").write_text('{"status": "running", "error": null, "first_iteration": 0}')
    page = write(tmp_path)
    for words in (
        "or it was killed",
        "There is no diagnosis.json.",
        "python diagnose.py run=",
        "No grid of generated images is there.",
        "There is no real.png.",
        "There is no metrics.csv.",
        "There is no fid.csv. Without an FID nothing says which checkpoint is the best.",
        "There is no samples.csv.",
        "No checkpoint was saved.",
        "There is no .hydra/config.yaml.",
        "There is no .hydra/overrides.yaml",
        "Run.json does not say",
    ):
        assert words in page.words, words
    assert len(page.headings) == 7
    assert page.scripts == []


@pytest.mark.parametrize(
    "content",
    [
        b"\x00\xff{",
        pytest.param(b"[1, [2]]", marks=pytest.mark.slow),
        pytest.param(b"iteration\n" + b"[" * 50_000, marks=pytest.mark.slow),
    ],
    ids=["no text", "a list", "deep"],
)
def test_what_is_damaged_is_said_in_its_place(tmp_path, content):
    folder = run_folder(tmp_path / "run", iterations=20)
    files = [*(folder / name for name in FILES), *folder.glob("grids/*"), *folder.glob(".hydra/*")]
    for file in files:
        file.write_bytes(content)
    page = write(folder)
    assert len(page.headings) == 7
    assert "diagnosis.json is damaged" in page.words
    assert "4 are damaged" in page.words
    assert page.scripts == []
    assert page.all("img") == []
    assert "checkpoints/best.ckpt" in page.words  # what is whole is there


@pytest.mark.slow
@pytest.mark.parametrize("name", [*FILES, "grids", ".hydra", "checkpoints"])
@pytest.mark.parametrize("how", ["gone", "empty"])
def test_no_file_takes_another_part_along(tmp_path, name, how):
    folder = run_folder(tmp_path / "run", iterations=20)
    (folder / name).rename(tmp_path / "aside")
    if how == "empty":
        (folder / name).touch()
    page = write(folder)
    assert len(page.headings) == 7
    there = {
        "Mode collapse": "diagnosis.json",
        "51.30": "fid.csv",
        "8,189": "run.json",
        "both together ends": "metrics.csv",
    }
    labels = " ".join(figure["aria-label"] for figure in page.all("svg"))
    for words, file in there.items():
        assert (words in page.words + labels) == (file != name), words


ODD = ["x", [], *(pytest.param(v, marks=pytest.mark.slow) for v in ({}, float("nan"), None, True, -1, 1e308))]


@pytest.mark.parametrize("value", [*ODD, 10**400])
def test_values_of_other_kinds_than_there_should_be(tmp_path, value):
    (tmp_path / "run.json").write_text(json.dumps(dict.fromkeys(RUN, value)))
    told = {"evidence": {"x": dict.fromkeys(("value", "threshold", "relation", "meaning"), value), "y": value}}
    history = [value, {"since": value, "verdict": value, "until": value, "rows": value}]
    for diagnosis in (dict.fromkeys(DIAGNOSIS, value), told | {"history": history}):
        (tmp_path / "diagnosis.json").write_text(json.dumps(diagnosis))
        assert len(write(tmp_path).headings) == 7


def test_curves_that_are_not_finite_or_have_holes_are_drawn_as_far_as_they_go(tmp_path):
    folder = run_folder(tmp_path / "run", iterations=20)
    rows = [f"{i},{'nan' if i > 10 else 0.5},{'' if i % 5 else 0.7}" for i in range(20)]
    (folder / "metrics.csv").write_text("\n".join(["iteration,loss_d,loss_g", *rows, "20,0."]))
    (folder / "samples.csv").write_text("iteration,diversity,diversity_real,nearest,nearest_real,gap\n50,0,0,0,0,nan\n")
    page = write(folder)
    labels = [figure["aria-label"] for figure in page.all("svg")]
    assert [label.partition(",")[0] for label in labels] == ["D's loss", "G's loss", "FID"]
    assert "lowest 0.7 at iteration 0" in labels[1]
    assert "There is no number in samples.csv." in page.words


def test_yaml_that_grows_without_end_costs_no_time(tmp_path):
    folder = run_folder(tmp_path / "run", iterations=20)
    lines = [
        f"a{i}: &a{i} {{{', '.join(f'k{k}: *a{i - 1}' for k in range(9)) if i else 'seed: 3'}}}" for i in range(40)
    ]
    (folder / ".hydra" / "config.yaml").write_text("\n".join(lines))
    page = write(folder)
    assert "a0.seed 3" in page.words
    assert np.sum([words == "seed" for words in page.words.split()]) < 50
