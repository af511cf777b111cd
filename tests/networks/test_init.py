import torch

from dcgan_lightning.networks.dcgan import Discriminator, Generator
from dcgan_lightning.networks.init import dcgan_normal
from tests.reference.tutorial import NetD, NetG, weights_init


def test_draws_the_tutorials_very_weights():
    for ours, theirs in (
        (Generator(image_size=64, channels=3, latent_dim=100, width=64), NetG()),
        (Discriminator(image_size=64, channels=3, width=64), NetD()),
    ):
        torch.manual_seed(999)
        dcgan_normal(ours, std=0.02)
        torch.manual_seed(999)
        theirs.apply(weights_init)
        for value, expected in zip(ours.state_dict().values(), theirs.state_dict().values(), strict=True):
            assert torch.equal(value, expected)


def test_moments():
    torch.manual_seed(0)
    generator = Generator(image_size=64, channels=3, latent_dim=100, width=64)
    dcgan_normal(generator, std=0.02)
    weights = torch.cat([parameter.flatten() for parameter in generator.parameters() if parameter.ndim == 4])
    scales = torch.cat([module.weight for module in generator.modules() if isinstance(module, torch.nn.BatchNorm2d)])
    shifts = torch.cat([module.bias for module in generator.modules() if isinstance(module, torch.nn.BatchNorm2d)])
    # Four standard errors of the mean and of the standard deviation.
    for values, mean in ((weights, 0.0), (scales, 1.0)):
        error = 4 * 0.02 / len(values) ** 0.5
        assert abs(values.mean() - mean) < error
        assert abs(values.std() - 0.02) < error
    assert (shifts == 0).all()
