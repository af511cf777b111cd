"""Say whether a run, or anybody's CSV of losses, is healthy: ``python diagnose.py run=outputs/<run>``."""

import dcgan_lightning.start  # noqa: F401  # refuses versions that not even an import may run

# isort: split
from omegaconf import DictConfig

from dcgan_lightning import cli, diagnosing
from dcgan_lightning.options import build, check_options


def diagnose(cfg: DictConfig) -> None:
    """Check the options, and judge."""
    check_options(cfg)
    diagnosing.diagnosed(cfg.run, cfg.columns, cfg.bce, build(cfg, "diagnosis"))


if __name__ == "__main__":
    cli.run(diagnose, "diagnose", diagnosing.as_told)
