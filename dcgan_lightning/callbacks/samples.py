"""Numbers of a few samples, and of the gradients, every so many iterations: what curves of losses do not tell."""

from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, nn

from dcgan_lightning.callbacks.failure import raise_if_rows_wait, raise_on_every_rank
from dcgan_lightning.errors import refuse_below
from dcgan_lightning.metrics.features import FeatureNetwork
from dcgan_lightning.metrics.sample_statistics import Spread, features_and_entropy, gap, mean_distance, spread
from dcgan_lightning.noise import sample_latents
from dcgan_lightning.sampling import NonFiniteImagesError, sample_images
from dcgan_lightning.symptoms import OF_IMAGES
from dcgan_lightning.tables import Table

COLUMNS = ("iteration", "grad_norm_d", "grad_norm_g", *OF_IMAGES, "samples", "network")
LOGGED = ("grad_norm_d", "grad_norm_g", "diversity", "nearest", "gap", "entropy")
REAL_BLOCKS = 4  # of as many real images as there are samples, over which the real images' numbers are means


class Samples(Callback):
    """Adds a row to ``samples.csv`` every so many iterations, and its numbers to every logger.

    ``grad_norm_d`` and ``grad_norm_g`` are the Euclidean norms of each network's gradients, all of its parameters as
    one vector, in its newest step; the others are those of :mod:`dcgan_lightning.metrics.sample_statistics`, of images
    from the same latents each time, and of real images. ``iteration`` is the number of iterations done.

    Rank 0 does all of it, with its own BatchNorm statistics, which are those of every saved state. Training is left as
    it was: the generator's mode, its BatchNorm statistics, the random state.

    Args:
        features: the feature network, fast beside that of an FID.
        every: iterations between two rows.
        num_samples: generated images in a row.
        seed: of the latents.

    Raises:
        Refusal: an option that cannot work.
        NonFiniteImagesError: the generator emits NaN or infinity (on all ranks).
    """

    def __init__(self, features: FeatureNetwork, every: int, num_samples: int, seed: int) -> None:
        refuse_below(1, callbacks__samples__every=every)
        refuse_below(2, callbacks__samples__num_samples=num_samples)  # one has no other to differ from
        self.features, self.every, self.num_samples, self.seed = features, every, num_samples, seed
        self._real: tuple[Tensor, float, Spread] | None = None  # features (M, F), their mean distance, and by blocks
        self._table = Table(COLUMNS)
        self._module: Any = None
        # Of a checkpoint gone on from: a network that is not due in each iteration has no gradients of its own yet.
        self._norms_before: dict[str, float | None] = {}

    def state_dict(self) -> dict[str, Any]:
        return {"grad_norms": self._norms()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._norms_before = dict(state_dict["grad_norms"])

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._real, self._module = None, pl_module

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        # Not at the end of a run that is none of the row's: a longer run has the same rows.
        if trainer.global_step % self.every == 0:
            self._record(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        raise_if_rows_wait(trainer, self._table)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        if trainer.is_global_zero:
            self._table.sync(self._file(trainer))

    def _record(self, trainer: Trainer, pl_module: Any) -> None:
        row, error = None, None
        if trainer.is_global_zero:
            try:
                row = self._measure(trainer, pl_module)
            except NonFiniteImagesError as caught:
                error = caught
        raise_on_every_rank(trainer, error)
        if row is None:
            return
        named = {f"samples/{name}": row[name] for name in LOGGED if row[name] is not None}
        for logger in trainer.loggers:
            logger.log_metrics(named, step=trainer.global_step)
        cells = [row[name] for name in COLUMNS]
        written = [f"{cell:.9g}" if isinstance(cell, float) else "" if cell is None else cell for cell in cells]
        self._table.append(self._file(trainer), [written])

    @torch.no_grad()
    def _measure(self, trainer: Trainer, pl_module: Any) -> dict[str, Any]:
        device = pl_module.device if pl_module.device.type != "mps" else torch.device("cpu")  # which has no float64
        real, within_real, of_real = self._of_real(trainer.datamodule, device)  # type: ignore[attr-defined]
        z = sample_latents(self.seed, "samples", 0, self.num_samples, pl_module.generator.latent_dim)
        images = sample_images(pl_module.generator, z).to(device)
        features, entropy = features_and_entropy(self.features, images)
        of_fake = spread(features, entropy)
        return {
            "iteration": trainer.global_step,
            **self._norms(),
            "diversity": of_fake.diversity,
            "diversity_real": of_real.diversity,
            "nearest": of_fake.nearest,
            "nearest_real": of_real.nearest,
            "gap": gap(features, real, within_real),
            "entropy": of_fake.entropy,
            "entropy_real": of_real.entropy,
            "samples": self.num_samples,
            "network": self.features.name,
        }

    def _norms(self) -> dict[str, float | None]:
        """The norm of each network's gradients in its newest step."""
        networks = {"grad_norm_d": self._module.discriminator, "grad_norm_g": self._module.generator}
        norms = {name: gradient_norm(network) for name, network in networks.items()}
        return {name: self._norms_before.get(name) if norm is None else norm for name, norm in norms.items()}

    def _of_real(self, data: Any, device: torch.device) -> tuple[Tensor, float, Spread]:
        """Real images' features, and what they come to in blocks of as many as there are samples; computed once."""
        if self._real is None or self._real[0].device != device:
            self.features.to(device)
            images = data.real_images(REAL_BLOCKS * self.num_samples)
            features, entropy = features_and_entropy(self.features, images.to(device))
            size = min(self.num_samples, len(features))
            blocks = features[: len(features) // size * size].unflatten(0, (-1, size))
            self._real = features, mean_distance(features), spread(blocks, entropy)
        return self._real

    @staticmethod
    def _file(trainer: Trainer) -> Path:
        return Path(trainer.default_root_dir) / "samples.csv"


def gradient_norm(network: nn.Module) -> float | None:
    """The Euclidean norm of a network's gradients; None where it has not been updated yet."""
    gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
    if not gradients:
        return None
    return float(torch.stack(torch._foreach_norm(gradients)).norm())
