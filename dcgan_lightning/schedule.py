"""What differs between published GAN algorithms: whose turn it is, which latents serve whom, how D's loss is made.

Each is a small object that GANModule asks, so that the algorithm itself stays the same.
"""

from collections.abc import Callable, Iterator
from typing import Protocol

import torch
from torch import Tensor, nn

from dcgan_lightning.errors import Refusal
from dcgan_lightning.losses import Loss

Scalars = dict[str, Tensor]


class UpdateRatio:
    """Whose turn it is: D every ``d_every`` iterations, G every ``g_every``, counted from 0 over the whole run.

    Raises:
        Refusal: neither is 1 (some iterations would train nothing), or one is not a positive whole number.
    """

    def __init__(self, d_every: int, g_every: int) -> None:
        for name, every in (("d_every", d_every), ("g_every", g_every)):
            if not isinstance(every, int) or isinstance(every, bool) or every < 1:
                raise Refusal(
                    f"model.{name}", every, "has to be a positive whole number", f"for instance model.{name}=1"
                )
        if min(d_every, g_every) > 1:
            raise Refusal(
                f"model.d_every={d_every} model.g_every",
                g_every,
                "one of the two has to be 1, otherwise there are iterations in which nothing trains",
                "set the smaller of the two to 1",
            )
        self.d_every, self.g_every = d_every, g_every

    def d_due(self, iteration: int) -> bool:
        return iteration % self.d_every == 0

    def g_due(self, iteration: int) -> bool:
        return iteration % self.g_every == 0


class Fakes:
    """G's images in one iteration: each stream's latents are drawn, and pass through G, at most once.

    Args:
        generator: G, (N, latent_dim) -> (N, C, H, W).
        sample: draws this iteration's latents of a stream, (N, latent_dim).
        g_due: whether G is updated in this iteration, so that its graph is needed.
    """

    def __init__(self, generator: nn.Module, sample: Callable[[str], Tensor], g_due: bool) -> None:
        self._generator, self._sample, self.g_due = generator, sample, g_due
        self._made: dict[str, Tensor] = {}

    def of(self, stream: str, graph: bool) -> Tensor:
        """The fakes made of a stream's latents, (N, C, H, W); ``graph``: so that G can be trained through them."""
        if stream not in self._made:
            with torch.set_grad_enabled(graph):
                self._made[stream] = self._generator(self._sample(stream))
        return self._made[stream]


class LatentsPolicy(Protocol):
    """Which latents D's fakes and G's update are made of."""

    def for_d(self, fakes: Fakes) -> Tensor: ...

    def for_g(self, fakes: Fakes) -> Tensor: ...


class SharedLatents:
    """D's fakes serve G's update too, so that G runs forward once an iteration: PyTorch's DCGAN faces tutorial."""

    def for_d(self, fakes: Fakes) -> Tensor:
        return fakes.of("d", graph=fakes.g_due)

    def for_g(self, fakes: Fakes) -> Tensor:
        return fakes.of("d", graph=True)


class DRule(Protocol):
    """How D's update is put together: yields each loss to step on, with the scalars known by then."""

    def __call__(
        self, discriminator: nn.Module, loss: Loss, real: Tensor, fake: Tensor
    ) -> Iterator[tuple[Tensor, Scalars]]: ...


class SummedLosses:
    """Real and fake pass through D apart, since their BatchNorm statistics differ; one step on both losses' sum."""

    def __call__(
        self, discriminator: nn.Module, loss: Loss, real: Tensor, fake: Tensor
    ) -> Iterator[tuple[Tensor, Scalars]]:
        real_logits = logits_of(discriminator, real)  # (N,)
        fake_logits = logits_of(discriminator, fake)  # (N,)
        loss_real, loss_fake = loss.d_real(real_logits), loss.d_fake(fake_logits)
        yield loss_real + loss_fake, on_real(loss_real, real_logits) | on_fake(loss_fake, fake_logits)


def logits_of(discriminator: nn.Module, images: Tensor) -> Tensor:
    """D's logits (N,), in float32 at least: a loss in half precision would lose its small values."""
    logits = discriminator(images)
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def on_real(loss: Tensor, logits: Tensor) -> Scalars:
    """D on real images: its loss, the mean D(x), and the fraction it takes for real."""
    logits = logits.detach()
    return {"loss_d_real": loss.detach(), "d_x": logits.sigmoid().mean(), "acc_real": (logits > 0).to(logits).mean()}


def on_fake(loss: Tensor, logits: Tensor) -> Scalars:
    """D on fakes before G's update: its loss, the mean D(G(z)), and the fraction it takes for fake."""
    logits = logits.detach()
    accuracy = (logits < 0).to(logits).mean()
    return {"loss_d_fake": loss.detach(), "d_gz_before": logits.sigmoid().mean(), "acc_fake": accuracy}
