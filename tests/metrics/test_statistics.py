import numpy as np
import pytest
import torch

from dcgan_lightning.metrics.digits import DigitFeatures
from dcgan_lightning.metrics.random_conv import RandomConvFeatures
from dcgan_lightning.metrics.statistics import FeatureSums, cache_file, load_sums, save_sums

N, F = 10, 4


@pytest.fixture
def sums():
    x = torch.from_numpy(np.random.default_rng(0).standard_normal((N, F)))
    return FeatureSums(x.sum(0), x.T @ x, torch.tensor(N))


def test_sums_come_back_bit_for_bit_and_nothing_else_is_left(tmp_path, sums):
    path = tmp_path / "a" / "b.safetensors"
    save_sums(sums, path)
    loaded = load_sums(path, F, N)
    assert torch.equal(loaded.total, sums.total)
    assert torch.equal(loaded.outer, sums.outer)
    assert int(loaded.count) == N
    assert [file.name for file in path.parent.iterdir()] == ["b.safetensors"]


def test_what_cannot_be_trusted_is_not_loaded(tmp_path, sums):
    path = tmp_path / "b.safetensors"
    assert load_sums(path, F, N) is None
    save_sums(sums, path)
    whole = path.read_bytes()
    assert load_sums(path, F + 1, N) is None
    assert load_sums(path, F, N + 1) is None
    for damaged in (b"", whole[:-3], whole[:-1] + bytes([whole[-1] ^ 1]), b"not safetensors"):
        path.write_bytes(damaged)
        assert load_sums(path, F, N) is None


def test_another_data_set_or_network_has_another_file(tmp_path):
    digits, random_conv = DigitFeatures(), RandomConvFeatures()
    files = {cache_file(tmp_path, fingerprint, network) for fingerprint in "ab" for network in (digits, random_conv)}
    digits.weights_sha256 = "0" * 64
    files.add(cache_file(tmp_path, "a", digits))
    digits.resize = "14x14 nearest"
    files.add(cache_file(tmp_path, "a", digits))
    assert len(files) == 6
    assert all(file.parent == tmp_path / "real_statistics" for file in files)
