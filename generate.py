"""Sample a trained generator: ``python generate.py ckpt_path=outputs/<run> n=64 seed=0``."""

from hydra.utils import instantiate

from dcgan_lightning import cli

if __name__ == "__main__":
    cli.run(instantiate, "generate")
