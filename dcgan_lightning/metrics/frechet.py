"""torchmetrics' FID with a symmetric square root, half of which is taken once."""

import torch
from torch import Tensor
from torchmetrics.image.fid import FrechetInceptionDistance

from dcgan_lightning.finite import NonFiniteError, not_finite
from dcgan_lightning.metrics.features import FeatureNetwork
from dcgan_lightning.metrics.statistics import FeatureSums


class FrechetDistance(FrechetInceptionDistance):
    """||m_r - m_f||^2 + Tr(S_r + S_f - 2 (S_r S_f)^1/2) (Heusel et al., NeurIPS 2017, equation 6), in float64.

    m and S are means and covariances of the features. S_r S_f has the eigenvalues of the symmetric R S_f R, where R is
    the root of S_r; torchmetrics takes those of the product, which is not symmetric and costs more. R is kept while the
    real images stay the same.

    Sums of several devices are put together outside: the metric's own synchronisation would count the real images,
    which are the same on all, once for each.

    Args:
        features: the network whose features are compared.
    """

    def __init__(self, features: FeatureNetwork) -> None:
        super().__init__(features, reset_real_features=False, sync_on_compute=False)
        self._root: Tensor | None = None  # (F, F), of the real features' covariance

    def set_real(self, sums: FeatureSums) -> None:
        """Compare with these real images from now on."""
        self.real_features_sum = sums.total.to(self.device)
        self.real_features_cov_sum = sums.outer.to(self.device)
        self.real_features_num_samples = sums.count.to(self.device)
        self._root = None

    def update(self, imgs: Tensor, real: bool) -> None:
        """Add images, (N, C, H, W) uint8, to the real ones or to the others."""
        super().update(imgs, real)
        if real:
            self._root = None

    def compute(self) -> Tensor:
        """The distance, () float64.

        Raises:
            RuntimeError: there are fewer than 2 images on one side.
            NonFiniteError: features are not finite; MKL's eigenvalues of such end the process.
        """
        if min(int(self.real_features_num_samples), int(self.fake_features_num_samples)) < 2:
            raise RuntimeError("a covariance takes at least 2 images, real ones and others")
        for side in ("real", "fake"):
            sums = [getattr(self, f"{side}_features_sum"), getattr(self, f"{side}_features_cov_sum")]
            if not_finite(sums).any():
                images = {"real": "real", "fake": "generated"}[side]
                raise NonFiniteError(f"the features of {images} images are not finite (NaN or infinity)")
        real = self.real_features_sum, self.real_features_cov_sum, self.real_features_num_samples
        fake = self.fake_features_sum, self.fake_features_cov_sum, self.fake_features_num_samples
        (mean_real, cov_real), (mean_fake, cov_fake) = moments(*real), moments(*fake)
        if self._root is None:
            self._root = root(cov_real)
        eigenvalues = torch.linalg.eigvalsh(self._root @ cov_fake @ self._root)
        # Rounding brings those that are 0 to either side of it.
        trace_of_root = eigenvalues.clamp(min=0).sqrt().sum()
        return (mean_real - mean_fake).square().sum() + cov_real.trace() + cov_fake.trace() - 2 * trace_of_root


def moments(total: Tensor, outer: Tensor, count: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (F,) and unbiased covariance (F, F) from the sum of n vectors and that of their outer products."""
    mean = total / count
    return mean, (outer - count * mean.outer(mean)) / (count - 1)


def root(covariance: Tensor) -> Tensor:
    """The symmetric square root of a covariance, (F, F)."""
    values, vectors = torch.linalg.eigh(covariance)
    return (vectors * values.clamp(min=0).sqrt()) @ vectors.T
