"""State dicts from files, and networks filled with them; what does not fit is named by key and shape."""

import pytest
import torch
from safetensors.torch import save_file

from dcgan_lightning.errors import Refusal
from dcgan_lightning.networks import families
from dcgan_lightning.networks.dcgan import Discriminator, Generator
from dcgan_lightning.weights import fill, network_of_weights, read_weights
from tests.reference.tutorial import NetD, NetG
from tests.support import CONF, composed_module


def small(width=4):
    return Generator(image_size=64, channels=3, latent_dim=10, width=width)


def written(folder, weights, suffix=".pth"):
    file = folder / f"weights{suffix}"
    (torch.save if suffix == ".pth" else save_file)(weights, file)
    return str(file)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_weights_come_back_bit_by_bit_without_the_prefix_of_data_parallel(tmp_path, suffix, prefix):
    theirs, ours = NetG(10, 4, 3).state_dict(), small()
    path = written(tmp_path, {prefix + key: value for key, value in theirs.items()}, suffix)
    fill(ours, read_weights("model.generator_weights", path), "model.generator_weights", path)
    for key, value in ours.state_dict().items():
        assert torch.equal(value, theirs[key]), key


def test_a_prefix_that_not_all_keys_have_is_part_of_the_key(tmp_path):
    path = written(tmp_path, {"module.a": torch.zeros(1), "b": torch.zeros(1)})
    assert list(read_weights("weights", path)) == ["module.a", "b"]


def test_a_filled_network_keeps_its_memory_format_dtype_and_gradients(tmp_path):
    ours = small().to(memory_format=torch.channels_last)
    half = {key: value.half() for key, value in NetG(10, 4, 3).state_dict().items()}
    fill(ours, half, "weights", "half.pth")
    for parameter in ours.parameters():
        assert parameter.dtype == torch.float32
        assert parameter.requires_grad
        assert parameter.ndim != 4 or parameter.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(ours.main[0].weight, half["main.0.weight"].float())


def test_weights_older_than_batchnorms_counter_are_taken():
    theirs = NetG(10, 4, 3).state_dict()
    old = {key: value for key, value in theirs.items() if not key.endswith("num_batches_tracked")}
    ours = small()
    fill(ours, old, "weights", "old.pth")
    assert torch.equal(ours.main[12].weight, theirs["main.12.weight"])


def test_a_mismatch_names_the_first_keys_and_shapes_that_differ():
    theirs = NetG(10, 8, 3).state_dict()
    del theirs["main.0.weight"]
    theirs["fc.weight"] = torch.zeros(3, 4)
    ours = small()
    before = {key: value.clone() for key, value in ours.state_dict().items()}
    with pytest.raises(Refusal) as refusal:
        fill(ours, theirs, "model.generator_weights", "g.pth")
    message = str(refusal.value)
    assert message.startswith(
        "model.generator_weights=g.pth: main.0.weight (10, 32, 4, 4) is missing in the file; "
        "main.1.weight is (64,) in the file and (32,) in the network; "
        "main.1.bias is (64,) in the file and (32,) in the network; "
        "fc.weight (3, 4) is not in the network; "
    )
    # 5 convolutions and 4 BatchNorms of 4 tensors that have widths, one of which is left out above; 3 + 1 are shown.
    assert f"; {5 + 16 - 3} more\n" in message
    for key, value in ours.state_dict().items():
        assert torch.equal(value, before[key]), key


def test_a_discriminator_is_built_from_the_shapes_of_the_tutorials(tmp_path):
    torch.manual_seed(0)
    net_d = NetD(3, 6).eval()
    ours = network_of_weights("Discriminator", "discriminator_weights", written(tmp_path, net_d.state_dict()), "dcgan")
    assert ours.config == Discriminator(image_size=[64, 64], channels=3, width=6).config
    images = torch.rand(3, 3, 64, 64) * 2 - 1
    with torch.no_grad():
        assert torch.equal(ours(images), net_d(images))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({}, "is empty"),
        ({"epoch": 3, "net": {"a": torch.zeros(1)}}, r"more than tensors \(epoch, net\)"),
        (torch.zeros(3), "holds no names"),
    ],
)
def test_what_is_no_state_dict_is_refused(tmp_path, content, words):
    path = written(tmp_path, content)
    with pytest.raises(Refusal, match=words) as refusal:
        read_weights("model.generator_weights", path)
    assert refusal.value.option == "model.generator_weights"


def test_a_file_that_is_not_there_or_cannot_be_read_is_refused(tmp_path):
    with pytest.raises(Refusal, match="no such file"):
        read_weights("weights", str(tmp_path / "none.pth"))
    for suffix in (".pth", ".safetensors"):
        broken = tmp_path / f"broken{suffix}"
        broken.write_bytes(b"not weights at all")
        with pytest.raises(Refusal, match="cannot be read"):
            read_weights("weights", str(broken))


@pytest.mark.parametrize("family", families())
@pytest.mark.parametrize("role", ["Generator", "Discriminator"])
@pytest.mark.parametrize(
    "weights",
    [
        NetG(8, 4, 3).state_dict(),
        NetD(3, 4).state_dict(),
        {f"{name}.{i}.weight": torch.zeros(2) for name in ("main", "model") for i in range(14)},
        {f"{name}.{i}.weight": torch.zeros(0, 5, 0, 2) for name in ("main", "model") for i in range(14)},
        {f"{name}.{i}.weight": torch.zeros(7, 11) for name in ("main", "model") for i in range(14)},
    ],
    ids=["tutorial's G", "tutorial's D", "vectors", "nothing", "matrices"],
)
def test_the_weights_of_something_else_are_refused_under_the_option_that_names_them(tmp_path, family, role, weights):
    path = written(tmp_path, weights)
    option = {"Generator": "weights", "Discriminator": "discriminator_weights"}[role]
    if family == "dcgan" and weights.keys() == {"Generator": NetG(), "Discriminator": NetD()}[role].state_dict().keys():
        assert network_of_weights(role, option, path, family).config["image_size"] == [64, 64]
        return
    with pytest.raises(Refusal) as refusal:
        network_of_weights(role, option, path, family)
    assert refusal.value.option == option


@pytest.mark.parametrize("model", [path.stem for path in sorted(CONF.glob("model/*.yaml"))])
def test_every_model_comes_back_from_its_state_dicts(tmp_path, model):
    narrow = ("model.generator.width=4", "model.discriminator.width=4")
    module = composed_module(f"model={model}", "data=mnist", "data.image_size=48", *narrow)
    family = type(module.generator).__module__.rpartition(".")[2]
    for role, network in (("Generator", module.generator), ("Discriminator", module.discriminator)):
        again = network_of_weights(role, "weights", written(tmp_path, network.state_dict()), family)
        assert not again.training
        assert list(again.state_dict()) == list(network.state_dict())
        for key, value in again.state_dict().items():
            assert torch.equal(value, network.state_dict()[key]), key
