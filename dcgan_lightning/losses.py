"""What D and G minimise, one small class a loss: logits (N,) in, one number in nats, averaged over the batch, out."""

from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits


class Loss(Protocol):
    """The three terms of a GAN's two objectives; each takes logits (N,) and returns a scalar."""

    def d_real(self, real_logits: Tensor) -> Tensor: ...

    def d_fake(self, fake_logits: Tensor) -> Tensor: ...

    def g(self, fake_logits: Tensor) -> Tensor: ...


class BCE:
    """Binary cross-entropy, the original GAN loss, with G's in its non-saturating form.

    D minimises -log D(x) - log(1 - D(G(z))); G minimises -log D(G(z)); D(x) = sigmoid(logit).
    Goodfellow et al., "Generative adversarial nets", 2014, equation 1 and the end of section 3.
    """

    def d_real(self, real_logits: Tensor) -> Tensor:
        """-log D(x)."""
        return binary_cross_entropy_with_logits(real_logits, torch.ones_like(real_logits))

    def d_fake(self, fake_logits: Tensor) -> Tensor:
        """-log(1 - D(G(z)))."""
        return binary_cross_entropy_with_logits(fake_logits, torch.zeros_like(fake_logits))

    def g(self, fake_logits: Tensor) -> Tensor:
        """-log D(G(z)): the fakes, labelled as real."""
        return self.d_real(fake_logits)
