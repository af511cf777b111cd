"""CIFAR-10 (Krizhevsky, "Learning multiple layers of features from tiny images", 2009)."""

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor
from torchvision.datasets import CIFAR10

from dcgan_lightning.data.classes import Classes, select_classes
from dcgan_lightning.data.download import find_or_download
from dcgan_lightning.data.module import ImageDataModule, Sampling
from dcgan_lightning.data.resize import cover, with_channels

NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SIDE = 32  # pixels


class CIFAR10DataModule(ImageDataModule):
    """The 50,000 training images, 32x32 RGB, in memory.

    Args:
        root: torchvision's root, which has ``cifar-10-batches-py`` in it; None: ``datasets`` in the cache folder,
            downloaded if it is not there.
        image_size: scaled to cover it, then cropped.
        channels: 3, or 1 for grey.
        digit: classes by index or name, such as ``ship``.
        allow_upscale: accept an image size above 32.
        others: see :class:`ImageDataModule`.

    Attributes:
        images: (N, channels, H, W) uint8.

    Raises:
        Refusal: files that are not there and cannot be downloaded; classes that do not exist; an image size above 32.
    """

    def __init__(
        self,
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
        allow_upscale: bool,
    ) -> None:
        super().__init__(
            root, image_size, channels, batch_size, sampling, drop_last, num_workers, cache_dir, seed, digit
        )
        self.classes = select_classes(digit, NAMES)
        if not allow_upscale:
            self.refuse_enlarging(SIDE, SIDE)

    def load(self) -> tuple[Tensor, str]:
        """See :meth:`ImageDataModule.load`."""
        found = find_or_download(
            lambda root, download: CIFAR10(str(root), train=True, download=download),
            self.root,
            self.cache_dir,
            folder=CIFAR10.base_folder,
            files="data_batch_1 to data_batch_5, test_batch and batches.meta",
        )
        chosen = torch.isin(torch.tensor(found.targets), torch.tensor(self.classes))
        images = torch.from_numpy(found.data).permute(0, 3, 1, 2)[chosen].contiguous()  # (N, 3, 32, 32)
        origin = hashlib.blake2b(images.numpy().tobytes(), digest_size=16).hexdigest()
        images = cover(with_channels(images, self.channels), self.height, self.width)  # (N, C, H, W)
        return images, self.fingerprint_of("cover", origin)
