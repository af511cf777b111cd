"""What every data set has in common: checked options, uint8 images, and batches that do not depend on the devices."""

import hashlib
import json
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, Literal, get_args

import platformdirs
import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader

from dcgan_lightning.data.batches import Batches, DrawnWithReplacement, ImageRows, Shuffled
from dcgan_lightning.data.classes import Classes
from dcgan_lightning.data.decode import TRANSFORM_VERSION
from dcgan_lightning.errors import Refusal
from dcgan_lightning.machine import cores
from dcgan_lightning.noise import generator
from dcgan_lightning.signals import leave_to_parent
from dcgan_lightning.untrusted import local

Sampling = Literal["shuffle", "replacement"]
CPU = torch.device("cpu")
MANY_WORKERS = 64  # that a machine of few cores may have, too
LONGEST_WAIT = 300  # seconds for a batch, which takes milliseconds: a worker that hangs is an error, and no silent wait
SHARE_OF_CARD = 0.5  # of a GPU's free memory that the images may take


class ImageDataModule(LightningDataModule):
    """Base of the data sets. A subclass says in :meth:`load` how its images come about.

    Args:
        root: folder (or archive) to read from; None: the data set's default place. Nothing is ever written into it.
        image_size: side of the square images, or [height, width], pixels.
        channels: 1 (grey) or 3 (RGB).
        batch_size: images per device and iteration.
        sampling: ``shuffle``: each image once an epoch; ``replacement``: each image of a batch drawn from all.
        drop_last: leave out the last batch of an epoch where it is smaller.
        num_workers: processes that gather batches; 0: the training process itself.
        cache_dir: folder for all that is written besides the run folder; None: the user's cache folder.
        seed: of the order of the images.
        digit: the class or classes to train on, by index or name; None: all.

    Attributes:
        images: (N, C, H, W) uint8 in [0, 255], in channels_last memory, after :meth:`prepare_data` or :meth:`setup`.
        fingerprint: hexadecimal; equal for equal images, different where any of them may differ.
        cache_dir: the resolved folder. It need not exist.

    Raises:
        Refusal: a value that is not allowed; from ``prepare_data`` and ``setup``: a source that cannot be used.
    """

    COMPARED = 1024  # images by which two data sets are told apart: 12 MB of 64x64 RGB, read in a moment

    images: Tensor
    fingerprint: str

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
    ) -> None:
        super().__init__()
        self.root = local("data.root", root) if root else None
        self.height, self.width = _height_and_width(image_size)
        if channels not in (1, 3) or isinstance(channels, bool):
            raise Refusal("data.channels", channels, "images have 1 channel (grey) or 3 (RGB)", "data.channels=3")
        self.channels = channels
        self.batch_size = _whole_number("data.batch_size", batch_size, 1, "data.batch_size=128")
        if sampling not in get_args(Sampling):
            raise Refusal(
                "data.sampling", sampling, f"there is {', '.join(get_args(Sampling))}", "data.sampling=shuffle"
            )
        self.sampling = sampling
        self.drop_last = drop_last
        self.num_workers = _whole_number("data.num_workers", num_workers, 0, "data.num_workers=0")
        if num_workers > (most := max(MANY_WORKERS, 4 * cores())):
            problem = f"more than {most} processes wait for each other, and each takes memory of its own"
            raise Refusal("data.num_workers", num_workers, problem, f"for example data.num_workers={cores()}")
        self.cache_dir = local("data.cache_dir", cache_dir or platformdirs.user_cache_dir("dcgan_lightning")).resolve()
        self.seed = seed
        self.digit = digit
        self._refuse_cache_in_root()

    @abstractmethod
    def load(self) -> tuple[Tensor, str]:
        """Find the source and make the images.

        Returns:
            (N, C, H, W) uint8, and what :meth:`fingerprint_of` makes of their origin.

        Raises:
            Refusal: the source cannot be used.
        """

    def prepare_data(self) -> None:
        """Do all that is slow or can be refused: find, download, decode into the cache. A second call costs nothing."""
        if not hasattr(self, "images"):
            images, self.fingerprint = self.load()
            # As convolutions want them, so that no batch has to be reordered; images that are so are not copied.
            self.images = images.contiguous(memory_format=torch.channels_last)

    def setup(self, stage: str | None = None) -> None:
        """Make ``images`` available in this process, from what :meth:`prepare_data` left on disk."""
        self.prepare_data()

    def refuse_small_set(self, world_size: int) -> None:
        """Refuse a set from which not a single global batch can be made.

        Args:
            world_size: number of devices.
        """
        needed = self.batch_size * world_size
        if len(self.images) < needed:
            batch = (
                f"{self.batch_size} images on each of {world_size} devices" if world_size > 1 else f"{needed} images"
            )
            raise Refusal(
                "data.batch_size",
                self.batch_size,
                f"a batch is {batch}, but the data set has only {len(self.images)}",
                f"data.batch_size={max(1, len(self.images) // world_size)} or smaller, or more images",
            )

    def real_images(self, n: int) -> Tensor:
        """The first images of a seeded shuffle, the same in every run; (min(n, N), C, H, W) uint8."""
        order = generator(self.seed, "real_images").permutation(len(self.images))
        return self.images[torch.from_numpy(order[:n])]

    def identity(self) -> dict[str, Any]:
        """What tells this data set from another, wherever its files lie: plain values, for a checkpoint.

        ``shape`` is (N, C, H, W); ``sample`` a hash of up to :data:`COMPARED` images, spread evenly over all;
        ``fingerprint`` that of the files.
        """
        some = torch.linspace(0, len(self.images) - 1, min(self.COMPARED, len(self.images)), dtype=torch.float64)
        pixels = self.images[some.round().long()].contiguous().numpy().tobytes()
        sample = hashlib.blake2b(pixels, digest_size=16).hexdigest()
        return {"shape": list(self.images.shape), "sample": sample, "fingerprint": self.fingerprint}

    def train_dataloader(self) -> DataLoader[Tensor]:
        """Batches of (batch_size, C, H, W) uint8, without labels, shuffled or drawn anew in every epoch.

        On a GPU with room for all images, that is where they are, and where the batches are gathered.

        With W devices the k-th global batch holds the rows [k*B*W, (k+1)*B*W) of the epoch's permutation, of which a
        device has every W-th: the images of a batch of 256 are the same on one device and on four. Where the last rows
        cannot be dealt out evenly, up to W-1 images are repeated, or left out with ``drop_last``.

        A resumed run begins with the batch after the last that its checkpoint has seen: one batch is one iteration, so
        that ``global_step``, which Lightning has restored by now, says which that is.
        """
        if self.trainer is None:
            return self._loader(self.images, self._epoch(1))
        device = self.trainer.strategy.root_device
        on_card = device.type == "cuda" and not self.num_workers and self._fits(device)
        images, place = (self.images.to(device), device) if on_card else (self.images, CPU)
        epoch = self._epoch(self.trainer.world_size, self.trainer.global_rank, place)
        epoch.go_on_after(self.trainer.global_step)
        return self._loader(images, epoch, pinned=device.type == "cuda" and not on_card)

    def batches(self, world_size: int) -> int:
        """How many batches an epoch has on each of so many devices."""
        return len(self._epoch(world_size))

    def smallest_batch(self, world_size: int) -> int:
        """How many images a device's smallest batch has."""
        left = 0 if self.drop_last else self._epoch(world_size).images % self.batch_size
        return left or self.batch_size

    def _epoch(self, world_size: int, rank: int = 0, device: torch.device = CPU) -> Batches:
        kind = DrawnWithReplacement if self.sampling == "replacement" else Shuffled
        return kind(len(self.images), self.batch_size, world_size, rank, self.seed, self.drop_last, device)

    def _loader(self, images: Tensor, epoch: Batches, pinned: bool = False) -> DataLoader[Tensor]:
        return DataLoader(
            ImageRows(images),
            batch_size=None,  # the sampler makes whole batches
            sampler=epoch,
            num_workers=self.num_workers,
            worker_init_fn=leave_to_parent,
            pin_memory=pinned,
            persistent_workers=self.num_workers > 0,
            timeout=LONGEST_WAIT if self.num_workers else 0,
        )

    def _fits(self, device: torch.device) -> bool:
        """Whether a GPU has room for the images, and for the training besides."""
        free, _ = torch.cuda.mem_get_info(device)
        return self.images.nbytes <= SHARE_OF_CARD * free

    def fingerprint_of(self, *origin: object) -> str:
        """Hash what determines the images: their origin (plain values that JSON knows) and all that is done to them."""
        text = json.dumps([TRANSFORM_VERSION, self.height, self.width, self.channels, *origin])
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

    def refuse_enlarging(self, width: int, height: int) -> None:
        """Refuse an image size for which even the source's largest image, ``width`` x ``height``, is too small."""
        if width < self.width or height < self.height:
            raise Refusal(
                "data.image_size",
                f"[{self.height},{self.width}]" if self.height != self.width else self.height,
                f"every image would have to be enlarged: the largest is {width} wide and {height} high",
                f"data.image_size={min(width, height)} or smaller, or data.allow_upscale=true",
            )

    def _refuse_cache_in_root(self) -> None:
        if self.root is not None and self.cache_dir.is_relative_to(self.root.resolve()):
            raise Refusal(
                "data.cache_dir",
                self.cache_dir,
                f"it lies in data.root, {self.root}, into which nothing is ever written",
                "name another data.cache_dir",
            )


def _whole_number(option: str, value: object, smallest: int, example: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < smallest:
        raise Refusal(option, value, f"has to be a whole number, {smallest} or larger", f"for example {example}")
    return value


def _height_and_width(image_size: int | Sequence[int]) -> tuple[int, int]:
    sides = [image_size, image_size] if isinstance(image_size, int) else image_size
    good = isinstance(sides, Sequence) and not isinstance(sides, str) and len(sides) == 2
    if not good or not all(isinstance(side, int) and not isinstance(side, bool) and side > 0 for side in sides):
        problem = "has to be the side of a square, or [height,width], in whole pixels above 0"
        raise Refusal("data.image_size", image_size, problem, "for example data.image_size=64")
    return sides[0], sides[1]
