"""Initial weights: each function draws those of one network in place, from torch's global generator."""

from torch import nn


def dcgan_normal(network: nn.Module, std: float) -> None:
    """Draw the weights as the DCGAN paper does (Radford et al., arXiv:1511.06434, section 4).

    Convolutions and transposed convolutions N(0, std); BatchNorm scale N(1, std), shift 0. Biases of convolutions keep
    PyTorch's default, as in the tutorial. Drawn in the order of ``network.modules()``.

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


def pytorch_default(network: nn.Module) -> None:
    """Keep what PyTorch drew when the layers were made: uniform within 1 / sqrt(fan in), BatchNorm at 1 and 0."""


def keras_normal(network: nn.Module, std: float) -> None:
    """Draw the weights as the guide to GAN failure modes has Keras draw them.

    Weights N(0, std), biases 0. A dense layer with one output, D's last, is not given an initialiser there and so has
    Keras's default: Glorot's uniform (Glorot and Bengio, AISTATS 2010, equation 16). BatchNorm stays at 1 and 0.

    Args:
        network: initialised in place.
        std: standard deviation; the guide's is 0.02.
    """
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            if isinstance(module, nn.Linear) and module.out_features == 1:
                nn.init.xavier_uniform_(module.weight)
            else:
                nn.init.normal_(module.weight, 0.0, std)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
