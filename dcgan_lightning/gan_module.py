"""Goodfellow et al., "Generative adversarial nets" (2014), Algorithm 1, as a LightningModule."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.core.optimizer import LightningOptimizer
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_
from torch.optim import Optimizer

from dcgan_lightning import fitting
from dcgan_lightning.captured import Captured, CUDAGraphs
from dcgan_lightning.errors import Refusal
from dcgan_lightning.images import to_float
from dcgan_lightning.losses import Loss
from dcgan_lightning.networks import Network, describe
from dcgan_lightning.networks.convolution import as_products
from dcgan_lightning.noise import rows_of_rank, sample_latents
from dcgan_lightning.optimizers import checked, settle
from dcgan_lightning.overflow import running_statistics_kept
from dcgan_lightning.precision import float32_as
from dcgan_lightning.schedule import DRule, Fakes, Latents, LatentsPolicy, Scalars, Turn, UpdateRatio, logits_of
from dcgan_lightning.trainer import one_global_step
from dcgan_lightning.weights import fill, read_weights

CHECKPOINT_KEY = "dcgan_lightning"  # where a checkpoint keeps the record of its networks


class GANModule(LightningModule):
    """Trains a generator G against a discriminator D: an update of D, then one of G, on every batch that is theirs.

    One batch is one iteration, and one step of Lightning's ``global_step``, at every ratio of updates.

    Args:
        generator: G, with ``latent_dim``; (N, latent_dim) -> (N, C, H, W) in [-1, 1].
        discriminator: D; (N, C, H, W) -> logits (N,).
        loss: what both minimise.
        latents: which latents D's fakes and G's update are made of.
        d_rule: how D's loss is put together, and in how many steps.
        init: draws the initial weights of a network in place.
        lr: learning rate of both optimizers, for one that does not bring its own.
        optimizer_d, optimizer_g: each makes an optimizer of parameters: ``optimizer(parameters, lr=...)``.
        d_every, g_every: D, or G, is updated in every so many iterations; one of the two is 1.
        clip_grad_norm: the largest norm of a network's gradients, all of its parameters as one vector; longer ones are
            shortened to it before the step. None: whatever comes.
        seed: of the latents.
        channels_last: keep weights and images as N x H x W x C in memory, which convolutions run faster on, and have
            some of them computed as matrix products (:mod:`dcgan_lightning.networks.convolution`). The sums are taken
            in another order than in the contiguous format, so that results differ by rounding.
        batch_norm: whether the networks have BatchNorm layers. Those of the guide take it from here as well.
        cuda_graph: replay whole iterations as CUDA graphs (:mod:`dcgan_lightning.captured`).
        generator_weights, discriminator_weights: files of state dicts to start from, instead of what ``init`` draws.

    Raises:
        Refusal: a ratio that trains nothing in some iterations, hyperparameters that the optimizer refuses, gradients
            shortened to nothing, networks that cannot do with or without BatchNorm as asked, or weights of other
            networks.
    """

    generator: Network
    discriminator: Network
    dtype: torch.dtype
    recorder = CUDAGraphs

    def __init__(
        self,
        generator: Network,
        discriminator: Network,
        loss: Loss,
        latents: LatentsPolicy,
        d_rule: DRule,
        init: Callable[[nn.Module], None],
        lr: float,
        optimizer_d: Callable[..., Optimizer],
        optimizer_g: Callable[..., Optimizer],
        d_every: int,
        g_every: int,
        clip_grad_norm: float | None,
        seed: int,
        channels_last: bool,
        batch_norm: bool,
        cuda_graph: bool,
        generator_weights: str | None,
        discriminator_weights: str | None,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.generator, self.discriminator = generator, discriminator
        self.loss, self.latents, self.d_rule = loss, latents, d_rule
        self.ratio = UpdateRatio(d_every, g_every)
        if clip_grad_norm is not None and not 0 < clip_grad_norm < math.inf:
            problem = "the largest norm of a network's gradients has to be above 0, or null for no limit"
            raise Refusal("model.clip_grad_norm", clip_grad_norm, problem, "for instance model.clip_grad_norm=1")
        self.clip_grad_norm = clip_grad_norm
        self.seed = seed
        self._newest_batch = 0  # real images of the global batch of G's newest update
        fitting.refuse_other_norm(self, batch_norm)
        init(generator)
        init(discriminator)
        for role, path in (("generator", generator_weights), ("discriminator", discriminator_weights)):
            if path is not None:
                option = f"model.{role}_weights"
                fill(getattr(self, role), read_weights(option, path), option, path)
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self.to(memory_format=self.memory_format)
        as_products(self, channels_last)
        self.cuda_graph = cuda_graph
        self._captured: Captured | None = None
        optimizers = {"optimizer_d": optimizer_d, "optimizer_g": optimizer_g}
        self.make_optimizers = [checked(name, make, lr, cuda_graph) for name, make in optimizers.items()]

    def configure_optimizers(self) -> list[Optimizer]:
        networks = self.discriminator, self.generator
        made = [make(network.parameters()) for make, network in zip(self.make_optimizers, networks, strict=True)]
        unscale_themselves = any(getattr(optimizer, "_step_supports_amp_scaling", False) for optimizer in made)
        if self.clip_grad_norm is not None and unscale_themselves and self.trainer.precision == "16-mixed":
            problem = "comes before an optimizer with fused=true has unscaled float16's gradients"
            raise Refusal("model.clip_grad_norm", self.clip_grad_norm, problem, "leave fused= out")
        return made

    def on_train_start(self) -> None:
        for optimizer in self.trainer.optimizers:
            settle(optimizer)
        if self.cuda_graph:
            self._captured = Captured(self.update, self.trainer.optimizers, self.recorder(self.device))

    def on_train_end(self) -> None:
        self.sync_buffers()
        self._captured = None  # Lightning moves the weights away, and graphs hold where they were

    def refuse_other_images(self, shape: torch.Size, smallest_batch: int) -> None:
        """Refuse networks that do not fit each other, or images (C, H, W) that do not fit, by shape or by number."""
        fitting.refuse_other_images(self.generator, self.discriminator, shape, smallest_batch)

    @property
    def iteration(self) -> int:
        """Number of the iteration at hand, from 0 over the whole run; between iterations, how many are done."""
        return self.trainer.global_step

    def forward(self, z: Tensor) -> Tensor:
        """(N, latent_dim) to images (N, C, H, W) in [-1, 1]."""
        return self.generator(z)

    def training_step(self, images: Tensor, batch_idx: int) -> Scalars:
        """One iteration on this rank's real images, uint8 (N, C, H, W); returns its scalars, still on the device."""
        turn = self.ratio.turn(self.iteration)
        if turn.g_due:
            self._newest_batch = len(images) * self.trainer.world_size
        due = [self.latents.for_d(turn)] * turn.d_due + [self.latents.for_g(turn)] * turn.g_due
        latents = {which: self.sample_latents(which, len(images)) for which in dict.fromkeys(due)}
        overflows = self.trainer.precision == "16-mixed"  # as a matter of course, and the scaler leaves the step out
        kept = running_statistics_kept(self) if overflows else nullcontext()
        with one_global_step(*self.optimizers()), float32_as(self.trainer.precision), kept:
            return (self._captured or self.update)(turn, images, latents)

    def update(self, turn: Turn, images: Tensor, latents: dict[Latents, Tensor]) -> Scalars:
        """What an iteration does on the device: D's update, then G's, each on the iterations that are its turn."""
        optimizer_d, optimizer_g = self.optimizers()  # type: ignore[attr-defined]  # two, hence a list
        real = to_float(images, self.dtype).contiguous(memory_format=self.memory_format)  # (N, C, H, W) in [-1, 1]
        fakes = Fakes(self.generator, self.latents, turn, latents.__getitem__)
        scalars: Scalars = {}
        if turn.d_due:
            scalars |= self.update_d(optimizer_d, real, fakes.for_d())
        if turn.g_due:
            scalars |= self.update_g(optimizer_g, fakes.for_g())
        return scalars

    def update_d(self, optimizer: LightningOptimizer, real: Tensor, fake: Tensor) -> Scalars:
        """Maximise log D(x) + log(1 - D(G(z)))."""
        losses: list[Tensor] = []
        scalars: Scalars = {}
        for loss, terms in self.d_rule(self.discriminator, self.loss, real, fake):
            self.descend(optimizer, loss)
            losses.append(loss.detach())
            scalars |= terms
        return {"loss_d": torch.stack(losses).sum(), **scalars}

    def update_g(self, optimizer: LightningOptimizer, fake: Tensor) -> Scalars:
        """Maximise log D(G(z))."""
        with frozen(self.discriminator):
            logits = logits_of(self.discriminator, fake)  # (N,)
            loss = self.loss.g(logits)
            self.descend(optimizer, loss)
        return {"loss_g": loss.detach(), "d_gz_after": logits.detach().sigmoid().mean()}

    def descend(self, optimizer: LightningOptimizer, loss: Tensor) -> None:
        """One step of one network down its loss."""
        optimizer.zero_grad()
        self.manual_backward(loss)
        optimizer.step()
        torch.clear_autocast_cache()  # it may hold the weights as they were before the step

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        # Lightning calls this after it has unscaled float16's gradients; a CUDA graph captures what it does.
        if self.clip_grad_norm is not None:
            parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
            clip_grad_norm_(parameters, self.clip_grad_norm)

    def sample_latents(self, latents: Latents, n: int) -> Tensor:
        """This rank's latents for n real images, its rows of the global batch's: (n * per_image, latent_dim)."""
        ranks = self.trainer.world_size
        rows = n * latents.per_image * ranks
        z = sample_latents(self.seed, latents.stream, latents.iteration, rows, self.generator.latent_dim)
        z = rows_of_rank(z, self.trainer.global_rank, ranks)
        if self.device.type == "cuda":
            z = z.pin_memory()  # so that the copy need not wait for the device
        return z.to(self.device, self.dtype, non_blocking=True)

    def newest_g_latents(self, n: int) -> Tensor:
        """The first latents of the global batch that G was last updated with.

        Returns:
            (n, latent_dim) float32 on the CPU; of a smaller batch all.
        """
        newest = self.ratio.turn(self.iteration).last_g or 0
        latents = self.latents.for_g(self.ratio.turn(newest))
        rows = min(n, self._newest_batch * latents.per_image)
        return sample_latents(self.seed, latents.stream, latents.iteration, rows, self.generator.latent_dim)

    def sync_buffers(self) -> None:
        """Give every rank rank 0's BatchNorm statistics; to be called by all ranks. DDP leaves each rank its own."""
        if self.trainer.world_size > 1:
            for buffer in self.buffers():
                torch.distributed.broadcast(buffer, src=0)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint[CHECKPOINT_KEY] = {
            "generator": describe(self.generator),
            "discriminator": describe(self.discriminator),
            "optimizers": [make.func.__name__ for make in self.make_optimizers],
            "newest_batch": self._newest_batch,
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self._newest_batch = int(checkpoint[CHECKPOINT_KEY]["newest_batch"])


@contextmanager
def frozen(network: nn.Module) -> Iterator[None]:
    """No gradients for the network's parameters inside, also when an exception passes; gradients flow through it."""
    thawed = [parameter for parameter in network.parameters() if parameter.requires_grad]
    for parameter in thawed:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in thawed:
            parameter.requires_grad_(True)
