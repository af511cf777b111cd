"""Pictures of what G makes all through a run, and of real images to hold beside them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor, nn

from dcgan_lightning import signals
from dcgan_lightning.callbacks.failure import raise_on_every_rank
from dcgan_lightning.callbacks.weights import save_state, state_of
from dcgan_lightning.errors import Refusal, refuse_below
from dcgan_lightning.noise import sample_latents
from dcgan_lightning.pictures import grid, save_picture
from dcgan_lightning.sampling import NonFiniteImagesError, sample_images
from dcgan_lightning.trainer import due, epochs_done


class SampleGrid(Callback):
    """Draws G(z) every so many iterations or epochs and at the end, and real images once, in ``real.png``.

    Pictures are ``grids/iteration_NNNNNN.png``, named by the iterations done. G is in eval mode while it draws; its
    mode and its BatchNorm statistics stay untouched.

    Args:
        every: iterations between two pictures; None: ``every_epochs`` says.
        every_epochs: epochs between two pictures, each drawn as an epoch ends, the first epoch's too; None: ``every``
            says. One of the two is None.
        latents: what is drawn: ``fixed``: the same latents each time, which go into the checkpoint, so that a resumed
            run goes on with them; ``fresh``: new ones for each picture; ``batch``: the first ones of the global batch
            that G was last updated with.
        n: number of latents, and of real images.
        columns: images in a row.
        seed: of the fixed and of the fresh latents, apart from the run's.
        dark_on_white: draw the negative: what is bright in an image gets dark, on a white background.
        save_generator: save G's weights beside each picture, as ``grids/iteration_NNNNNN.safetensors``.

    Raises:
        Refusal: not exactly one of ``every`` and ``every_epochs``, or a number below 1.
    """

    def __init__(
        self,
        every: int | None,
        every_epochs: int | None,
        latents: Literal["fixed", "fresh", "batch"],
        n: int,
        columns: int,
        seed: int,
        dark_on_white: bool,
        save_generator: bool,
    ) -> None:
        _refuse_unless_one(every, every_epochs)
        refuse_below(1, callbacks__grid__n=n, callbacks__grid__columns=columns)
        self.every, self.every_epochs = every, every_epochs
        self.n, self.columns, self.seed = n, columns, seed
        self.choose_latents = LATENTS[latents]
        self.dark_on_white, self.save_generator = dark_on_white, save_generator
        self.fixed: Tensor | None = None  # (n, latent_dim)
        self._drawn_at = 0  # iterations done

    def on_fit_start(self, trainer: Trainer, pl_module: Any) -> None:
        if self.fixed is None:
            self.fixed = sample_latents(self.seed, "grid", 0, self.n, pl_module.generator.latent_dim)
        if trainer.is_global_zero:
            real = self._arrange(trainer.datamodule.real_images(self.n))  # type: ignore[attr-defined]
            save_picture(real, Path(trainer.default_root_dir) / "real.png")
            self._to_tensorboard(trainer, "real", real, trainer.global_step)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._drawn_at < trainer.global_step:  # a resumed run, stopped before it came to what was due
            self._draw_if_due(trainer, pl_module)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if not signals.agreed():
            self._draw_if_due(trainer, pl_module)

    def _draw_if_due(self, trainer: Trainer, pl_module: LightningModule) -> None:
        first_epoch = self.every_epochs is not None and epochs_done(trainer) == 1
        if first_epoch or due(trainer, self.every, self.every_epochs):
            self._draw(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._drawn_at != trainer.global_step:
            self._draw(trainer, pl_module)

    def _draw(self, trainer: Trainer, pl_module: Any) -> None:
        iteration = self._drawn_at = trainer.global_step
        pl_module.sync_buffers()  # a collective: all ranks take part, one draws
        z = self.choose_latents(self, pl_module, iteration)
        images = sample_on_rank_zero(trainer, pl_module.generator, z)
        if images is None:
            return
        stem = Path(trainer.default_root_dir) / "grids" / f"iteration_{iteration:06d}"
        picture = self._arrange(images)
        save_picture(picture, stem.with_suffix(".png"))
        self._to_tensorboard(trainer, "grid", picture, iteration)
        if self.save_generator:
            save_state(state_of(pl_module.generator), stem, export_pth=False)

    def _arrange(self, images: Tensor) -> Tensor:
        """(N, C, H, W) uint8 to a picture (3, height, width) uint8."""
        picture = grid(images, self.columns)
        return 255 - picture if self.dark_on_white else picture

    @staticmethod
    def _to_tensorboard(trainer: Trainer, tag: str, picture: Tensor, iteration: int) -> None:
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                logger.experiment.add_image(tag, picture, iteration)

    def state_dict(self) -> dict[str, Any]:
        return {"latents": self.fixed, "drawn_at": self._drawn_at}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.fixed, self._drawn_at = torch.as_tensor(state_dict["latents"]), int(state_dict["drawn_at"])


def _fixed(drawing: SampleGrid, pl_module: Any, iteration: int) -> Tensor:
    assert drawing.fixed is not None
    return drawing.fixed


def _fresh(drawing: SampleGrid, pl_module: Any, iteration: int) -> Tensor:
    return sample_latents(drawing.seed, "grid_fresh", iteration, drawing.n, pl_module.generator.latent_dim)


def _batch(drawing: SampleGrid, pl_module: Any, iteration: int) -> Tensor:
    return pl_module.newest_g_latents(drawing.n)


# (callback, module, iterations done) -> (n or fewer, latent_dim)
LATENTS: dict[str, Callable[[SampleGrid, Any, int], Tensor]] = {"fixed": _fixed, "fresh": _fresh, "batch": _batch}


def _refuse_unless_one(every: int | None, every_epochs: int | None) -> None:
    if (every is None) == (every_epochs is None):
        raise Refusal(
            f"callbacks.grid.every={'null' if every is None else every} callbacks.grid.every_epochs",
            every_epochs,
            "one of the two has to be a number, and the other null",
            "callbacks.grid.every=250 callbacks.grid.every_epochs=null, or for pictures at the ends of epochs "
            "callbacks.grid.every=null callbacks.grid.every_epochs=10",
        )
    if every is not None:
        refuse_below(1, callbacks__grid__every=every)
    if every_epochs is not None:
        refuse_below(1, callbacks__grid__every_epochs=every_epochs)


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
