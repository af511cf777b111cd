"""What a Frechet distance needs of the features of one set of images, and its cache on disk."""

import hashlib
import json
import os
import tempfile
from dataclasses import astuple, dataclass
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from dcgan_lightning.finite import not_finite
from dcgan_lightning.metrics.features import FeatureNetwork


@dataclass(frozen=True)
class FeatureSums:
    """Sums over a set of images, from which mean and covariance of the features follow.

    Attributes:
        total: (F,) float64, sum of the feature vectors.
        outer: (F, F) float64, sum of their outer products with themselves.
        count: () int64, number of images.
    """

    total: Tensor
    outer: Tensor
    count: Tensor


def cache_file(folder: Path, fingerprint: str, features: FeatureNetwork) -> Path:
    """Where the sums of a data set are kept: another one for other images, weights, or resizing."""
    key = json.dumps([fingerprint, features.tag, features.weights_sha256, features.resize])
    return folder / "real_statistics" / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.safetensors"


def checksum(sums: FeatureSums) -> str:
    return hashlib.sha256(b"".join(tensor.numpy().tobytes() for tensor in astuple(sums))).hexdigest()


def save_sums(sums: FeatureSums, path: Path) -> None:
    """Write sums that are on the CPU; the file is whole or not there, also when two runs write it at once.

    Raises:
        OSError: the folder cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {"total": sums.total, "outer": sums.outer, "count": sums.count}
    data = safetensors.torch.save(tensors, metadata={"sha256": checksum(sums)})
    handle, unfinished = tempfile.mkstemp(dir=path.parent, suffix=".unfinished")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.replace(unfinished, path)
    except BaseException:
        Path(unfinished).unlink(missing_ok=True)
        raise


def load_sums(path: Path, num_features: int, num_images: int) -> FeatureSums | None:
    """Read sums that :func:`save_sums` wrote; None where there are none, or none that can be used."""
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            sums = FeatureSums(file.get_tensor("total"), file.get_tensor("outer"), file.get_tensor("count"))
            recorded = (file.metadata() or {}).get("sha256")
    except (OSError, safetensors.SafetensorError):
        return None
    shapes = [tuple(tensor.shape) for tensor in (sums.total, sums.outer, sums.count)]
    whole = shapes == [(num_features,), (num_features, num_features), ()] and recorded == checksum(sums)
    if not_finite([sums.total, sums.outer]).any():
        return None
    return sums if whole and sums.total.dtype == torch.float64 and int(sums.count) == num_images else None
