"""Convolutions as matrix products, where a CPU is faster at those. The same sums, in another order.

oneDNN, which computes PyTorch's convolutions on a CPU, is near the speed of a matrix product in most of them. It is far
from it in two kinds: those that end in very few feature maps, such as an image's one or three, and the gradients of a
kernel in bfloat16 on processors without matrix units (AMX). docs/performance.md has the measurements.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn import functional as F

from dcgan_lightning.machine import bf16_instructions

FEW = 4  # feature maps; up to so many are summed from taps
WIDE = 16  # feature maps; from so many on patches have runs in memory that are worth copying


class Conv2d(nn.Conv2d):
    """``nn.Conv2d``, with the same parameters; ``as_products`` chooses how it computes on a CPU."""

    as_products = False

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, K, OH, OW)."""
        if not self.as_products or x.device.type != "cpu":
            return super().forward(x)
        x, weight = _as_autocast(x, self.weight)
        if covers(self, x):
            y = rows_of(x).flatten(1) @ rows_of(weight).flatten(1).t()  # (N, K)
            return _with_bias(y[:, :, None, None], self.bias)
        return Convolution.apply(x, weight, self.bias, self.stride[0], int(self.padding[0]))


class ConvTranspose2d(nn.ConvTranspose2d):
    """``nn.ConvTranspose2d``, with the same parameters; ``as_products`` chooses how it computes on a CPU."""

    as_products = False

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        """(N, K, H, W) to (N, C, OH, OW)."""
        if not self.as_products or x.device.type != "cpu":
            return super().forward(x, output_size)
        x, weight = _as_autocast(x, self.weight)
        if x.shape[2:] == (1, 1) and self.padding == (0, 0):
            y = x.flatten(1) @ rows_of(weight).flatten(1)  # (N, height * width * C)
            return _with_bias(maps_of(y.view(len(x), *rows_of(weight).shape[1:])), self.bias)
        return TransposedConvolution.apply(x, weight, self.bias, self.stride[0], int(self.padding[0]))


def as_products(network: nn.Module, on: bool) -> None:
    """Have a network's layers compute as matrix products where that is faster, or all as PyTorch does."""
    for module in network.modules():
        if isinstance(module, Conv2d | ConvTranspose2d):
            module.as_products = on


def covers(layer: nn.Conv2d, x: Tensor) -> bool:
    """Whether a kernel is as large as what it is applied to, so that it is a linear layer."""
    return x.shape[2:] == layer.weight.shape[2:] and int(layer.padding[0]) == 0


class Convolution(Function):
    """(N, C, H, W) by a kernel (K, C, height, width) to (N, K, OH, OW); symmetric stride and padding."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.padding = stride, padding
        return correlate(x, weight, stride, padding, bias)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        of_x = spread(gradient, weight, ctx.stride, ctx.padding, x.shape[2:]) if ctx.needs_input_grad[0] else None
        of_weight = kernel_gradient(x, gradient, weight, ctx.stride, ctx.padding) if ctx.needs_input_grad[1] else None
        of_bias = gradient.sum((0, 2, 3)) if ctx.needs_input_grad[2] else None
        return of_x, of_weight, of_bias, None, None


class TransposedConvolution(Function):
    """(N, K, H, W) by a kernel (K, C, height, width) to (N, C, OH, OW): :class:`Convolution`, the other way round."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.padding = stride, padding
        size = [(side - 1) * stride - 2 * padding + k for side, k in zip(x.shape[2:], weight.shape[2:], strict=True)]
        return spread(x, weight, stride, padding, size, bias)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        of_x = correlate(gradient, weight, ctx.stride, ctx.padding) if ctx.needs_input_grad[0] else None
        of_weight = kernel_gradient(gradient, x, weight, ctx.stride, ctx.padding) if ctx.needs_input_grad[1] else None
        of_bias = gradient.sum((0, 2, 3)) if ctx.needs_input_grad[2] else None
        return of_x, of_weight, of_bias, None, None


def correlate(x: Tensor, weight: Tensor, stride: int, padding: int, bias: Tensor | None = None) -> Tensor:
    """What ``F.conv2d`` computes: (N, C, H, W), (K, C, height, width) -> (N, K, OH, OW)."""
    if len(weight) > FEW or x.shape[1] <= FEW:
        return F.conv2d(x, weight, _like(x, bias), stride, padding)
    n, _, *size = x.shape
    k, _, height, width = weight.shape
    taps = (rows_of(weight).flatten(0, 2) @ rows_of(x).flatten(0, 2).t()).view(k, height, width, n, *size)
    out_size = [(side + 2 * padding - tap) // stride + 1 for side, tap in zip(size, (height, width), strict=True)]
    total = _zeros(x, k, n, *out_size)
    for i in range(height):
        to_rows, of_rows = _overlap(i, padding, stride, size[0], out_size[0])
        for j in range(width):
            to_columns, of_columns = _overlap(j, padding, stride, size[1], out_size[1])
            total[:, :, to_rows, to_columns] += taps[:, i, j, :, of_rows, of_columns]
    return _with_bias(total.transpose(0, 1), bias).to(x.dtype, memory_format=torch.channels_last)


def spread(x: Tensor, weight: Tensor, stride: int, padding: int, size: Any, bias: Tensor | None = None) -> Tensor:
    """What ``F.conv_transpose2d`` computes: (N, K, H, W), (K, C, height, width) -> (N, C, *size)."""
    n, k, *small = x.shape
    channels, *kernel = weight.shape[1:]
    if k <= FEW and stride == 1:  # the mirrored kernel's convolution
        windows = patches(x, kernel, 1, kernel[0] - 1 - padding, size)  # (N * H * W, height * width * K)
        products = windows @ weight.flip(2, 3).permute(2, 3, 0, 1).flatten(0, 2)
        return _with_bias(maps_of(products.view(n, *size, channels)), bias)
    if channels > FEW or k <= FEW:
        return F.conv_transpose2d(x, weight, _like(x, bias), stride, padding)
    # Taps that land on pixels of one phase, (row % stride, column % stride), are added to that phase's plane.
    times = [-(-side // stride) for side in kernel]
    whole = F.pad(weight, (0, times[1] * stride - kernel[1], 0, times[0] * stride - kernel[0]))
    taps = whole.permute(1, 2, 3, 0).flatten(0, 2) @ rows_of(x).flatten(0, 2).t()
    taps = taps.view(channels, times[0], stride, times[1], stride, n, *small)
    planes = _zeros(x, channels, stride, stride, n, small[0] + times[0] - 1, small[1] + times[1] - 1)
    for i in range(times[0]):
        for j in range(times[1]):
            planes[..., i : i + small[0], j : j + small[1]] += taps[:, i, :, j]
    # (C, phase, phase, N, rows, columns) -> (N, C, rows, phase, columns, phase)
    images = planes.permute(3, 0, 4, 1, 5, 2).flatten(4, 5).flatten(2, 3)
    inside = images[:, :, padding : padding + size[0], padding : padding + size[1]]
    return _with_bias(inside, bias).to(x.dtype, memory_format=torch.channels_last)


def kernel_gradient(x: Tensor, gradient: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
    """Gradient of :func:`correlate`'s kernel: inputs (N, C, H, W) and the results' gradient (N, K, OH, OW)."""
    k, channels, *kernel = weight.shape
    if k <= FEW and stride == 1:
        windows = patches(gradient, kernel, 1, kernel[0] - 1 - padding, x.shape[2:])  # (N * H * W, height * width * K)
        mirrored = (windows.t() @ rows_of(x).flatten(0, 2)).view(*kernel, k, channels)
        return mirrored.permute(2, 3, 0, 1).flip(2, 3)
    if x.dtype == torch.bfloat16 and channels >= WIDE and bf16_instructions() == "AVX512-BF16":
        windows = patches(x, kernel, stride, padding, gradient.shape[2:])
        return maps_of((rows_of(gradient).flatten(0, 2).t() @ windows).view(k, *kernel, channels))
    geometry = (stride, stride), (padding, padding), (1, 1), False, (0, 0), 1
    return torch.ops.aten.convolution_backward(gradient, x, weight, None, *geometry, [False, True, False])[1]


def patches(x: Tensor, kernel: Any, stride: int, padding: int, out_size: Any) -> Tensor:
    """What each place of the result sees: (N, C, H, W) -> (N * OH * OW, height * width * C)."""
    padded = F.pad(rows_of(x), (0, 0, padding, padding, padding, padding)).contiguous()  # (N, H + 2p, W + 2p, C)
    image, row, column, one = padded.stride()
    # A row of a window is one run in memory, of width * C numbers.
    shape = (len(x), *out_size, kernel[0], kernel[1] * x.shape[1])
    windows = padded.as_strided(shape, (image, stride * row, stride * column, row, one))
    return windows.reshape(len(x) * out_size[0] * out_size[1], -1)


def rows_of(maps: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, H, W, C), without copying what is stored channels last."""
    return maps.permute(0, 2, 3, 1)


def maps_of(rows: Tensor) -> Tensor:
    """(N, H, W, C) -> (N, C, H, W), without copying."""
    return rows.permute(0, 3, 1, 2)


def _zeros(like: Tensor, *shape: int) -> Tensor:
    return torch.zeros(shape, dtype=torch.promote_types(like.dtype, torch.float32))


def _overlap(tap: int, padding: int, stride: int, size: int, out_size: int) -> tuple[slice, slice]:
    """Along one axis: the results that a tap reaches an input for, and those inputs."""
    first = max(0, -(-(padding - tap) // stride))
    last = min(out_size - 1, (size - 1 + padding - tap) // stride)
    start = first * stride + tap - padding
    return slice(first, last + 1), slice(start, start + (last - first) * stride + 1, stride)


def _as_autocast(x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Both in the type that autocast gives a convolution, channels last."""
    dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype
    return x.to(dtype, memory_format=torch.channels_last), weight.to(dtype)


def _like(x: Tensor, bias: Tensor | None) -> Tensor | None:
    return None if bias is None else bias.to(x.dtype)


def _with_bias(y: Tensor, bias: Tensor | None) -> Tensor:
    """Add (C,) to (N, C, H, W)."""
    return y if bias is None else y + bias.to(y.dtype)[:, None, None]
