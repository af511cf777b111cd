"""What CelebA and folders of images have in common: sources of image files, decoded into the cache."""

import os
import sys
import zipfile
from abc import abstractmethod
from collections import Counter
from collections.abc import Sequence

from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor

from dcgan_lightning.data.cache import ImageCache
from dcgan_lightning.data.classes import Classes
from dcgan_lightning.data.decode import upright_size
from dcgan_lightning.data.module import ImageDataModule, Sampling
from dcgan_lightning.data.sources import GONE, Entry, Folder, Source
from dcgan_lightning.data.unfinished import Recipe, Report
from dcgan_lightning.data.unpacked import Missing, not_unpacked
from dcgan_lightning.errors import Refusal

SHOWN = 20  # bad files named in one message


class FileDataModule(ImageDataModule):
    """Base of the data sets that are made of image files. They are scaled to cover the image size, then cropped.

    Args:
        skip_bad_files: train without the files that cannot be decoded, or are missing from a set that was not wholly
            unpacked, and say which; else they are refused.
        allow_upscale: accept an image size that is larger than every image.
        others: see :class:`ImageDataModule`.
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
        skip_bad_files: bool,
        allow_upscale: bool,
    ) -> None:
        super().__init__(
            root, image_size, channels, batch_size, sampling, drop_last, num_workers, cache_dir, seed, digit
        )
        self.skip_bad_files = skip_bad_files
        self.allow_upscale = allow_upscale
        self.recipe = Recipe(self.height, self.width, channels)

    @abstractmethod
    def find_source(self) -> Source:
        """The place with the image files; Refusal where there is none."""

    def select(self, entries: list[Entry]) -> list[Entry]:
        """The files to train on; all of them, unless a subclass knows classes."""
        return entries

    def find_missing(self, source: Source, names: set[str]) -> Missing:
        """Files that should be there, besides ``names``, and are not: what is left of an archive to unpack."""
        if not isinstance(source, Folder):
            return {}
        missing, unreadable = not_unpacked(source.path, names)
        for sentence in unreadable:
            _say(sentence)
        return missing

    def load(self) -> tuple[Tensor, str]:
        """See :meth:`ImageDataModule.load`; memory-mapped from the cache."""
        source = self.find_source()
        listed = self._list(source)
        missing = self.find_missing(source, {entry.name for entry in listed})
        selected = self.select(listed + [Entry(name, GONE, 0) for name in missing])
        entries = [entry for entry in selected if entry.name not in missing]
        missing = {entry.name: missing[entry.name] for entry in selected if entry.name in missing}
        key = self.fingerprint_of(str(source.path.resolve()), entries)
        names = [entry.name for entry in entries]
        cache = ImageCache(self.cache_dir / "images")
        found = cache.load(key, self.recipe)
        if found is not None and any(_readable(source, name) for name in found[1].unread):
            cache.forget(key)  # permissions change without changing the listing
            found = None
        if found is None:
            self._refuse_before_decoding(source, names)
            cache.build(key, self.recipe, source, names)
            found = cache.load(key, self.recipe)
        assert found is not None, f"{cache.folder} was emptied while it was in use"
        images, report = found
        self._judge_bad_files([*missing.items(), *report.bad], len(names) + len(missing), bool(missing))
        self._judge_sizes(report)
        return images, key

    def _list(self, source: Source) -> list[Entry]:
        try:
            entries = source.entries()
        except (OSError, zipfile.BadZipFile) as error:
            remedy = "download or repair it, or name another place in data.root"
            raise Refusal("data.root", source.path, f"cannot be read: {error}", remedy) from error
        if not entries:
            raise Refusal(
                "data.root",
                source.path,
                "has no image files in it, nor below it (.jpg, .jpeg, .png, .webp, .bmp; hidden ones are not counted)",
                "name the place that the images are in",
            )
        return entries

    def _refuse_before_decoding(self, source: Source, names: list[str]) -> None:
        """Refuse, from headers alone, a size that no image reaches; the first image that reaches it ends the look."""
        if self.allow_upscale:
            return
        largest = (0, 0)
        for name in names:
            try:
                size = upright_size(source.read(name))
            except Exception:  # to be reported with the other bad files
                continue
            largest = max(largest, size, key=self._scale)
            if self._scale(largest) >= 1:
                return
        if largest != (0, 0):
            self.refuse_enlarging(*largest)

    def _scale(self, size: tuple[int, int]) -> float:
        """How many times an image of (width, height) covers what is asked for; below 1 it has to be enlarged."""
        return min(size[0] / self.width, size[1] / self.height)

    def _judge_bad_files(self, bad: list[tuple[str, str]], total: int, missing: bool) -> None:
        if not bad:
            return
        names = [f"    {_printable(name)}: {_printable(reason)}" for name, reason in bad[:SHOWN]]
        if len(bad) > SHOWN:
            names.append(f"    ... and {len(bad) - SHOWN:,} more")
        problem = f"{len(bad):,} of {total:,} files cannot be used:\n" + "\n".join(names)
        repair = "unpack the archive again, repair or remove bad files" if missing else "repair or remove them"
        if len(bad) == total:
            raise Refusal("data.root", self.root or "null", problem, f"{repair}, or name another data.root")
        if not self.skip_bad_files:
            remedy = f"{repair}, or train without them: data.skip_bad_files=true"
            raise Refusal("data.skip_bad_files", "false", problem, remedy)
        _say(f"data.skip_bad_files=true: {problem}")

    def _judge_sizes(self, report: Report) -> None:
        counts = Counter((width, height) for width, height in report.sizes)  # few sizes of many files
        small = sum(count for size, count in counts.items() if self._scale(size) < 1)
        if small == len(report.sizes) and not self.allow_upscale:
            self.refuse_enlarging(*max(counts, key=self._scale))
        if small:
            _say(f"{small} of {len(report.sizes)} images are enlarged to {self.width}x{self.height} (width x height)")


@rank_zero_only
def _say(message: str) -> None:
    print(message, file=sys.stderr)


def _readable(source: Source, name: str) -> bool:
    try:
        source.read(name)
    except Exception:
        return False
    return True


def _printable(text: str) -> str:
    """A name or a reason on one line, in any script, but with nothing in it that a terminal would obey."""
    text = os.fsencode(text).decode("utf-8", "backslashreplace")  # bytes that are no UTF-8
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
