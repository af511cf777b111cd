import atexit
import csv
import math

import numpy as np
import pytest
import scipy.linalg
import torch
from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer
from lightning.pytorch.loggers import CSVLogger
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from dcgan_lightning import sampling
from dcgan_lightning.callbacks.fid import COLUMNS, FID
from dcgan_lightning.errors import Refusal
from dcgan_lightning.finite import NonFiniteError
from dcgan_lightning.images import to_uint8
from dcgan_lightning.metrics.digits import DigitFeatures
from dcgan_lightning.metrics.random_conv import RandomConvFeatures
from dcgan_lightning.noise import sample_latents
from dcgan_lightning.sampling import NonFiniteImagesError, sample_images

SAMPLES, REAL, SEED = 250, 300, 7


class Generator(nn.Module):
    latent_dim = 5

    def __init__(self):
        super().__init__()
        self.main = nn.Sequential(nn.Linear(5, 49), nn.BatchNorm1d(49), nn.ReLU(), nn.Linear(49, 784), nn.Tanh())

    def forward(self, z):
        return self.main(z).view(-1, 1, 28, 28)


class TinyModule(LightningModule):
    """Moves a generator a little in each iteration, with dropout, so that the global random state matters."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        np.random.seed(0)
        self.generator = Generator()
        self.synced = 0

    def sync_buffers(self):
        self.synced += 1
        if self.trainer.world_size > 1:
            for buffer in self.buffers():
                torch.distributed.broadcast(buffer, src=0)

    def training_step(self, batch, batch_idx):
        z = torch.randn(8, 5) + torch.from_numpy(np.random.standard_normal((8, 5))).float()
        return nn.functional.dropout(self.generator(z)).square().mean()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


class Data(LightningDataModule):
    def __init__(self, cache_dir, n=REAL, channels=1, fingerprint="abc"):
        super().__init__()
        rng = np.random.default_rng(1)
        blocks = np.kron(rng.integers(0, 256, (n, channels, 7, 7)), np.ones((4, 4)))
        self.images = torch.from_numpy(blocks.astype(np.uint8))
        self.cache_dir, self.fingerprint = cache_dir, fingerprint

    def train_dataloader(self):
        return DataLoader(TensorDataset(self.images), batch_size=8)


class RecordingLogger(CSVLogger):
    def __init__(self, folder):
        super().__init__(folder)
        self.logged = []

    def log_metrics(self, metrics, step):
        self.logged.extend((step, value) for value in metrics.values())


def make_fid(features=None, every=2, num_samples=SAMPLES):
    features = DigitFeatures() if features is None else features
    return FID(features=features, every=every, num_samples=num_samples, batch_size=64, seed=SEED)


def fit(folder, fid, iterations=5, cache=None, data=None, module=None, callbacks=(), **kwargs):
    module = TinyModule() if module is None else module
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False}
    trainer = Trainer(
        **{"accelerator": "cpu", "devices": 1, "logger": False} | quiet | kwargs,
        max_steps=iterations,
        default_root_dir=folder,
        callbacks=[*([fid] if fid else []), *callbacks],
    )
    trainer.fit(module, datamodule=data or Data(cache or folder / "cache"))
    return trainer


def rows(folder):
    with (folder / "fid.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def frechet(a, b):
    """Heusel et al. (2017), equation 6, in float64 with scipy's matrix square root; (N, F) and (M, F) features."""
    a, b = a.double().numpy(), b.double().numpy()
    cov_a, cov_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    jitter = 1e-9 * np.eye(len(cov_a))  # the square root of a singular matrix need not exist
    root = scipy.linalg.sqrtm((cov_a + jitter) @ (cov_b + jitter)).real
    return float(np.sum((a.mean(0) - b.mean(0)) ** 2) + np.trace(cov_a + cov_b - 2 * root))


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("network", [DigitFeatures, RandomConvFeatures])
def test_value_equals_an_independent_computation_from_the_same_features(tmp_path, network):
    fid, module, data = make_fid(network()), TinyModule(), Data(tmp_path)
    fit(tmp_path, fid, module=module, data=data)
    features = network()
    fakes = sample_images(module.generator, sample_latents(SEED, "fid", 0, SAMPLES, 5))
    expected = frechet(features(data.images), features(fakes))
    assert fid.last == (pytest.approx(expected, rel=1e-3), 5)


def test_identical_sets_have_distance_zero(tmp_path):
    data, module = Data(tmp_path), TinyModule()
    fit(tmp_path / "a", None, module=module, data=data)
    data.images = sample_images(module.generator, sample_latents(SEED, "fid", 0, SAMPLES, 5))
    module.configure_optimizers = lambda: torch.optim.SGD(module.parameters(), lr=0.0)
    module.generator.main[1].momentum = 0.0
    fid = make_fid()
    fit(tmp_path / "b", fid, module=module, data=data, iterations=1)
    assert abs(fid.last[0]) < 1e-4


def test_rows_scalars_best_and_the_iterations_they_belong_to(tmp_path):
    seen, fid = {}, make_fid()

    class Watch(Callback):
        def on_train_batch_end(self, trainer, pl_module, *args):
            seen[trainer.global_step] = (fid.improved(trainer.global_step), trainer.callback_metrics.get("fid/digits"))

    logger = RecordingLogger(tmp_path)
    trainer = fit(tmp_path, fid, callbacks=[Watch()], logger=logger)
    table = rows(tmp_path)
    assert tuple(table[0]) == COLUMNS
    assert [row["iteration"] for row in table] == ["2", "4", "5"]
    values = [float(row["value"]) for row in table]
    assert all(math.isfinite(value) for value in values)
    network = DigitFeatures()
    for row in table:
        assert row["tag"] == "fid/digits"
        assert (row["samples_real"], row["samples_fake"]) == (str(REAL), str(SAMPLES))
        assert (row["network"], row["resize"]) == (network.name, network.resize)
        assert row["weights_sha256"] == network.weights_sha256
    assert [(step, pytest.approx(value)) for step, value in zip([2, 4, 5], values, strict=True)] == logger.logged
    assert fid.last == (pytest.approx(values[-1]), 5)
    assert fid.best == (pytest.approx(min(values)), [2, 4, 5][values.index(min(values))])
    assert seen[1] == (False, None)
    assert seen[2][0]
    assert not seen[3][0]
    assert float(trainer.callback_metrics["fid/digits"]) == pytest.approx(values[-1])
    assert trainer.lightning_module.synced == 3


def test_an_iteration_is_evaluated_once(tmp_path):
    fit(tmp_path, make_fid(), iterations=4)
    assert [row["iteration"] for row in rows(tmp_path)] == ["2", "4"]


def test_training_is_the_same_with_and_without(tmp_path):
    def weights_and_random_states(name, fid):
        module = TinyModule()
        torch.manual_seed(1)
        np.random.seed(1)
        fit(tmp_path / name, fid, module=module)
        assert all(layer.training for layer in module.generator.modules())
        return module.state_dict(), torch.get_rng_state(), np.random.get_state()[1]

    (without, torch_a, numpy_a), (with_fid, torch_b, numpy_b) = (
        weights_and_random_states(name, fid) for name, fid in (("a", None), ("b", make_fid()))
    )
    assert all(torch.equal(without[key], with_fid[key]) for key in without)
    assert torch.equal(torch_a, torch_b)
    assert np.array_equal(numpy_a, numpy_b)


def test_none_does_nothing(tmp_path):
    fid = FID(features=None, every=2, num_samples=SAMPLES, batch_size=64, seed=SEED)
    fit(tmp_path, fid)
    assert fid.best is None
    assert not (tmp_path / "fid.csv").exists()


def test_real_features_are_computed_once_for_each_data_set(tmp_path):
    def judged(fingerprint):
        features, counts = DigitFeatures(), []
        features.register_forward_hook(lambda module, args, output: counts.append(len(output)))
        fit(tmp_path / fingerprint, make_fid(features), data=Data(tmp_path / "cache", fingerprint=fingerprint))
        return sum(counts)

    assert judged("a") == REAL + 3 * SAMPLES
    assert judged("a") == 3 * SAMPLES
    assert judged("b") == REAL + 3 * SAMPLES
    for file in (tmp_path / "cache" / "real_statistics").iterdir():
        file.write_bytes(file.read_bytes()[:-8])
    assert judged("a") == REAL + 3 * SAMPLES
    values = [row["value"] for row in rows(tmp_path / "a")]
    assert values == values[:3] * 3


def test_a_cache_that_cannot_be_written_is_said_and_survived(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.warns(UserWarning, match="could not be kept"):
        fit(tmp_path, make_fid(), cache=tmp_path / "file")
    assert len(rows(tmp_path)) == 3


def test_a_generator_that_emits_nan_stops_the_run_with_a_clear_error(tmp_path):
    module = TinyModule()
    with torch.no_grad():
        module.generator.main[3].bias[0] = math.nan
    with pytest.raises(NonFiniteImagesError, match="not finite"):
        fit(tmp_path, make_fid(), module=module)
    assert not (tmp_path / "fid.csv").exists()


class Spoilt(DigitFeatures):
    """Features with NaN in them from a given image on; real images come first."""

    def __init__(self, first):
        super().__init__()
        self.first, self.seen = first, []

    def extract(self, images):
        features = super().extract(images)
        begin = sum(len(batch) for batch in self.seen)
        self.seen.append(images)
        if begin <= self.first < begin + len(features):
            features[self.first - begin, 3] = math.nan
        return features


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("row", [0, SAMPLES - 1])
def test_an_image_that_is_not_finite_is_no_byte_and_never_judged(tmp_path, monkeypatch, value, row):
    """One of all: torchmetrics would take what NaN becomes as uint8 for a pixel, and give a plausible number."""
    module, bytes_made, made = TinyModule(), [], []

    def spoils(network, args, images):
        if not network.training:
            begin = sum(made)
            made.append(len(images))
            if begin <= row < begin + len(images):
                images = images.clone()
                images[row - begin, 0, 5, 5] = value
        return images

    module.generator.register_forward_hook(spoils)
    monkeypatch.setattr(sampling, "to_uint8", lambda images: bytes_made.append(images) or to_uint8(images))
    fid = make_fid(features := Spoilt(first=10**9))
    with pytest.raises(NonFiniteImagesError, match=r"1 of \d+ generated images are not finite"):
        fit(tmp_path, fid, module=module)
    assert sum(made) >= row
    assert sum(map(len, features.seen)) == REAL + row // 64 * 64  # those of the batches before
    assert all(images.isfinite().all() for images in bytes_made)
    assert fid.last is None
    assert not (tmp_path / "fid.csv").exists()


@pytest.mark.parametrize(("first", "images"), [(0, "real"), (REAL - 1, "real"), (REAL + 5, "generated")])
def test_features_that_are_not_finite_are_said_and_their_sums_never_used_again(tmp_path, first, images):
    with pytest.raises(NonFiniteError, match=f"the features of {images} images are not finite"):
        fit(tmp_path, make_fid(Spoilt(first)))
    assert not (tmp_path / "fid.csv").exists()
    sound = make_fid(features := Spoilt(first=10**9))
    fit(tmp_path, sound, iterations=1)
    assert math.isfinite(sound.last[0])
    assert sum(map(len, features.seen)) == SAMPLES + (REAL if images == "real" else 0)


def test_real_images_are_bytes_or_an_error(tmp_path):
    data = Data(tmp_path)
    data.images = data.images.float()
    data.images[7, 0, 3, 3] = math.nan
    with pytest.raises(TypeError, match="uint8"):
        fit(tmp_path, make_fid(), data=data)


def test_the_best_survives_in_a_checkpoint_and_no_feature_network_is_in_it(tmp_path):
    fid = make_fid()
    trainer = fit(tmp_path, fid, enable_checkpointing=True)
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    checkpoint = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert not any("classifier" in key for key in checkpoint["state_dict"])
    resumed = make_fid()
    resumed.load_state_dict(checkpoint["callbacks"][fid.state_key])
    assert resumed.best == fid.best
    assert not resumed.improved(fid.best[1])
    unused = make_fid()
    unused.load_state_dict(make_fid().state_dict())
    assert unused.best is None


def test_what_has_to_be_known_about_the_numbers_is_said(tmp_path, capsys):
    with pytest.warns(UserWarning, match="250 images cannot span 416 features"):
        fit(tmp_path, make_fid(RandomConvFeatures()), iterations=1)
    assert capsys.readouterr().out.count("only with other values of this tag") == 1


@pytest.mark.parametrize(("n", "channels", "option"), [(1, 1, r"data="), (9, 4, r"data\.channels=4")])
def test_data_without_an_fid_are_refused_before_training(tmp_path, n, channels, option):
    with pytest.raises(Refusal, match=option):
        fit(tmp_path, make_fid(), data=Data(tmp_path, n=n, channels=channels))


@pytest.mark.parametrize("option", ["every", "num_samples", "batch_size"])
def test_impossible_options_are_refused(option):
    arguments = {"features": None, "every": 1, "num_samples": 2, "batch_size": 1, "seed": 0} | {option: 0}
    with pytest.raises(Refusal, match=rf"callbacks\.fid\.{option}=0"):
        FID(**arguments)


@pytest.mark.slow
def test_two_ranks_find_the_value_of_one(tmp_path):
    """Frozen weights, so that nothing but the ranks differs; numbers that two ranks cannot share evenly."""
    table = {}
    for name, ranks in (("one", {}), ("two", {"devices": 2, "strategy": "ddp_spawn"})):
        fid, data = make_fid(num_samples=251), Data(tmp_path / name, n=301)
        fit(tmp_path / name, fid, module=FrozenModule(), iterations=2, data=data, **ranks)
        (table[name],) = rows(tmp_path / name)
    one, two = table["one"], table["two"]
    assert float(two["value"]) == pytest.approx(float(one["value"]), rel=1e-6)
    assert [(row["samples_real"], row["samples_fake"]) for row in (one, two)] == [("301", "251")] * 2


@pytest.mark.slow
def test_nan_on_one_rank_stops_both(tmp_path):
    with pytest.raises(Exception, match="not finite"):
        fit(tmp_path, make_fid(), module=NanOnRankOne(), iterations=2, devices=2, strategy="ddp_spawn")


class FrozenModule(TinyModule):
    def on_fit_start(self):
        # The threads of a process group that is still there when its process ends may abort it.
        atexit.register(lambda: torch.distributed.is_initialized() and torch.distributed.destroy_process_group())

    def training_step(self, batch, batch_idx):
        return sum(parameter.sum() for parameter in self.parameters())

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.0)


class NanOnRankOne(FrozenModule):
    def on_train_start(self):
        if self.global_rank == 1:
            with torch.no_grad():
                self.generator.main[3].bias[0] = math.nan
