"""Sample a trained generator: ``python generate.py ckpt_path=outputs/<run> n=64 seed=0``."""

import dcgan_lightning.start  # noqa: F401  # refuses versions that not even an import may run

# isort: split
from omegaconf import DictConfig, OmegaConf

from dcgan_lightning import cli
from dcgan_lightning.generation import generate
from dcgan_lightning.machine import keep_freed_memory
from dcgan_lightning.options import check_options


def sample(cfg: DictConfig) -> None:
    """Check the options, and generate; of the model's config nothing but the name of its family counts."""
    family = cfg.model.generator._target_.split(".")[-2] if "model" in cfg else None
    options = OmegaConf.masked_copy(cfg, [name for name in cfg if name != "model"])
    check_options(options)
    keep_freed_memory(in_one_heap=True)
    generate(model=family, **{name: value for name, value in options.items() if name != "_target_"})


if __name__ == "__main__":
    cli.run(sample, "generate")
