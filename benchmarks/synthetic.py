"""Images without a source: throughput does not depend on what the pixels show."""

from typing import Any

import torch
from torch import Tensor

from dcgan_lightning.data.module import ImageDataModule

DISTINCT = 2048  # images that are drawn; the others repeat them


class SyntheticImages(ImageDataModule):
    """As many uint8 images of noise as are asked for.

    Args:
        count: of images.
        settings: see :class:`ImageDataModule`.
    """

    def __init__(self, count: int, **settings: Any) -> None:
        super().__init__(**settings)
        self.count = count

    def load(self) -> tuple[Tensor, str]:
        generator = torch.Generator().manual_seed(0)
        shape = (DISTINCT, self.channels, self.height, self.width)
        drawn = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
        repeats = -(-self.count // DISTINCT)
        return drawn.repeat(repeats, 1, 1, 1)[: self.count], self.fingerprint_of("synthetic", self.count)
