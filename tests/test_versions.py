"""What is installed is held against pyproject.toml's floors before anything of it is imported."""

import json
import runpy
import subprocess
import sys
import tomllib
from importlib import metadata

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from benchmarks.reliability.kinds import ROOT
from dcgan_lightning import versions

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
FLOORS = {r.name: r for r in map(Requirement, PROJECT["project"]["dependencies"])}


@pytest.fixture
def installed(monkeypatch):
    """Pretend that other versions are installed; None for not at all."""
    real = metadata.version

    def pretend(**versions_there):
        def version(name):
            there = versions_there.get(name.replace("-", "_"), real)
            if there is None:
                raise metadata.PackageNotFoundError(name)
            return real(name) if there is real else there

        monkeypatch.setattr(metadata, "version", version)

    return pretend


def test_what_is_installed_here_is_taken():
    assert list(versions.unfit(PROJECT)) == []
    versions.check()


@pytest.mark.parametrize(
    ("there", "words"),
    [
        ({"lightning": "2.6.2"}, ["lightning 2.6.2", ">=2.6.6", "malware", "pip install 'lightning>=2.6.6'"]),
        ({"lightning": "2.6.5"}, ["lightning 2.6.5", "could run code"]),
        ({"pytorch_lightning": "2.6.3"}, ["pytorch-lightning 2.6.3", "malware", "'pytorch-lightning>=2.6.6'"]),
        ({"torch": "2.9.1+cu128"}, ["torch 2.9.1+cu128", ">=2.10", "corrupt memory", "'torch>=2.10'"]),
        ({"torch": "2.10.0rc1"}, ["torch 2.10.0rc1"]),
        ({"pillow": "11.3.0"}, ["pillow 11.3.0", "'pillow>=12'"]),
        ({"torchmetrics": None}, ["torchmetrics is not installed"]),
        ({"torch": "2.9", "numpy": "1.26"}, ["torch 2.9", "numpy 1.26", "pip install 'torch>=2.10' 'numpy>=2.0'"]),
    ],
    ids=str,
)
def test_older_versions_are_refused_with_the_reason_and_the_command(installed, capsys, there, words):
    installed(**there)
    with pytest.raises(SystemExit) as exit_:
        versions.check()
    assert exit_.value.code == 2
    message = capsys.readouterr().err
    for word in words:
        assert word in message


@pytest.mark.parametrize(
    "there",
    [
        {"torch": "2.11.0+cu130", "lightning": "2.6.6"},
        {"torch": "2.11.0a0+gitabc"},
        {"lightning": "3.0.0"},
        {"pytorch_lightning": None},
    ],
    ids=str,
)
def test_newer_versions_and_builds_of_ones_own_are_taken(installed, there):
    installed(**there)
    assert list(versions.unfit(PROJECT)) == []


@pytest.mark.parametrize("verb", ["train.py", "generate.py", "rebuild.py"])
def test_a_malicious_version_is_not_even_imported(tmp_path, verb):
    marker = tmp_path / "marker"
    for name in ("lightning", "torch", "hydra", "omegaconf"):
        (tmp_path / f"{name}.py").write_text(f"open({str(marker)!r}, 'w')\n")
    (tmp_path / "lightning-2.6.3.dist-info").mkdir()
    (tmp_path / "lightning-2.6.3.dist-info" / "METADATA").write_text("Name: lightning\nVersion: 2.6.3\n")
    code = f"import sys, runpy; sys.path.insert(0, {str(tmp_path)!r}); sys.path.insert(1, {str(ROOT)!r}); "
    code += f"runpy.run_path({str(ROOT / verb)!r}, run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("Refused:")
    assert "lightning 2.6.3 is installed" in done.stderr
    assert not marker.exists()


def test_every_danger_is_of_a_dependency_with_a_floor():
    for name in PROJECT["tool"]["dcgan_lightning"]["dangers"]:
        assert ">=" in str(FLOORS[name].specifier)


def test_every_pin_of_the_lock_has_a_hash_and_satisfies_the_floors():
    lines = (ROOT / "requirements.lock").read_text().replace("\\\n", " ").splitlines()
    pinned = [line for line in lines if line and not line.lstrip().startswith(("#", "--"))]
    pins = {}
    for line in pinned:
        assert "--hash=sha256:" in line
        requirement = Requirement(line.partition(" --hash")[0].strip())
        (specifier,) = requirement.specifier
        assert specifier.operator == "=="
        pins[canonicalize_name(requirement.name)] = specifier.version
    twins = [Requirement(f"{twin}{FLOORS[name].specifier}") for twin, name in versions.TWINS.items()]
    extras = [Requirement(line) for line in PROJECT["project"]["optional-dependencies"]["dev"]]
    for requirement in [*FLOORS.values(), *twins, *extras]:
        assert requirement.specifier.contains(pins[canonicalize_name(requirement.name)]), requirement


@pytest.mark.parametrize(
    ("code", "report", "words", "ends", "says"),
    [
        (0, {"dependencies": [{"name": "a", "version": "1", "vulns": []}]}, "", 0, "no known vulnerability in 1 of 1"),
        (
            1,
            {"dependencies": [{"name": "a", "version": "1", "vulns": [{"id": "CVE-1", "fix_versions": ["2"]}]}]},
            "",
            1,
            "a 1: CVE-1, mended in 2",
        ),
        (0, {"dependencies": [{"name": "a", "skip_reason": "not on PyPI"}]}, "", 0, "in 0 of 1 packages\nnot in the"),
        (1, None, "x\nrequests.exceptions.ConnectionError: no route", 0, "audit skipped: the database did not answer"),
        (1, None, "ERROR: no such option", 1, ""),
    ],
    ids=["nothing", "a finding", "unknown packages", "no connection", "a mistake"],
)
def test_the_audit_fails_on_findings_and_not_for_want_of_a_database(capsys, code, report, words, ends, says):
    judged = runpy.run_path(str(ROOT / ".ci" / "audit"))["judged"]
    assert judged(code, "" if report is None else json.dumps(report), words) == ends
    assert says in capsys.readouterr().out
