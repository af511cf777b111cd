"""The arithmetic of one iteration, counted from the layers, and what the machine does at best: a matrix product.

A multiply-add is two operations. Counted are convolutions and linear layers, with the taps that fall on padding; the
rest (BatchNorm, activations, Adam) is bound by memory and left out. A layer's forward pass, its gradient for its inputs
and its gradient for its weights take the same number each, F. An iteration makes, for each real image, with G and D the
sums of F over a network's layers, and g and d those of its first layer, which needs no gradient for its inputs:

- D's update: 2 (3 D - d), on a real image and on a fake;
- G's update on the same fakes: 3 G - g, and through D 2 D;
- where G's update has k latents of its own an image: G for D's fakes, and k times the line above.

A loop that also computes D's weight gradients in G's update makes D (k times) more.
"""

import statistics
import time
from typing import Any

import torch
from torch import Tensor, nn

PRODUCT = {"cpu": 2048, "cuda": 8192}  # sides of the matrices
REPEATS = 5


def forward_flops(network: nn.Module, example: Tensor) -> list[int]:
    """Of each convolution and linear layer, in the order they are called; ``example`` is a batch of one."""
    counts: list[int] = []

    def count(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        # Every number of the result sums products over what its layer sees; transposed, every input is spread.
        numbers = inputs[0] if isinstance(layer, nn.ConvTranspose2d) else output
        counts.append(2 * numbers.numel() * layer.weight[0].numel())  # type: ignore[index]

    layers = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear)]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    training = network.training
    with torch.no_grad():
        network.eval()(example)
    network.train(training)
    for hook in hooks:
        hook.remove()
    return counts


def step_flops(module: Any, own_latents: int = 0, frozen: bool = True) -> int:
    """Operations of one iteration for each real image.

    Args:
        module: a GANModule.
        own_latents: of G's update for each real image; 0: D's fakes serve it.
        frozen: whether D's weight gradients are left out in G's update.
    """
    z = torch.zeros(1, module.generator.latent_dim)
    with torch.no_grad():
        image = module.generator.eval()(z)
    g, d = forward_flops(module.generator, z), forward_flops(module.discriminator, image)
    through_d = (2 if frozen else 3) * sum(d)
    update_g = 3 * sum(g) - g[0] + through_d
    update_d = 2 * (3 * sum(d) - d[0])
    return update_d + (sum(g) + own_latents * update_g if own_latents else update_g)


def product_flops_per_s(dtype: torch.dtype, device: str) -> float:
    """What a product of two square matrices reaches, median of five."""
    side = PRODUCT[device]
    a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    times = []
    for _ in range(REPEATS + 1):  # the first sets up
        _wait(device)
        began = time.perf_counter()
        a @ b
        _wait(device)
        times.append(time.perf_counter() - began)
    return 2 * side**3 / statistics.median(times[1:])


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()
