"""Digits and clothes, 28x28 grey: MNIST, the part of it that ships with the package, and Fashion-MNIST."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor
from torchvision import datasets

from dcgan_lightning.data.classes import Classes, select_classes
from dcgan_lightning.data.download import find_or_download
from dcgan_lightning.data.module import ImageDataModule, Sampling
from dcgan_lightning.data.resize import fit, with_channels
from dcgan_lightning.errors import Refusal

SHIPPED = Path(__file__).with_name("mnist_mini.npz")  # made by make_mnist_mini.py
FILES = "train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte, t10k-labels-idx1-ubyte"
Variant = Literal["mnist_mini", "mnist", "fashion_mnist"]


class MNISTDataModule(ImageDataModule):
    """Digits (LeCun et al., 1998) or clothes (Xiao et al., 2017), in memory.

    Args:
        variant: ``mnist_mini``, 10,000 digits that ship with the package; ``mnist`` or ``fashion_mnist``, 60,000
            training images.
        root: torchvision's root, which has ``MNIST/raw`` or ``FashionMNIST/raw`` in it; None: ``datasets`` in the cache
            folder, downloaded if it is not there. ``mnist_mini`` reads no folder and refuses one.
        image_size: any; 28 is the original. Bilinear with antialias; a non-square image has black beside the digit.
        channels: 1, or 3 by repetition.
        digit: classes by index; clothes also by name, such as ``Sneaker``.
        others: see :class:`ImageDataModule`.

    Attributes:
        images: (N, channels, H, W) uint8.

    Raises:
        Refusal: files that are not there and cannot be downloaded; unknown classes; a root for ``mnist_mini``.
    """

    def __init__(
        self,
        variant: Variant,
        root: str | None,
        image_size: int | Sequence[int],
        channels: int,
        batch_size: int,
        sampling: Sampling,
        drop_last: bool,
        num_workers: int,
        cache_dir: str | None,
        seed: int,
        digit: Classes,
    ) -> None:
        super().__init__(
            root, image_size, channels, batch_size, sampling, drop_last, num_workers, cache_dir, seed, digit
        )
        if variant not in get_args(Variant):
            allowed = ", ".join(get_args(Variant))
            raise Refusal(
                "data.variant", variant, f"allowed are {allowed}", "choose by data=mnist, not by data.variant"
            )
        if variant == "mnist_mini" and root is not None:
            remedy = "leave data.root out, or data=mnist for torchvision's MNIST in that folder"
            raise Refusal("data.root", root, "mnist_mini ships with the package and reads no folder", remedy)
        names = datasets.FashionMNIST.classes if variant == "fashion_mnist" else [str(digit) for digit in range(10)]
        self.variant = variant
        self.classes = select_classes(digit, names)

    def load(self) -> tuple[Tensor, str]:
        """See :meth:`ImageDataModule.load`."""
        images, labels = self._source()
        images = images[torch.isin(labels, torch.tensor(self.classes))].unsqueeze(1)  # (N, 1, 28, 28)
        origin = hashlib.blake2b(images.numpy().tobytes(), digest_size=16).hexdigest()
        images = fit(with_channels(images, self.channels), self.height, self.width)  # (N, C, H, W)
        return images, self.fingerprint_of("fit", origin)

    def _source(self) -> tuple[Tensor, Tensor]:
        """Images, (N, 28, 28) uint8, and labels, (N,), 0 to 9."""
        if self.variant == "mnist_mini":
            with np.load(SHIPPED, allow_pickle=False) as arrays:
                return torch.from_numpy(arrays["images"]), torch.from_numpy(arrays["labels"]).long()
        torchvision_set = datasets.MNIST if self.variant == "mnist" else datasets.FashionMNIST
        found = find_or_download(
            lambda root, download: torchvision_set(str(root), train=True, download=download),
            self.root,
            self.cache_dir,
            folder=f"{torchvision_set.__name__}/raw",
            files=FILES,
        )
        return found.data, found.targets
