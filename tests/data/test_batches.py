"""The fast way to a batch against the plain one: torch's own samplers and an image at a time."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import BatchSampler
from torch.utils.data.distributed import DistributedSampler

from dcgan_lightning.data.batches import DrawnWithReplacement, ImageRows, Shuffled
from tests.support import some_images

CPU = torch.device("cpu")


@settings(max_examples=60, deadline=None)
@given(
    size=st.integers(1, 400),
    batch_size=st.integers(1, 50),
    world_size=st.integers(1, 9),
    drop_last=st.booleans(),
    epoch=st.integers(0, 5),
    seed=st.integers(0, 2**32 - 1),
)
def test_the_order_is_that_of_torchs_distributed_sampler(size, batch_size, world_size, drop_last, epoch, seed):
    for rank in range(world_size):
        plain = DistributedSampler(range(size), world_size, rank, shuffle=True, seed=seed, drop_last=drop_last)
        plain.set_epoch(epoch)
        fast = Shuffled(size, batch_size, world_size, rank, seed, drop_last, CPU)
        fast.set_epoch(epoch)
        batches = list(BatchSampler(plain, batch_size, drop_last))
        assert [batch.tolist() for batch in fast] == batches
        assert (len(fast), fast.images) == (len(batches), len(plain))


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", [np.array, torch.tensor])
def test_a_gathered_batch_is_that_of_single_images(memory_format, channels, kind):
    images = some_images(50, channels, size=6).to(memory_format=memory_format)
    indices = [7, 3, 49, 7, 0]
    batch = ImageRows(images)[kind(indices)]
    assert torch.equal(batch, torch.stack([images[index] for index in indices]))
    assert batch.is_contiguous(memory_format=memory_format)


def test_memory_mapped_images_are_gathered_without_a_copy_of_them(tmp_path):
    """What a private mapping costs is in RssAnon once it is written to; gathering only reads."""
    if not _status("RssAnon"):
        pytest.skip("this system does not tell")
    shape = (20_000, 64, 64, 3)  # 246 MB; the file has holes and takes no room
    np.lib.format.open_memmap(tmp_path / "a.npy", "w+", np.uint8, shape).flush()
    rows = ImageRows(torch.from_numpy(np.load(tmp_path / "a.npy", mmap_mode="c")).permute(0, 3, 1, 2))
    epoch = Shuffled(len(rows), 128, 1, 0, 0, False, CPU)
    before = _status("RssAnon")
    seen = sum(len(rows[indices]) for indices in epoch)
    assert seen == shape[0]
    assert _status("RssAnon") - before < 50e6


def _status(name):
    """Bytes, as the kernel accounts for this process; 0 where it does not."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.is_file() else []
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


@pytest.mark.parametrize("world_size", [1, 2, 4])
def test_draws_with_replacement_are_dealt_out_like_a_shuffle(world_size):
    alone = torch.cat([torch.tensor(batch) for batch in draws(40, 7)])
    ranks = [torch.cat([torch.tensor(batch) for batch in draws(40, 7, world_size, rank)]) for rank in range(world_size)]
    dealt = torch.stack(ranks, dim=1).flatten()
    assert dealt.tolist() == alone.tolist()[: len(dealt)]


def draws(size, batch_size, world_size=1, rank=0, epoch=2):
    sampler = DrawnWithReplacement(size, batch_size, world_size, rank, 3, False, CPU)
    sampler.set_epoch(epoch)
    return list(sampler)


def test_draws_with_replacement_come_from_all_images_and_differ_between_epochs():
    epochs = [np.concatenate(draws(2000, 128, epoch=epoch)).tolist() for epoch in range(2)]
    for indices in epochs:
        # Of n images drawn n times, a fraction 1 - 1/e is seen: 0.632, with a standard deviation of 0.007.
        assert 0.60 < len(set(indices)) / 2000 < 0.66
    assert epochs[0] != epochs[1]


@pytest.mark.parametrize("kind", [Shuffled, DrawnWithReplacement])
@pytest.mark.parametrize(("world_size", "rank"), [(1, 0), (3, 1)])
def test_a_sampler_goes_on_with_the_batch_after_the_last(kind, world_size, rank):
    def sampler():
        return kind(40, 4, world_size, rank, 5, False, CPU)

    def epochs(samples, first):
        for number in range(first, 3):
            samples.set_epoch(number)
            yield from (batch.tolist() for batch in samples)

    whole = list(epochs(sampler(), 0))
    for batches in range(len(whole)):
        resumed = sampler()
        resumed.go_on_after(batches)
        assert list(epochs(resumed, batches // len(resumed))) == whole[batches:]
