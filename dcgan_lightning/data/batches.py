"""From uint8 images in memory to batches: which images each one has, and how they are gathered at once."""

from abc import abstractmethod
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from dcgan_lightning.noise import generator

Indices = np.ndarray | Tensor  # (B,) int64


class ImageRows(Dataset[Tensor]):
    """Images as a data set whose index is that of a whole batch.

    Args:
        images: (N, C, H, W) uint8, contiguous or channels_last; its batches are the same.
    """

    def __init__(self, images: Tensor) -> None:
        self.images = images
        # Each image has to be one piece of memory: index_select copies these ten times as fast as strided ones.
        self._in_pieces = images if images.is_contiguous() else images.permute(0, 2, 3, 1)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, indices: Indices) -> Tensor:
        """(B,) to (B, C, H, W) on the images' device, in their memory format."""
        batch = self._in_pieces.index_select(0, torch.as_tensor(indices))
        return batch if self._in_pieces is self.images else batch.permute(0, 3, 1, 2)


class Batches(Sampler[Indices]):
    """The indices of each batch of an epoch on one of W devices, as arrays: a list of 200,000 numbers is slow to make.

    Of the epoch's order a device has every W-th, so that the k-th global batch is the same on any number of devices.
    Lightning tells the epoch, as it does DistributedSampler. Both orders are functions of the epoch, so that all the
    state there is are the batches that have been trained on, which :meth:`go_on_after` takes.

    Args:
        size: images in the data set, N.
        batch_size: images per device.
        num_replicas: devices, W.
        rank: of this device.
        seed: of the orders.
        drop_last: leave out the last batch where it is smaller.
        device: where the images are; on a GPU the indices of an epoch are sent there together.
    """

    def __init__(
        self, size: int, batch_size: int, num_replicas: int, rank: int, seed: int, drop_last: bool, device: torch.device
    ) -> None:
        self.size, self.batch_size, self.seed, self.drop_last = size, batch_size, seed, drop_last
        self.num_replicas, self.rank, self.device = num_replicas, rank, device
        self.epoch = 0
        self._begun, self._trained_on = 0, 0  # an epoch that is under way, and how many of its batches are done

    def go_on_after(self, batches: int) -> None:
        """Begin where a run stood that has trained on so many batches since its first epoch."""
        self._begun, self._trained_on = divmod(batches, max(1, len(self)))
        self.epoch = self._begun

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning at the start of each epoch."""
        self.epoch = epoch

    @property
    def images(self) -> int:
        """How many images the device is dealt in an epoch, before ``drop_last`` leaves any out."""
        return self.size // self.num_replicas

    @abstractmethod
    def order(self) -> np.ndarray:
        """The epoch's indices for all devices, ``images * num_replicas`` of int64."""

    def __len__(self) -> int:
        return self.images // self.batch_size if self.drop_last else -(-self.images // self.batch_size)

    def __iter__(self) -> Iterator[Indices]:
        dealt: Indices = np.ascontiguousarray(self.order()[self.rank :: self.num_replicas])
        if self.device.type != "cpu":
            dealt = torch.from_numpy(dealt).to(self.device)
        first = self._trained_on if self.epoch == self._begun else 0
        # Arrays and not tensors for the CPU: worker processes are sent their indices.
        return (dealt[k * self.batch_size : (k + 1) * self.batch_size] for k in range(first, len(self)))


class Shuffled(Batches):
    """Each image once an epoch, in DistributedSampler's order.

    Where the images cannot be dealt out evenly, up to W-1 of them are repeated, or left out with ``drop_last``.
    """

    @property
    def images(self) -> int:
        return self.size // self.num_replicas if self.drop_last else -(-self.size // self.num_replicas)

    def order(self) -> np.ndarray:
        shuffle = torch.Generator().manual_seed(self.seed + self.epoch)
        permutation = torch.randperm(self.size, generator=shuffle).numpy()
        return np.resize(permutation, self.images * self.num_replicas)  # begins anew where it ends too soon


class DrawnWithReplacement(Batches):
    """As many draws from a data set as it has images, each from all of them, so that some come twice and some never.

    Drawn anew in each epoch, from its number alone.
    """

    def order(self) -> np.ndarray:
        draws = self.images * self.num_replicas
        return generator(self.seed, "replacement", self.epoch).integers(0, self.size, draws)
