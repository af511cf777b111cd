from itertools import chain
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lightning.pytorch import LightningModule, Trainer

from dcgan_lightning.data import ImageDataModule
from dcgan_lightning.data.batches import DrawnWithReplacement
from dcgan_lightning.errors import Refusal
from tests.support import Images, some_images

OPTIONS = {
    "root": None,
    "image_size": [1, 2],
    "channels": 1,
    "batch_size": 4,
    "sampling": "shuffle",
    "drop_last": False,
    "num_workers": 0,
    "cache_dir": None,
    "seed": 0,
    "digit": None,
}


class Numbered(ImageDataModule):
    """Images that are their own number."""

    count = 10

    def load(self):
        numbers = torch.arange(self.count)
        return torch.stack([numbers // 256, numbers % 256], 1).to(torch.uint8).view(-1, 1, 1, 2), "numbered"


def numbered(count, rank=0, world_size=1, **changes):
    module = Numbered(**{**OPTIONS, **changes})
    module.count = count
    module.setup()
    strategy = SimpleNamespace(root_device=torch.device("cpu"))
    module.trainer = SimpleNamespace(world_size=world_size, global_rank=rank, strategy=strategy, global_step=0)
    return module


def numbers(batch):
    high, low = batch.long().flatten(1).unbind(1)
    return (high * 256 + low).tolist()


def epoch(loader, number=0):
    loader.sampler.set_epoch(number)
    return [numbers(batch) for batch in loader]


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 300), st.integers(1, 8), st.integers(1, 5), st.booleans(), st.integers(0, 3), st.integers(0, 5))
def test_ranks_deal_out_the_batches_of_one_device(count, batch_size, world_size, drop_last, number, seed):
    """Global batch k of W ranks is rows [kBW, (k+1)BW) of the permutation; rank r has rows r::W of it."""
    how = {"drop_last": drop_last, "seed": seed}
    one = epoch(numbered(count, batch_size=batch_size * world_size, **how).train_dataloader(), number)
    ranks = [
        epoch(numbered(count, rank, world_size, batch_size=batch_size, **how).train_dataloader(), number)
        for rank in range(world_size)
    ]
    if drop_last:
        one = [batch for batch in one if len(batch) == batch_size * world_size]
    assert [len(batches) for batches in ranks] == [len(one)] * world_size
    for k, whole in enumerate(one):
        repeated = -len(whole) % world_size
        expected = whole + (list(chain(*one)) * world_size)[:repeated]
        for rank in range(world_size):
            assert ranks[rank][k] == expected[rank::world_size]


@pytest.mark.parametrize("workers", [0, 2])
def test_an_epoch_has_every_image_once_in_an_order_of_its_own(workers):
    loader = numbered(301, num_workers=workers).train_dataloader()
    first, second = epoch(loader, 0), epoch(loader, 1)
    assert [len(batch) for batch in first] == [4] * 75 + [1]
    assert sorted(chain(*first)) == sorted(chain(*second)) == list(range(301))
    assert first != second
    assert first == epoch(numbered(301).train_dataloader(), 0)
    assert first != epoch(numbered(301, seed=1).train_dataloader(), 0)


def test_a_batch_is_uint8_without_labels():
    batch = next(iter(numbered(10).train_dataloader()))
    assert (batch.dtype, batch.shape, batch.is_contiguous()) == (torch.uint8, (4, 1, 1, 2), True)


def test_images_are_kept_as_convolutions_want_them(tmp_path):
    images = some_images(20, channels=3)
    data = Images(images, 4, tmp_path)
    data.setup()
    assert torch.equal(data.images, images)
    for batch in data.train_dataloader():
        assert batch.is_contiguous(memory_format=torch.channels_last)


def test_lightning_keeps_the_sampler_and_tells_it_the_epoch():
    seen = []

    class Watch(LightningModule):
        automatic_optimization = False

        def training_step(self, batch, batch_idx):
            seen.append(numbers(batch))

        def configure_optimizers(self):
            return None

    quiet = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    Trainer(max_epochs=2, accelerator="cpu", **quiet).fit(Watch(), datamodule=Numbered(**OPTIONS))
    loader = numbered(10).train_dataloader()
    assert seen == epoch(loader, 0) + epoch(loader, 1)


def test_real_images_are_the_same_in_every_run():
    module = numbered(300)
    shown = numbers(module.real_images(64))
    assert shown == numbers(numbered(300).real_images(64))
    assert shown[:10] == numbers(module.real_images(10))
    assert len(set(shown)) == 64
    assert shown != sorted(shown)
    assert sorted(numbers(module.real_images(1000))) == list(range(300))


def test_fewer_images_than_a_global_batch_are_refused():
    numbered(8).refuse_small_set(2)
    with pytest.raises(Refusal, match=r"data.batch_size=4: .*4 images on each of 3 devices.*only 10") as refusal:
        numbered(10).refuse_small_set(3)
    assert "data.batch_size=3" in refusal.value.remedy


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("image_size", 0),
        ("image_size", [64]),
        ("image_size", [64, 48, 3]),
        ("image_size", [64, -1]),
        ("image_size", "64"),
        ("image_size", 64.5),
        ("image_size", True),
        ("channels", 2),
        ("channels", 4),
        ("channels", True),
        ("batch_size", 0),
        ("batch_size", -1),
        ("batch_size", 2.5),
        ("num_workers", -1),
    ],
)
def test_values_that_cannot_work_are_refused(option, value):
    with pytest.raises(Refusal) as refusal:
        Numbered(**{**OPTIONS, option: value})
    assert refusal.value.option == f"data.{option}"
    assert f"data.{option}" in refusal.value.remedy


def test_a_cache_in_the_root_is_refused(tmp_path):
    with pytest.raises(Refusal, match=r"data\.cache_dir"):
        Numbered(**{**OPTIONS, "root": str(tmp_path), "cache_dir": str(tmp_path / "cache")})


def test_cache_dir_defaults_to_the_users(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Numbered(**OPTIONS).cache_dir.name == "dcgan_lightning"
    assert Numbered(**{**OPTIONS, "cache_dir": "~/here"}).cache_dir == tmp_path / "here"


def test_sampling_is_one_of_two(tmp_path):
    images = some_images(20)
    with pytest.raises(Refusal, match=r"data\.sampling=often: there is shuffle, replacement"):
        Images(images, 4, tmp_path, sampling="often")
    data = Images(images, 4, tmp_path, sampling="replacement")
    data.setup()
    assert isinstance(data.train_dataloader().sampler, DrawnWithReplacement)


@pytest.mark.parametrize("sampling", ["shuffle", "replacement"])
def test_images_on_a_card_give_the_same_batches(monkeypatch, sampling):
    """The card is played by the CPU: what is there counts as moved, and the indices follow it."""
    there = numbered(301, sampling=sampling).train_dataloader()
    module = numbered(301, sampling=sampling)
    module.trainer.strategy.root_device = torch.device("cuda", 0)
    moved = []
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (2 * module.images.nbytes, 10**12))
    monkeypatch.setattr(torch.Tensor, "to", lambda self, device: moved.append((len(self), device)) or self)
    loader = module.train_dataloader()
    assert not loader.pin_memory
    assert epoch(loader, 3) == epoch(there, 3)
    assert moved == [(301, torch.device("cuda", 0))] * 2  # the images once, and the indices of the epoch


def test_images_stay_where_a_card_has_no_room_or_workers_gather(monkeypatch):
    def there(module, free):
        module.trainer.strategy.root_device = torch.device("cuda", 0)
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, 10**12))
        loader = module.train_dataloader()
        return loader.dataset.images is module.images and loader.pin_memory

    module = numbered(300)
    assert there(module, free=2 * module.images.nbytes - 1)
    assert there(numbered(300, num_workers=2), free=10**12)
