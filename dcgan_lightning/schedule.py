"""What differs between published GAN algorithms: whose turn it is, which latents serve whom, how D's loss is made.

Each is a small object that GANModule asks, so that the algorithm itself stays the same. None of them keeps state: what
they say is a function of the iteration.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from dcgan_lightning.errors import Refusal, refuse_below
from dcgan_lightning.losses import Loss

Scalars = dict[str, Tensor]


@dataclass(frozen=True)
class Turn:
    """One iteration: its number, from 0 over the whole run; whose turn it is; when G was last updated before it."""

    iteration: int
    d_due: bool
    g_due: bool
    last_g: int | None


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

    def turn(self, iteration: int) -> Turn:
        last_g = (iteration - 1) // self.g_every * self.g_every if iteration > 0 else None
        return Turn(iteration, iteration % self.d_every == 0, iteration % self.g_every == 0, last_g)


@dataclass(frozen=True)
class Latents:
    """Which latents: those of a stream in an iteration, so many for each real image of the batch."""

    stream: str
    iteration: int
    per_image: int = 1


class LatentsPolicy(Protocol):
    """Which latents D's fakes are made of, and which G's update."""

    def for_d(self, turn: Turn) -> Latents: ...

    def for_g(self, turn: Turn) -> Latents: ...


class SharedLatents:
    """D's fakes serve G's update too, so that G runs forward once an iteration: PyTorch's DCGAN faces tutorial."""

    def for_d(self, turn: Turn) -> Latents:
        return Latents("d", turn.iteration)

    def for_g(self, turn: Turn) -> Latents:
        return self.for_d(turn)


class FreshLatents:
    """G's update has latents of its own: the MLP GAN, and the guide to failure modes, whose G takes twice D's number.

    Args:
        g_per_image: latents of G's update for each real image in the batch.
    """

    def __init__(self, g_per_image: int) -> None:
        refuse_below(1, model__latents__g_per_image=g_per_image)
        self.g_per_image = g_per_image

    def for_d(self, turn: Turn) -> Latents:
        return Latents("d", turn.iteration)

    def for_g(self, turn: Turn) -> Latents:
        return Latents("g", turn.iteration, self.g_per_image)


class CarriedLatents:
    """G's update draws new latents, and D's fakes are made of those until G is updated again: the anime-face system."""

    def for_d(self, turn: Turn) -> Latents:
        return Latents("d", 0) if turn.last_g is None else Latents("g", turn.last_g)

    def for_g(self, turn: Turn) -> Latents:
        return Latents("g", turn.iteration)


class Fakes:
    """G's images in one iteration; where both updates take the same latents, those pass through G once.

    Args:
        generator: G, (N, latent_dim) -> (N, C, H, W).
        policy: which latents serve whom.
        turn: the iteration.
        sample: draws latents, (N, latent_dim).
    """

    def __init__(
        self, generator: nn.Module, policy: LatentsPolicy, turn: Turn, sample: Callable[[Latents], Tensor]
    ) -> None:
        self._generator, self._sample = generator, sample
        self._of_d, self._of_g = policy.for_d(turn), policy.for_g(turn)
        self._one_graph = turn.g_due and self._of_d == self._of_g
        self._made: Tensor | None = None

    def for_d(self) -> Tensor:
        """D's fakes, (N, C, H, W); with G's graph only where G's update will use it."""
        with torch.set_grad_enabled(self._one_graph):
            fake = self._generator(self._sample(self._of_d))
        self._made = fake if self._one_graph else None
        return fake.detach()

    def for_g(self) -> Tensor:
        """What G is trained through, (N * per_image, C, H, W)."""
        return self._generator(self._sample(self._of_g)) if self._made is None else self._made


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


class SeparateSteps:
    """A step on real images, then a step on fakes, which D judges with the weights of after the first step."""

    def __call__(
        self, discriminator: nn.Module, loss: Loss, real: Tensor, fake: Tensor
    ) -> Iterator[tuple[Tensor, Scalars]]:
        real_logits = logits_of(discriminator, real)  # (N,)
        loss_real = loss.d_real(real_logits)
        yield loss_real, on_real(loss_real, real_logits)
        fake_logits = logits_of(discriminator, fake)  # (N,)
        loss_fake = loss.d_fake(fake_logits)
        yield loss_fake, on_fake(loss_fake, fake_logits)


class StackedBatch:
    """Real and fake as one batch of D, with common BatchNorm statistics; one step on the mean over all its images."""

    def __call__(
        self, discriminator: nn.Module, loss: Loss, real: Tensor, fake: Tensor
    ) -> Iterator[tuple[Tensor, Scalars]]:
        logits = logits_of(discriminator, torch.cat([real, fake]))  # (N + M,)
        real_logits, fake_logits = logits.split([len(real), len(fake)])
        loss_real, loss_fake = loss.d_real(real_logits), loss.d_fake(fake_logits)
        mean = (len(real) * loss_real + len(fake) * loss_fake) / len(logits)
        yield mean, on_real(loss_real, real_logits) | on_fake(loss_fake, fake_logits)


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
