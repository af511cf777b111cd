"""What float16 needs besides a scaled loss: running statistics that an overflow leaves as they were."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from dcgan_lightning.finite import not_finite


@contextmanager
def running_statistics_kept(module: nn.Module) -> Iterator[None]:
    """Put a BatchNorm layer's statistics back to what they were before, where they come out with NaN or infinity.

    A scaler leaves out an update whose gradients overflowed, but the forward pass that overflowed has moved the running
    means by then, and a moving average never gets rid of infinity. A layer is put back as a whole, its mean, its
    variance and its count of batches, so that the three keep belonging together. Waits for nothing.

    Args:
        module: both networks.
    """
    layers = [layer for layer in module.modules() if isinstance(layer, _BatchNorm) and layer.track_running_stats]
    before = [[buffer.clone() for buffer in _statistics(layer)] for layer in layers]
    yield
    if not layers:
        return
    with torch.no_grad():
        spoilt = not_finite([buffer for layer in layers for buffer in _statistics(layer)[:2]])  # (2 * layers,)
        for layer, earlier, bad in zip(layers, before, spoilt.view(-1, 2).any(dim=1), strict=True):
            for buffer, was in zip(_statistics(layer), earlier, strict=True):
                torch.where(bad, was, buffer, out=buffer)


def _statistics(layer: _BatchNorm) -> tuple[Tensor, Tensor, Tensor]:
    """Its running mean and variance, (C,), and how many batches they come from, ()."""
    return layer.running_mean, layer.running_var, layer.num_batches_tracked  # type: ignore[return-value]
