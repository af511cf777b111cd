"""Activations that keep their gradients at low precision."""

import torch
from torch import Tensor, nn


class Tanh(nn.Tanh):
    """``nn.Tanh`` in float32 at least, which a generator ends in.

    Its derivative is taken from its value, 1 - y^2. Near 1 bfloat16 has no value between 1 and 1 - 2^-8, so that where
    |x| is above 3.5 y is 1 and the derivative zero: a G whose images have come to be one flat white or black gets no
    gradient any more and stays there, where in float32 it would come back.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Any shape to [-1, 1], in float32, or in float64 where that comes in."""
        return super().forward(x.to(torch.promote_types(x.dtype, torch.float32)))
