"""The Frechet distance between generated and real images, while a run trains."""

from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor

from dcgan_lightning import signals
from dcgan_lightning.callbacks.failure import raise_if_rows_wait, raise_on_every_rank
from dcgan_lightning.callbacks.stopping import agree, stop_here_if_any
from dcgan_lightning.errors import Refusal, refuse_below
from dcgan_lightning.finite import NonFiniteError
from dcgan_lightning.metrics.features import FeatureNetwork, refuse_channels
from dcgan_lightning.metrics.frechet import FrechetDistance
from dcgan_lightning.metrics.statistics import FeatureSums, cache_file, load_sums, save_sums
from dcgan_lightning.noise import rows_of_rank, sample_latents
from dcgan_lightning.sampling import NonFiniteImagesError, sample_images
from dcgan_lightning.tables import Table
from dcgan_lightning.trainer import due

COLUMNS = ("iteration", "tag", "value", "samples_real", "samples_fake", "network", "weights_sha256", "resize")


class FID(Callback):
    """Frechet distance of all real images to generated ones (Heusel et al., NeurIPS 2017, equation 6), and its history.

    Both are judged as a user would save them: uint8, features in float32. The sums over the real images are computed
    once and kept in the data's cache folder. The generated ones come from the same latents each time, dealt out to the
    ranks, so that the value does not depend on their number. Training is left as it was: the generator's mode, its
    BatchNorm statistics, the random state.

    Each evaluation adds a row to ``fid.csv`` in the run folder and a scalar to every logger and to
    ``callback_metrics``, named by the feature network's tag. One during which a signal comes is given up.

    Args:
        features: the feature network; None: there is no FID.
        every: iterations between two evaluations; one more takes place when training ends.
        num_samples: generated images in an evaluation, over all ranks.
        batch_size: images in a forward pass.
        seed: of the latents.

    Attributes:
        best: lowest value and the iteration it was found after, over resumed runs too; None before the first.
        last: newest value and its iteration.

    Raises:
        Refusal: an option that cannot work; in ``setup``, a data set of fewer than 2 images, or with channels that the
            network does not judge.
        NonFiniteImagesError: the generator emits NaN or infinity (on all ranks, in an evaluation).
    """

    _metric: FrechetDistance

    def __init__(
        self, features: FeatureNetwork | None, every: int, num_samples: int, batch_size: int, seed: int
    ) -> None:
        refuse_below(1, callbacks__fid__every=every, callbacks__fid__batch_size=batch_size)
        refuse_below(2, callbacks__fid__num_samples=num_samples)  # fewer have no covariance
        self.features, self.every, self.num_samples = features, every, num_samples
        self.batch_size, self.seed = batch_size, seed
        self.best: tuple[float, int] | None = None
        self.last: tuple[float, int] | None = None
        self._table = Table(COLUMNS)
        self._judged_at = 0  # iterations done at the newest evaluation, also of an earlier run
        self._improved_at: int | None = None

    def improved(self, iteration: int) -> bool:
        """Whether the evaluation after this iteration, by this process, found a new best value."""
        return self._improved_at == iteration

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if self.features is not None and stage == "fit":
            self.refuse_unfit(trainer.datamodule.images)  # type: ignore[attr-defined]

    def refuse_unfit(self, images: Tensor) -> None:
        """Refuse real images of which there is no FID; (N, C, H, W)."""
        if self.features is None:
            return
        refuse_channels(self.features, images.shape[1])
        if len(images) < 2:
            problem, remedy = "an FID takes at least 2 images, for a covariance", "metrics=none, or more images."
            raise Refusal("data", f"{len(images)} image(s)", problem, remedy)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.features is None:
            return
        self.last = self._improved_at = None
        images = trainer.datamodule.images  # type: ignore[attr-defined]  # (N, C, H, W) uint8
        # Apple's GPUs have no float64, in which the sums are kept.
        device = pl_module.device if pl_module.device.type != "mps" else torch.device("cpu")
        self._metric = FrechetDistance(self.features).to(device)
        if device.type == "cpu":  # where its convolutions run faster so: Inception's 1.3 times
            self.features.to(memory_format=torch.channels_last)
        self._metric.set_real(self._real_sums(trainer, images))
        self._say_what_to_know(trainer, len(images), images.shape[1])
        if self._judged_at < trainer.global_step and due(trainer, self.every):
            self._evaluate(trainer, pl_module)  # a resumed run, stopped before it came to what was due
            stop_here_if_any(trainer)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self.features is not None and due(trainer, self.every) and not signals.agreed():
            self._evaluate(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.features is not None and (self.last is None or self.last[1] != trainer.global_step):
            self._evaluate(trainer, pl_module)
        raise_if_rows_wait(trainer, self._table)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        if trainer.is_global_zero and self.features is not None:
            self._table.sync(self._file(trainer))

    def state_dict(self) -> dict[str, Any]:
        if self.features is None:
            return {}
        value, iteration = self.best or (None, None)
        best = {"best_value": value, "best_iteration": iteration}
        return {**best, "judged_at": self._judged_at, "of": self._measured_by()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        if state_dict.get("of") == self._measured_by():  # values of two networks cannot be compared
            self._judged_at = int(state_dict["judged_at"])
            if state_dict["best_value"] is not None:
                self.best = float(state_dict["best_value"]), int(state_dict["best_iteration"])

    def _measured_by(self) -> list[str]:
        """What two values have to share to be compared; fewer images bias a value upwards."""
        if self.features is None:
            return []
        return [
            self.features.tag,
            self.features.weights_sha256,
            self.features.resize,
            str(self.num_samples),
            str(self.seed),
        ]

    def _real_sums(self, trainer: Trainer, images: Tensor) -> FeatureSums:
        """From the cache, or else each rank sums over every ``world_size``-th batch, and rank 0 writes the cache."""
        assert self.features is not None
        datamodule = trainer.datamodule  # type: ignore[attr-defined]
        path = cache_file(Path(datamodule.cache_dir), datamodule.fingerprint, self.features)
        cached = load_sums(path, self.features.num_features, len(images)) if trainer.is_global_zero else None
        cached = trainer.strategy.broadcast(cached)
        if cached is not None:
            return cached
        _say(trainer, f"{self.features.tag}: computing the features of {len(images)} real images, once")
        for batch in images.split(self.batch_size)[trainer.global_rank :: trainer.world_size]:
            if signals.received():
                break
            self._metric.update(batch.to(self._metric.device), real=True)
        stop_here_if_any(trainer)
        metric = self._metric
        states = (metric.real_features_sum, metric.real_features_cov_sum, metric.real_features_num_samples)
        sums = FeatureSums(*(trainer.strategy.reduce(state, reduce_op="sum").cpu() for state in states))
        if trainer.is_global_zero:
            try:
                save_sums(sums, path)
            except OSError as error:
                rank_zero_warn(f"{self.features.tag}: the statistics of the real images could not be kept: {error}")
        return sums

    def _say_what_to_know(self, trainer: Trainer, num_real: int, channels: int) -> None:
        assert self.features is not None
        if caveat := self.features.caveat(channels):
            _say(trainer, f"{self.features.tag}: {caveat}")
        fewest = min(num_real, self.num_samples)
        if fewest <= self.features.num_features:
            rank_zero_warn(
                f"{self.features.tag}: {fewest} images cannot span {self.features.num_features} features, which biases "
                "the value: compare it only with values from as many images, or raise callbacks.fid.num_samples."
            )

    def _evaluate(self, trainer: Trainer, pl_module: Any) -> None:
        pl_module.sync_buffers()
        if not self._judge_fakes(trainer, pl_module):
            return
        value = self._distance(trainer)
        counts = int(self._metric.real_features_num_samples), int(self._metric.fake_features_num_samples)
        self._metric.reset()
        self.last, self._judged_at = (value, trainer.global_step), trainer.global_step
        if self.best is None or value < self.best[0]:
            self.best, self._improved_at = self.last, trainer.global_step
        self._record(trainer, counts)

    @torch.no_grad()
    def _judge_fakes(self, trainer: Trainer, pl_module: Any) -> bool:
        """Bring the sums over all ranks' generated images into every rank's metric, or fail on every rank.

        False, on every rank, where it was given up.
        """
        metric, error = self._metric, None
        z = sample_latents(self.seed, "fid", 0, self.num_samples, pl_module.generator.latent_dim)
        try:
            for rows in rows_of_rank(z, trainer.global_rank, trainer.world_size).split(self.batch_size):
                if signals.received():
                    break
                metric.update(sample_images(pl_module.generator, rows).to(metric.device), real=False)
        except NonFiniteImagesError as caught:
            error = caught
            metric.reset()
        raise_on_every_rank(trainer, error)
        if agree(trainer):
            metric.reset()
            return False
        for state in ("fake_features_sum", "fake_features_cov_sum", "fake_features_num_samples"):
            setattr(metric, state, trainer.strategy.reduce(getattr(metric, state), reduce_op="sum"))
        return True

    def _distance(self, trainer: Trainer) -> float:
        """Rank 0's: the eigenvalues may differ in the last bit between devices, and all have to agree on the best."""
        value, error = 0.0, None
        if trainer.is_global_zero:
            try:
                value = float(self._metric.compute())
            except NonFiniteError as caught:
                error = caught
        raise_on_every_rank(trainer, error)
        return trainer.strategy.broadcast(value)

    def _record(self, trainer: Trainer, counts: tuple[int, int]) -> None:
        assert self.features is not None
        assert self.last is not None
        value, iteration = self.last
        trainer.callback_metrics[self.features.tag] = torch.tensor(value)
        if not trainer.is_global_zero:
            return
        for logger in trainer.loggers:
            logger.log_metrics({self.features.tag: value}, step=iteration)
        network = (self.features.name, self.features.weights_sha256, self.features.resize)
        self._table.append(self._file(trainer), [[iteration, self.features.tag, f"{value:.9g}", *counts, *network]])

    @staticmethod
    def _file(trainer: Trainer) -> Path:
        return Path(trainer.default_root_dir) / "fid.csv"


def _say(trainer: Trainer, text: str) -> None:
    if trainer.is_global_zero:
        print(text, flush=True)
