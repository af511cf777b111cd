"""Pictures of the same latents all through a run, and of real images to hold beside them."""

from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor, nn

from dcgan_lightning.callbacks.failure import raise_on_every_rank
from dcgan_lightning.errors import refuse_below
from dcgan_lightning.noise import sample_latents
from dcgan_lightning.pictures import grid, save_png
from dcgan_lightning.sampling import NonFiniteImagesError, sample_images
from dcgan_lightning.trainer import due


class FixedNoiseGrid(Callback):
    """Draws G(z) for fixed latents every so many iterations and at the end, and real images once.

    G is in eval mode while it draws; its mode and its BatchNorm statistics stay untouched. The latents go into the
    checkpoint, so that a resumed run goes on with the same ones.

    Args:
        every: iterations between two pictures ``grids/iteration_NNNNNN.png``, named by the iterations done.
        n: number of latents, and of real images in ``real.png``.
        columns: images in a row.
        seed: of the latents, apart from the run's.
    """

    def __init__(self, every: int, n: int, columns: int, seed: int) -> None:
        refuse_below(1, callbacks__grid__every=every, callbacks__grid__n=n, callbacks__grid__columns=columns)
        self.every, self.n, self.columns, self.seed = every, n, columns, seed
        self.latents: Tensor | None = None  # (n, latent_dim)
        self._drawn_at = -1

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.latents is None:
            latent_dim: Any = pl_module.generator.latent_dim  # type: ignore[union-attr]
            self.latents = sample_latents(self.seed, "grid", 0, self.n, latent_dim)
        if trainer.is_global_zero:
            real = grid(trainer.datamodule.real_images(self.n), self.columns)  # type: ignore[attr-defined]
            save_png(real, Path(trainer.default_root_dir) / "real.png")
            self._to_tensorboard(trainer, "real", real, trainer.global_step)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if due(trainer, self.every):
            self._draw(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._drawn_at != trainer.global_step:
            self._draw(trainer, pl_module)

    def _draw(self, trainer: Trainer, pl_module: Any) -> None:
        iteration = self._drawn_at = trainer.global_step
        pl_module.sync_buffers()  # a collective: all ranks take part, one draws
        assert self.latents is not None
        images = sample_on_rank_zero(trainer, pl_module.generator, self.latents)
        if images is None:
            return
        picture = grid(images, self.columns)
        save_png(picture, Path(trainer.default_root_dir) / "grids" / f"iteration_{iteration:06d}.png")
        self._to_tensorboard(trainer, "grid", picture, iteration)

    @staticmethod
    def _to_tensorboard(trainer: Trainer, tag: str, picture: Tensor, iteration: int) -> None:
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                logger.experiment.add_image(tag, picture, iteration)

    def state_dict(self) -> dict[str, Any]:
        return {"latents": self.latents}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.latents = torch.as_tensor(state_dict["latents"])


def sample_on_rank_zero(trainer: Trainer, generator: nn.Module, z: Tensor) -> Tensor | None:
    """Images of the latents on rank 0, None on the others; images that are not finite are an error on all of them."""
    images, error = None, None
    if trainer.is_global_zero:
        try:
            images = sample_images(generator, z)
        except NonFiniteImagesError as caught:
            error = caught
    raise_on_every_rank(trainer, error)
    return images
