"""What run.json says of where a run took place."""

import json
import shutil
import subprocess

import pytest

from dcgan_lightning.surroundings import git


def test_a_run_records_its_data_its_environment_and_its_seed(trained):
    left = json.loads((trained.folder / "run.json").read_text())
    data, environment = left["data"], left["environment"]
    assert (data["images"], data["shape"], data["root"]) == (974, [1, 32, 32], None)
    assert len(data["fingerprint"]) == 32
    assert left["seed"] == 0
    assert environment["devices"] == 1
    assert environment["trained_on"] == "CPU"
    assert {"torch", "lightning"} <= set(environment["packages"])


@pytest.mark.skipif(shutil.which("git") is None, reason="there is no git")
def test_the_state_of_the_code_is_its_commit_and_whether_it_was_changed(tmp_path):
    def run(*words):
        who = ("-c", "user.name=x", "-c", "user.email=x@example.org")
        return subprocess.run(["git", *who, *words], cwd=tmp_path, check=True, capture_output=True, text=True).stdout

    assert git(tmp_path) is None
    run("init", "-q")
    (tmp_path / "a.py").write_text("1")
    run("add", "a.py")
    run("commit", "-qm", "one")
    commit = run("rev-parse", "HEAD").strip()
    (tmp_path / "new.py").write_text("a file that git does not know")
    assert git(tmp_path) == {"commit": commit, "dirty": False}
    (tmp_path / "a.py").write_text("2")
    assert git(tmp_path) == {"commit": commit, "dirty": True}
    assert git(tmp_path / "a.py") is None


def test_without_git_there_is_no_state(tmp_path, monkeypatch):
    (tmp_path / ".git").mkdir()
    assert git(tmp_path) is None  # no repository
    monkeypatch.setenv("PATH", "")
    assert git(tmp_path) is None
