"""Every file of the zoo comes to what its documentation says."""

import os
import re
from dataclasses import replace

import pytest

from benchmarks.reliability import zoo
from tests.conftest import TINY
from tests.support import ROOT

FILES = [s for s in zoo.SPECIMENS if not s.file.endswith(".zip")]


@pytest.mark.slow
@pytest.mark.parametrize("trial", zoo.trials(), ids=lambda trial: trial.name)
def test_the_outcome_is_the_documented_one(trial, tmp_path):
    assert trial.run(tmp_path).loss == ""


def test_a_wrong_outcome_is_a_loss(tmp_path):
    used, bad = zoo.zoo_pictures.SPECIMENS[0], zoo.zoo_damage.SPECIMENS[0]
    wrong = [
        replace(used, outcome="bad", reason="bad"),
        replace(used, pixels=255 - used.pixels),
        replace(used, outcome="ignored"),
        replace(bad, reason="another"),
        replace(bad, outcome="used"),
    ]
    for number, specimen in enumerate(wrong):
        (tmp_path / str(number)).mkdir()
        assert zoo.run(specimen, tmp_path / str(number)).loss


def test_the_page_is_up_to_date():
    page = zoo.PAGE.read_text()
    assert re.search(r"<!-- zoo:begin -->\n(.*)\n<!-- zoo:end -->", page, re.DOTALL)[1] == zoo.table().strip()
    assert len({s.name for s in zoo.SPECIMENS}) == len(zoo.SPECIMENS) >= 30
    assert "(docs/images.md)" in (ROOT / "README.md").read_text()


def test_the_whole_zoo_is_trained_on_at_once(command, tmp_path):
    zoo.populate(tmp_path / "zoo", FILES)
    bad = [s for s in FILES if s.outcome == "bad" and not (s.unprivileged and os.getuid() == 0)]
    used = len(FILES) - len([s for s in FILES if s.outcome == "ignored"]) - len(bad)
    tiny = [word for word in TINY if not word.startswith(("data.digit", "data.batch_size"))]
    outcome = command(
        "train", "data=image_folder", "metrics=none", f"data.root={tmp_path / 'zoo'}", "data.image_size=32",
        "data.skip_bad_files=true", "data.allow_upscale=true", "data.batch_size=8", "trainer.max_steps=2", *tiny,
        f"data.cache_dir={tmp_path / 'cache'}",
    )  # fmt: skip
    assert outcome.code == 0, outcome.err[-2000:]
    assert f"{len(bad)} of {used + zoo.GOOD + len(bad)} files cannot be used" in outcome.err
    assert "Traceback" not in outcome.err
    assert (outcome.folder / "generator.safetensors").is_file()
