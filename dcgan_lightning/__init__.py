"""GAN training kit on PyTorch Lightning and Hydra."""

import importlib
from typing import Any

__all__ = ["CIFAR10DataModule", "CelebADataModule", "GANModule", "ImageFolderDataModule", "MNISTDataModule"]


def __getattr__(name: str) -> Any:
    # Imported when first asked for: Lightning takes seconds, and the processes that decode images need none of it.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = "gan_module" if name == "GANModule" else "data"
    return getattr(importlib.import_module(f"{__name__}.{home}"), name)
