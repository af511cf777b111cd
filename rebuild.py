"""Make anew what a run or a sweep leaves at its end, from its folder: ``python rebuild.py run=outputs/<run>``."""

import dcgan_lightning.start  # noqa: F401  # refuses versions that not even an import may run

# isort: split
from omegaconf import DictConfig

from dcgan_lightning import cli, rebuilding
from dcgan_lightning.options import check_options


def rebuild(cfg: DictConfig) -> None:
    """Check the options, and rebuild."""
    check_options(cfg)
    rebuilding.rebuild(cfg.run)


if __name__ == "__main__":
    cli.run(rebuild, "rebuild")
