"""Which checkpoint of a run folder is taken, and what is said of the others."""

import os
import random
import shutil

import pytest
import torch

from dcgan_lightning.callbacks.weights import export
from dcgan_lightning.checkpoint_io import WholeCheckpointIO
from dcgan_lightning.digests import digest_of, sidecar
from dcgan_lightning.errors import Refusal
from dcgan_lightning.finding import find, newest_run
from tests.conftest import assert_refused

FOR_SAMPLES = ("best.ckpt", "last.ckpt")


def run_folder(folder, steps=(1, 2), best=None):
    for name, step in [*(("last.ckpt", step) for step in steps), *([("best.ckpt", best)] if best else [])]:
        content = {"global_step": step, "state_dict": {"w": torch.full((500,), float(step))}}
        WholeCheckpointIO().save_checkpoint(content, folder / "checkpoints" / name)
    return folder


def test_last_then_previous_to_go_on_and_best_first_for_samples(tmp_path, capsys):
    run = run_folder(tmp_path, best=1)
    here = run / "checkpoints"
    assert find(str(run), "last.ckpt") == here / "last.ckpt"
    assert find(str(run), *FOR_SAMPLES) == here / "best.ckpt"
    (here / "best.ckpt").unlink()
    assert find(str(run), *FOR_SAMPLES) == here / "last.ckpt"
    (here / "last.ckpt").unlink()
    assert find(str(run), *FOR_SAMPLES) == find(str(run), "last.ckpt") == here / "previous.ckpt"
    assert capsys.readouterr().out == ""


def test_any_truncation_and_any_flipped_byte_is_named_and_the_one_before_taken(tmp_path, capsys):
    run = run_folder(tmp_path)
    last, previous = (run / "checkpoints" / name for name in ("last.ckpt", "previous.ckpt"))
    content, draw = last.read_bytes(), random.Random(0)
    lengths = [1, 100, len(content) // 2, len(content) - 1, *draw.sample(range(1, len(content)), 20)]
    damaged = [content[:length] for length in lengths] + [content + b"\0"]
    for at in [0, len(content) - 1, *draw.sample(range(len(content)), 100)]:
        damaged.append(content[:at] + bytes([content[at] ^ (1 << draw.randrange(8))]) + content[at + 1 :])
    for spoilt in damaged:
        last.write_bytes(spoilt)
        assert find(str(run), "last.ckpt") == previous
        said = f"{last} is damaged (its sha256 is not that of last.ckpt.sha256); previous.ckpt, iteration 1, is taken"
        assert capsys.readouterr().out == f"note          {said}\n"
    last.write_bytes(b"")
    assert find(str(run), "last.ckpt") == previous
    assert "last.ckpt is damaged (it is empty); previous.ckpt, iteration 1, is taken" in capsys.readouterr().out
    last.write_bytes(content)
    assert find(str(run), "last.ckpt") == last


@pytest.mark.parametrize("garbage", [b"", b"\xff\xfe\0", b"0123  last.ckpt\n", b"last.ckpt\n" * 3])
def test_a_record_that_holds_no_digest_vouches_for_nothing(tmp_path, capsys, garbage):
    run = run_folder(tmp_path)
    sidecar(run / "checkpoints" / "last.ckpt").write_bytes(garbage)
    assert find(str(run), "last.ckpt").name == "previous.ckpt"
    assert "last.ckpt is damaged (last.ckpt.sha256 holds no sha256)" in capsys.readouterr().out


def test_what_cannot_be_read_is_damaged_too(tmp_path, capsys):
    run = run_folder(tmp_path)
    sidecar(run / "checkpoints" / "last.ckpt").unlink()
    sidecar(run / "checkpoints" / "last.ckpt").mkdir()
    assert find(str(run), "last.ckpt").name == "previous.ckpt"
    assert "last.ckpt is damaged (it cannot be read: " in capsys.readouterr().out


def test_a_checkpoint_copied_alone_is_taken_if_it_can_be_read_and_a_note_says_so(tmp_path, capsys):
    run = run_folder(tmp_path / "run")
    alone = tmp_path / "mine.ckpt"
    shutil.copy(run / "checkpoints" / "last.ckpt", alone)
    assert find(str(alone), "last.ckpt") == alone
    assert f"{alone} has no mine.ckpt.sha256 beside it" in capsys.readouterr().out
    shutil.copy(sidecar(run / "checkpoints" / "last.ckpt"), sidecar(alone))  # under another name, the same digest
    assert find(str(alone), "last.ckpt") == alone
    assert capsys.readouterr().out == ""

    for file in (run / "checkpoints").glob("*.sha256"):
        file.unlink()
    assert find(str(run), "last.ckpt").name == "last.ckpt"
    assert "last.ckpt has no last.ckpt.sha256 beside it" in capsys.readouterr().out
    last = run / "checkpoints" / "last.ckpt"
    last.write_bytes(last.read_bytes()[:500])
    assert find(str(run), "last.ckpt").name == "previous.ckpt"
    said = capsys.readouterr().out
    assert f"{last} is damaged (cannot be read as tensors and plain values" in said
    assert "previous.ckpt has no previous.ckpt.sha256 beside it" in said


def test_where_none_is_valid_each_is_named(tmp_path):
    run = run_folder(tmp_path, best=2)
    (run / "checkpoints" / "last.ckpt").write_bytes(b"")
    (run / "checkpoints" / "previous.ckpt").write_bytes(b"half")
    with pytest.raises(Refusal) as refusal:
        find(str(run), "last.ckpt")
    assert "last.ckpt (it is empty); previous.ckpt (its sha256 is not that of previous.ckpt.sha256)" in str(
        refusal.value
    )
    assert find(str(run), *FOR_SAMPLES).name == "best.ckpt"


def test_a_damaged_checkpoint_that_was_named_is_refused_with_the_one_to_take(tmp_path):
    run = run_folder(tmp_path)
    last = run / "checkpoints" / "last.ckpt"
    last.write_bytes(last.read_bytes()[:-1])
    with pytest.raises(Refusal, match="is damaged: its sha256") as refusal:
        find(str(last), "last.ckpt")
    assert f"ckpt_path={last.with_name('previous.ckpt')} is whole, iteration 1" in refusal.value.remedy
    last.with_name("previous.ckpt").unlink()
    with pytest.raises(Refusal, match="is damaged: its sha256") as refusal:
        find(str(last), "last.ckpt")
    assert refusal.value.remedy == "give another file"


@pytest.mark.parametrize("path", ["nothing", "a\0b", "x" * 5000, "~nobody/at/all"])
def test_what_is_no_path_is_refused(path):
    with pytest.raises(Refusal, match="there is no such file or folder"):
        find(path, "last.ckpt")


def test_a_run_folder_without_checkpoints_is_refused(tmp_path):
    with pytest.raises(Refusal, match=r"there is no checkpoints/last.ckpt or previous.ckpt in it"):
        find(str(tmp_path), "last.ckpt")


def test_the_newest_run_is_the_latest_by_name_that_has_a_valid_checkpoint(tmp_path, capsys):
    runs = [
        run_folder(tmp_path / name)
        for name in ("2026-02-01_00-00-00", "2026-02-01_00-00-00_9", "2026-02-01_00-00-00_10", "2026-01-31_23-59-59")
    ]
    (tmp_path / "2026-03-01_00-00-00" / "checkpoints").mkdir(parents=True)
    (tmp_path / "a file").touch()
    assert newest_run(tmp_path) == runs[2]
    assert newest_run(tmp_path, but=runs[2]) == runs[1]
    assert capsys.readouterr().out == ""
    (runs[2] / "checkpoints" / "last.ckpt").write_bytes(b"x")
    assert newest_run(tmp_path) == runs[2]  # it has the one before
    (runs[2] / "checkpoints" / "previous.ckpt").write_bytes(b"x")
    assert newest_run(tmp_path) == runs[1]
    assert f"no checkpoint of {runs[2]} can be taken: last.ckpt (its sha256" in capsys.readouterr().out


def test_the_newest_run_among_names_of_a_users_own_is_the_one_that_changed_last(tmp_path):
    for name, changed in (("b", 100), ("c", 300), ("a", 200)):
        run_folder(tmp_path / name)
        os.utime(tmp_path / name, (changed, changed))
    assert newest_run(tmp_path).name == "c"


def test_without_any_run_it_is_said_where_it_was_looked_for(tmp_path):
    with pytest.raises(Refusal, match=f"there is no run with a checkpoint in {tmp_path}/none .*nothing is there"):
        newest_run(tmp_path / "none")
    (tmp_path / "2026-03-01_00-00-00").mkdir()
    with pytest.raises(Refusal, match=r"1 folder\(s\) without one"):
        newest_run(tmp_path)
    run = run_folder(tmp_path / "2026-03-01_00-00-01", steps=(1,))
    (run / "checkpoints" / "last.ckpt").write_bytes(b"x")
    with pytest.raises(Refusal, match=r"no checkpoint of .*00-00-01 can be taken: last.ckpt \(its sha256"):
        newest_run(tmp_path)


@pytest.fixture
def damaged(trained, tmp_path):
    """A finished run whose last and best checkpoints were damaged."""
    folder = tmp_path / "run"
    shutil.copytree(trained.folder, folder)
    last, best, previous = (folder / "checkpoints" / f"{name}.ckpt" for name in ("last", "best", "previous"))
    if not previous.is_file():
        shutil.copy(last, previous)
        sidecar(previous).write_text(f"{digest_of(previous)}  previous.ckpt\n")
    for file in (last, best):
        file.write_bytes(file.read_bytes()[:-100])
    return folder


def test_samples_and_weights_come_from_the_one_before_where_the_last_is_damaged(command, damaged, tmp_path, capfd):
    run = command("generate", f"ckpt_path={damaged}", f"out={tmp_path}/grid.png")
    assert run.code == 0
    for name in ("best", "last"):
        assert f"{name}.ckpt is damaged (its sha256 is not that of {name}.ckpt.sha256); previous.ckpt" in run.out
    assert len(export(damaged, export_pth=False)) == 2
    assert "last.ckpt is damaged" in capfd.readouterr().out


def test_a_damaged_checkpoint_given_to_the_command_line_is_refused(command, damaged):
    last = damaged / "checkpoints" / "last.ckpt"
    run = command("generate", f"ckpt_path={last}")
    assert_refused(run, "is damaged: its sha256 is not that of last.ckpt.sha256", "previous.ckpt is whole")
