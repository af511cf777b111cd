"""Initial weights."""

from torch import nn


def dcgan_normal(network: nn.Module, std: float) -> None:
    """Draw the weights as the DCGAN paper does (Radford et al., arXiv:1511.06434, section 4).

    Convolutions and transposed convolutions N(0, std); BatchNorm scale N(1, std), shift 0. Biases of convolutions keep
    PyTorch's default, as in the tutorial. Drawn from torch's global generator in the order of ``network.modules()``.

    Args:
        network: initialised in place.
        std: standard deviation; the paper's is 0.02.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, 0.0, std)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, std)
            nn.init.zeros_(module.bias)
