import hashlib
import pickle
from urllib.error import URLError

import numpy as np
import pytest
import torch
from torchmetrics.image.fid import NoTrainInceptionV3

from dcgan_lightning.errors import Refusal
from dcgan_lightning.metrics import inception
from dcgan_lightning.metrics.inception import InceptionFeatures

FILE_NAME = "weights-inception-2015-12-05-6726825d.pth"
SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """torch.hub's folder of checkpoints, empty."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    return tmp_path / "hub" / "checkpoints"


@pytest.fixture
def offline(monkeypatch):
    def fail(url, *args, **kwargs):
        raise URLError("Name or service not known")

    monkeypatch.setattr("torch.hub.urlopen", fail)


@pytest.fixture(scope="module")
def random_inception(tmp_path_factory):
    """The real network with random weights, and its file and hash."""
    with torch.device("meta"):
        shapes = inception_without_weights().state_dict()
    generator = torch.Generator().manual_seed(0)
    state = {}
    for name, tensor in shapes.items():
        if name.endswith("num_batches_tracked"):
            state[name] = torch.tensor(0)
        elif name.endswith("running_var"):
            state[name] = torch.ones(tensor.shape)
        else:
            state[name] = torch.randn(tensor.shape, generator=generator) * (2 / max(1, tensor[0].numel())) ** 0.5
    path = tmp_path_factory.mktemp("inception") / "weights.pth"
    torch.save(state, path)
    return path, hashlib.sha256(path.read_bytes()).hexdigest()


def inception_without_weights():
    """torchmetrics' network as its constructor makes it, stopped where it would download."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("torch_fidelity.feature_extractor_inceptionv3.load_state_dict_from_url", lambda *a, **k: {})
        patch.setattr(NoTrainInceptionV3, "load_state_dict", lambda self, state: None)
        return NoTrainInceptionV3("inception-v3-compat", ["2048"])


def test_offline_without_weights_names_the_file_the_folder_and_the_ways_out(hub, offline):
    with pytest.raises(Refusal) as refusal:
        InceptionFeatures(weights_path=None, weights_sha256=SHA256)
    message = str(refusal.value)
    for part in (
        FILE_NAME,
        str(hub),
        "Name or service not known",
        "metrics.features.weights_path=",
        "metrics=fid_random",
    ):
        assert part in message
    assert list(hub.iterdir()) == []


def test_a_missing_file_is_refused(hub, tmp_path):
    with pytest.raises(Refusal, match=r"there is no file other\.pth in the folder"):
        InceptionFeatures(weights_path=str(tmp_path / "other.pth"), weights_sha256=SHA256)


@pytest.mark.parametrize("given", [True, False])
def test_a_file_with_another_hash_is_never_unpickled(hub, tmp_path, given):
    hub.mkdir(parents=True)
    bomb = tmp_path / "bomb.pth" if given else hub / FILE_NAME
    bomb.write_bytes(pickle.dumps(Bomb(tmp_path / "exploded")))
    found = hashlib.sha256(bomb.read_bytes()).hexdigest()
    with pytest.raises(Refusal, match=f"should be {SHA256}, and is {found}") as refusal:
        InceptionFeatures(weights_path=str(bomb) if given else None, weights_sha256=SHA256)
    assert str(bomb) in str(refusal.value)
    assert not (tmp_path / "exploded").exists()


def test_a_file_with_the_right_hash_executes_nothing_either(hub, tmp_path):
    bomb = tmp_path / "bomb.pth"
    torch.save({"fc.weight": Bomb(tmp_path / "exploded")}, bomb)
    sha256 = hashlib.sha256(bomb.read_bytes()).hexdigest()
    with pytest.raises(Refusal, match="not a state dict"):
        InceptionFeatures(weights_path=str(bomb), weights_sha256=sha256)
    assert not (tmp_path / "exploded").exists()


def test_weights_of_another_network_are_refused(tmp_path):
    path = tmp_path / "other.pth"
    torch.save({"weight": torch.zeros(3)}, path)
    with pytest.raises(Refusal, match="not a state dict of torch-fidelity's Inception"):
        InceptionFeatures(weights_path=str(path), weights_sha256=hashlib.sha256(path.read_bytes()).hexdigest())


def test_checked_weights_load_and_give_torchmetrics_features(random_inception):
    path, sha256 = random_inception
    before = torch.get_rng_state()
    network = InceptionFeatures(weights_path=str(path), weights_sha256=sha256.upper())
    assert torch.equal(before, torch.get_rng_state())

    grey = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, 1, 32, 32), dtype=np.uint8))
    features = network(grey)
    assert features.shape == (2, 2048)
    assert not any(parameter.requires_grad for parameter in network.parameters())
    assert network.weights_sha256 == sha256

    reference = inception_without_weights()
    torch.nn.Module.load_state_dict(reference, torch.load(path, weights_only=True), strict=True)
    torch.testing.assert_close(features, reference(grey.repeat(1, 3, 1, 1)))


def test_weights_in_torch_hubs_folder_are_found_without_network(hub, offline, random_inception):
    path, sha256 = random_inception
    hub.mkdir(parents=True)
    (hub / FILE_NAME).symlink_to(path)
    assert inception.hub_file() == hub / FILE_NAME
    assert InceptionFeatures(weights_path=None, weights_sha256=sha256).num_features == 2048


class Bomb:
    """Unpickling it makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")
