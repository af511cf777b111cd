"""Run folders: one a run, whatever starts at the same time, and none for a run that was refused."""

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from omegaconf import open_dict

from dcgan_lightning.run_folder import claimed
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
