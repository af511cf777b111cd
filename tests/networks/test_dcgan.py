import pytest
import torch

from dcgan_lightning.errors import Refusal
from dcgan_lightning.networks import describe, families, rebuild
from dcgan_lightning.networks.dcgan import Discriminator, Generator, halvings
from tests.reference.tutorial import NetD, NetG
from tests.support import composed_module

SIZES = [28, 32, 48, 64, 96, 128, 256, [64, 48], [48, 64]]


def count(network):
    return sum(parameter.numel() for parameter in network.parameters())


def test_the_default_faces_network_is_the_tutorials():
    module = composed_module("model=dcgan", "data=celeba")
    assert count(module.generator) == 3_576_704
    assert count(module.discriminator) == 2_765_568


def test_the_tutorials_weights_load_strictly_and_give_the_same_images_and_logits():
    torch.manual_seed(0)
    net_g, net_d = NetG().eval(), NetD().eval()
    generator = Generator(image_size=64, channels=3, latent_dim=100, width=64).eval()
    discriminator = Discriminator(image_size=64, channels=3, width=64).eval()
    generator.load_state_dict(net_g.state_dict(), strict=True)
    discriminator.load_state_dict(net_d.state_dict(), strict=True)
    assert list(generator.state_dict()) == list(net_g.state_dict())
    assert list(discriminator.state_dict()) == list(net_d.state_dict())
    z = torch.randn(4, 100, 1, 1)
    with torch.no_grad():
        images = net_g(z)
        assert torch.equal(generator(z.flatten(1)), images)
        assert torch.equal(generator(z), images)
        assert torch.equal(discriminator(images), net_d(images))


@pytest.mark.parametrize("image_size", SIZES, ids=str)
@pytest.mark.parametrize("channels", [1, 3])
def test_every_size_trains_end_to_end(image_size, channels):
    generator = Generator(image_size=image_size, channels=channels, latent_dim=7, width=2)
    discriminator = Discriminator(image_size=image_size, channels=channels, width=3)
    images = generator(torch.randn(2, 7))
    height, width = [image_size] * 2 if isinstance(image_size, int) else image_size
    assert images.shape == (2, channels, height, width)
    assert images.abs().max() <= 1
    logits = discriminator(images)
    assert logits.shape == (2,)
    logits.sum().backward()
    assert all(parameter.grad is not None for parameter in (*generator.parameters(), *discriminator.parameters()))


@pytest.mark.parametrize("image_size", SIZES, ids=str)
def test_shapes_in_a_state_dict_tell_the_architecture(image_size):
    generator = Generator(image_size=image_size, channels=3, latent_dim=11, width=6)
    weights = generator.state_dict()
    inferred = Generator.from_state_dict(weights)
    inferred.load_state_dict(weights, strict=True)
    size = [image_size] * 2 if isinstance(image_size, int) else image_size
    assert inferred.config == {"image_size": size, "channels": 3, "latent_dim": 11, "width": 6}
    discriminator = Discriminator(image_size=image_size, channels=1, width=5)
    inferred = Discriminator.from_state_dict(discriminator.state_dict())
    inferred.load_state_dict(discriminator.state_dict(), strict=True)
    assert inferred.config == {"image_size": size, "channels": 1, "width": 5}


def test_a_state_dict_of_something_else_is_refused():
    with pytest.raises(Refusal, match="not a DCGAN generator"):
        Generator.from_state_dict({"fc.weight": torch.zeros(3, 3)})
    with pytest.raises(Refusal, match="not a DCGAN discriminator"):
        Discriminator.from_state_dict({"fc.weight": torch.zeros(3, 3)})


@pytest.mark.parametrize("image_size", [30, 1, 0, 4, 100, [64, 30], [64, 8]], ids=str)
def test_sizes_without_a_core_are_refused(image_size):
    with pytest.raises(Refusal, match=r"data\.image_size"):
        halvings(image_size)


@pytest.mark.parametrize("name", ["channels", "latent_dim", "width"])
def test_counts_have_to_be_positive(name):
    with pytest.raises(Refusal, match=name):
        Generator(**({"image_size": 64, "channels": 3, "latent_dim": 100, "width": 64} | {name: 0}))


def test_description_and_name_rebuild_a_network():
    generator = Generator(image_size=[64, 48], channels=1, latent_dim=5, width=4)
    record = describe(generator)
    assert record == {
        "family": "dcgan",
        "role": "Generator",
        "kwargs": {"image_size": [64, 48], "channels": 1, "latent_dim": 5, "width": 4},
    }
    rebuilt = rebuild(record, "Generator")
    rebuilt.load_state_dict(generator.state_dict(), strict=True)


@pytest.mark.parametrize(
    "change",
    [
        {"family": "os"},
        {"family": "init"},
        {"family": "../data/mnist"},
        {"role": "Discriminator"},
        {"kwargs": {"image_size": {"_target_": "os.system"}}},
    ],
)
def test_a_record_can_name_nothing_but_families_and_plain_values(change):
    record = describe(Generator(image_size=28, channels=1, latent_dim=5, width=4)) | change
    with pytest.raises(Refusal):
        rebuild(record, "Generator")


def test_every_module_with_networks_is_a_family():
    assert "dcgan" in families()
    assert "init" not in families()
