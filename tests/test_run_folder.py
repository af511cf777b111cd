"""Run folders: one a run, whatever starts at the same time, and none for a run that was refused."""

import json
import signal

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from omegaconf import open_dict

from dcgan_lightning.precision import resolved
from dcgan_lightning.run_folder import claimed, in_words, interrupted
from tests.support import CONF


@pytest.fixture
def config(tmp_path):
    """Composed with Hydra's own part, as a run under Hydra sees it."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("train", return_hydra_config=True)
    with open_dict(cfg):
        cfg.hydra.runtime.output_dir = str(tmp_path / "outputs" / "now")
        cfg.hydra.mode = "RUN"
    HydraConfig.instance().set_config(cfg)
    with open_dict(cfg):
        del cfg["hydra"]
    yield cfg
    HydraConfig.instance().cfg = None


def test_runs_of_the_same_second_have_folders_of_their_own(config):
    names = []
    for _ in range(3):
        with claimed(config) as folder:
            (folder / "metrics.csv").touch()
            names.append(folder.name)
            assert config.run_dir == str(folder)
    assert names == ["now", "now_2", "now_3"]


def test_a_folder_in_which_nothing_came_about_goes_again(config, tmp_path):
    with pytest.raises(KeyboardInterrupt), claimed(config) as folder:  # noqa: PT012
        assert (folder / ".hydra" / "config.yaml").is_file()
        raise KeyboardInterrupt
    assert not (folder / ".hydra").exists()


def test_a_folder_with_results_stays_after_an_exception(config):
    with pytest.raises(RuntimeError), claimed(config) as folder:  # noqa: PT012
        (folder / "metrics.csv").touch()
        raise RuntimeError
    assert (folder / "metrics.csv").is_file()
    assert (folder / ".hydra" / "overrides.yaml").is_file()


def record(folder):
    return json.loads((folder / "run.json").read_text())


def test_a_run_leaves_its_lengths_and_times(trained):
    left = record(trained.folder)
    images = 12 * 974 / 16  # 974 images are 16 batches
    assert left["images_per_s"] * left["seconds"] == pytest.approx(images, rel=0.02)
    assert 0 < left["seconds"] < 600
    assert {name: left[name] for name in left if name not in ("seconds", "images_per_s")} == {
        "status": "finished",
        "error": None,
        "first_iteration": 0,
        "iterations": 12,
        "epochs": 0.75,
        "iterations_per_epoch": 16,
        "precision": resolved("auto", "cpu"),
        "experiment": None,
    }


def test_a_resumed_run_counts_its_time_from_where_it_began(command, trained):
    left = record(command.tiny(f"ckpt_path={trained.folder}", "trainer.max_steps=14", "metrics=none").folder)
    assert (left["first_iteration"], left["iterations"]) == (12, 14)
    assert left["images_per_s"] * left["seconds"] == pytest.approx(2 * 974 / 16, rel=0.02)


def test_an_interrupted_run_says_how_far_it_came(command):
    handler = signal.getsignal(signal.SIGINT)
    stops = ("+callbacks.mine._target_=tests.test_sweep.Ends", "+callbacks.mine.how=stop")
    try:
        run = command.tiny("metrics=none", *stops)
    finally:
        signal.signal(signal.SIGINT, handler)  # Lightning ignores it from then on
    assert run.code == 1
    left = record(run.folder)
    assert (left["status"], left["error"], left["iterations"]) == ("failed", "interrupted", 1)


def test_what_to_type_to_go_on_undoes_what_would_end_the_run(command):
    run = command.tiny("metrics=none", "data.batch_size=900", "trainer.max_epochs=8", "trainer.fraction=0.25")
    assert record(run.folder)["epochs"] == 2
    (line,) = (line for line in run.out.splitlines() if line.startswith("go on"))
    assert line.endswith("trainer.max_steps=8 trainer.max_epochs=null trainer.fraction=1")


def test_errors_in_words():
    assert in_words(RuntimeError("boom")) == "RuntimeError: boom"
    assert in_words(ValueError()) == "ValueError"
    assert not interrupted(SystemExit(1))
    with pytest.raises(SystemExit) as caught:  # noqa: PT012
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            raise SystemExit(1)  # noqa: B904 - as Lightning does
    assert in_words(caught.value) == "interrupted"
