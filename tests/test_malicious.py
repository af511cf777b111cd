"""Strangers' files, folders and URLs run nothing, fetch nothing, and are refused in one message."""

import os
import re
import sys

import pytest
import torch

from benchmarks.reliability import malicious, malicious_files
from benchmarks.reliability.kinds import ROOT
from benchmarks.reliability.malicious import READERS, Outcome, command, loss
from tests.support import finished

TRIALS = malicious.trials()
FIRSTS = malicious.firsts(TRIALS)
# Sampling is refused in a blink, and training after a second: the default suite has the former, and one way of each.
QUICK = [trial for trial in FIRSTS if "generate.py" in trial.name]
QUICK += [trial for trial in FIRSTS if "generate.py" not in trial.name][::9]
REST = [trial for trial in TRIALS if trial not in QUICK]
PACKAGE = sorted((ROOT / "dcgan_lightning").rglob("*.py")) + sorted(ROOT.glob("*.py"))
FORBIDDEN = {
    r"(?<!safetensors\.)torch\.load\((?!.*weights_only=True)": "weights_only=True",
    r"np\.load\((?!.*allow_pickle=False)": "allow_pickle=False",
    r"allow_pickle=True|weights_only=False\)\.": "",
    r"pickle\.loads?\(|Unpickler\(|joblib|dill\b|shelve|marshal": "",
    r"yaml\.(load|full_load|unsafe_load)\(": "yaml.safe_load",
    r"(?<![\w.])(eval|exec|compile|__import__)\(": "",
    r"torch\.hub\.load|torch\.jit\.load|torch\.package|load_from_checkpoint|load_state_dict_from_url": "",
    r"os\.system|os\.popen|shell=True": "",
    r"Image\.open\((?!.*formats=)": "formats=",
}


@pytest.mark.parametrize("trial", QUICK, ids=lambda trial: trial.name)
def test_nothing_of_a_strangers_is_run(trial, tmp_path):
    assert trial.run(tmp_path).loss == ""


@pytest.mark.slow
@pytest.mark.parametrize("trial", REST, ids=lambda trial: trial.name)
def test_nothing_of_a_strangers_is_run_in_any_way(trial, tmp_path):
    assert trial.run(tmp_path).loss == ""


def test_there_is_a_trial_of_every_file_folder_and_option():
    assert len({trial.name for trial in TRIALS}) == len(TRIALS)
    assert len(malicious_files.CARELESS) + len(malicious_files.OTHERS) >= 30
    assert {trial.name.partition(", ")[2].partition("=")[0] for trial in TRIALS} > {
        reader.partition("=")[0] for reader in READERS
    }


@pytest.mark.parametrize("name", malicious_files.CARELESS)
def test_the_files_are_dangerous_indeed(name, tmp_path):
    marker, file = tmp_path / "marker", tmp_path / "x.ckpt"
    malicious_files.CARELESS[name](file, marker)
    assert not marker.exists()
    torch.load(file, weights_only=False)
    assert marker.exists()


def test_the_checkpoint_that_they_are_made_of_is_taken(tmp_path):
    torch.save(malicious_files.checkpoint(), tmp_path / "good.ckpt")
    outcome = command(["generate.py", "ckpt_path=good.ckpt", "n=1", "out=one.png"], tmp_path)
    assert outcome.code == 0
    assert (tmp_path / "one.png").is_file()


def test_a_loss_is_noticed(tmp_path):
    """The judge of the trials is itself worth something."""
    marker = tmp_path / "marker"
    good = Outcome(2, "Refused: x.ckpt: no\n  Remedy: another", [])
    assert loss(good, marker, "x.ckpt") == ""
    assert "y.ckpt" in loss(good, marker, "y.ckpt")
    assert "exit code 1" in loss(Outcome(1, good.printed, []), marker)
    assert "traceback" in loss(Outcome(2, "Traceback (most recent call last)", []), marker)
    assert "example.com" in loss(Outcome(2, good.printed, ["example.com"]), marker)
    marker.touch()
    assert loss(good, marker) == "it was executed"


@pytest.mark.slow
@pytest.mark.parametrize("forced", [True, False], ids=["torch is told to load all", "torch is told nothing"])
def test_the_real_command_line_runs_nothing(tmp_path, forced):
    marker = tmp_path / "marker"
    malicious_files.CARELESS["checkpoint with a payload in hyper_parameters"](tmp_path / "x.ckpt", marker)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TORCH_FORCE")}
    environment |= {"TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1"} if forced else {}
    for verb in (("generate.py", "n=1"), ("train.py", "trainer.max_steps=1")):
        line = [sys.executable, str(ROOT / verb[0]), "ckpt_path=x.ckpt", *verb[1:]]
        done = finished(line, cwd=tmp_path, env=environment)
        assert done.returncode == 2
        assert "x.ckpt" in done.stderr
        assert "Traceback" not in done.stderr
    assert not marker.exists()


@pytest.mark.parametrize("file", PACKAGE, ids=lambda file: str(file.relative_to(ROOT)))
def test_the_package_opens_nothing_carelessly(file):
    for number, line in enumerate(file.read_text().splitlines(), start=1):
        for pattern, instead in FORBIDDEN.items():
            assert not re.search(pattern, line), (
                f"{file.name}:{number}: {line.strip()} (instead: {instead or 'nothing'})"
            )
