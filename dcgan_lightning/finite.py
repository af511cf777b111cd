"""Whether numbers are numbers: NaN and infinity in networks, found in one pass over each tensor on its own device."""

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn


class NonFiniteError(RuntimeError):
    """NaN or infinity where a run cannot go on: in a loss, in a network, or in its images."""


def not_finite(tensors: Sequence[Tensor]) -> Tensor:
    """Which tensors have NaN or infinity in them.

    Args:
        tensors: of any shapes, on one device; at least one.

    Returns:
        (len(tensors),) bool on their device, which the host has not waited for.
    """
    # The largest magnitude: NaN passes through it, and unlike a sum of squares it cannot overflow by itself.
    some = [tensor.detach() if tensor.numel() else tensor.new_zeros(1) for tensor in tensors]
    return ~torch.stack(torch._foreach_norm(some, torch.inf)).isfinite()


def floats_of(networks: nn.Module | Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Parameters and buffers of floating point, layer by layer, by names such as ``generator.main.3.running_var``.

    Args:
        networks: a module, or a state dict.
    """
    named = networks.items() if isinstance(networks, Mapping) else _layer_by_layer(networks)
    return {name: tensor for name, tensor in named if tensor.is_floating_point()}


def first_not_finite(networks: nn.Module | Mapping[str, Tensor]) -> str | None:
    """The name of the first parameter or buffer with NaN or infinity in it; None where all are finite.

    Waits for the device once.

    Args:
        networks: a module, or a state dict, on one device.
    """
    named = floats_of(networks)
    if not named:
        return None
    spoilt = not_finite(list(named.values())).tolist()
    return next((name for name, bad in zip(named, spoilt, strict=True) if bad), None)


def _layer_by_layer(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    for prefix, layer in module.named_modules():
        yield from layer.named_parameters(prefix, recurse=False)
        yield from layer.named_buffers(prefix, recurse=False)
