import copy

import pytest
import torch

from dcgan_lightning.networks.dcgan import Generator
from dcgan_lightning.sampling import NonFiniteImagesError, eval_mode, sample_images


@pytest.fixture
def generator():
    torch.manual_seed(0)
    return Generator(image_size=28, channels=1, latent_dim=8, width=4)


def test_sampling_leaves_mode_statistics_and_gradients_alone(generator):
    generator.main[1].eval()  # a mixture of modes, to be restored as it was
    modes = [module.training for module in generator.modules()]
    state = copy.deepcopy(generator.state_dict())
    images = sample_images(generator, torch.randn(5, 8))
    assert (images.shape, images.dtype) == ((5, 1, 28, 28), torch.uint8)
    assert [module.training for module in generator.modules()] == modes
    assert all(torch.equal(value, state[name]) for name, value in generator.state_dict().items())
    assert all(parameter.grad is None for parameter in generator.parameters())


def test_the_mode_is_restored_after_an_exception(generator):
    with pytest.raises(RuntimeError, match="passing"), eval_mode(generator):  # noqa: PT012
        assert not generator.training
        raise RuntimeError("passing")
    assert generator.training


def test_images_do_not_depend_on_their_batch(generator):
    z = torch.randn(9, 8)
    together, alone = sample_images(generator, z), torch.cat([sample_images(generator, row[None]) for row in z])
    assert (together.int() - alone.int()).abs().max() <= 1


@pytest.mark.parametrize("poison", [float("nan"), float("inf")])
def test_images_that_are_not_finite_are_an_error(generator, poison):
    with torch.no_grad():
        generator.main[0].weight[0] = poison
    with pytest.raises(NonFiniteImagesError, match="3 of 3"):
        sample_images(generator, torch.ones(3, 8))
