"""Features of the Inception network that published FIDs are computed with: metrics=fid_inception."""

import hashlib
import sys
from io import BytesIO
from pathlib import Path

import torch
from torch import Tensor
from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3
from torchmetrics.image.fid import NoTrainInceptionV3

from dcgan_lightning.errors import Refusal
from dcgan_lightning.machine import limited_waiting
from dcgan_lightning.metrics.features import FeatureNetwork
from dcgan_lightning.untrusted import local


class InceptionFeatures(FeatureNetwork):
    """The 2048 features of Inception v3 before its classifier (Heusel et al., "GANs Trained by a Two Time-Scale Update
    Rule Converge to a Local Nash Equilibrium", NeurIPS 2017), exactly as ``FrechetInceptionDistance(2048)`` has them.

    Grey images are repeated to three channels.

    Args:
        weights_path: a file with the weights, as torch-fidelity publishes them. None looks into torch.hub's folder of
            checkpoints, and downloads torch-fidelity's file into it where it is not there yet.
        weights_sha256: hash of that file, hexadecimal; a file is opened only if it has this hash.

    Raises:
        Refusal: there is no file and none can be downloaded, or it is another file than expected.
    """

    tag = "fid/inception"
    name = "inception_v3"
    resize = "299x299 bilinear antialias"
    num_features = 2048

    def __init__(self, weights_path: str | None, weights_sha256: str) -> None:
        super().__init__()
        self.weights_sha256 = weights_sha256.lower()
        path = hub_file() if weights_path is None else local("metrics.features.weights_path", weights_path)
        if weights_path is None and not path.is_file():
            download(path, self.weights_sha256)
        self.network = build(read_weights(path, self.weights_sha256), path)
        self.freeze()

    def extract(self, images: Tensor) -> Tensor:
        return self.network(images.expand(-1, 3, -1, -1))  # (N, 2048)


def hub_file() -> Path:
    """Where torch-fidelity's own download puts the weights."""
    return Path(torch.hub.get_dir()) / "checkpoints" / URL_INCEPTION_V3.rsplit("/", 1)[-1]


def ways_out(file_name: str) -> str:
    return (
        f"put {file_name} (from {URL_INCEPTION_V3}) into {hub_file().parent}, "
        f"or say where it is with metrics.features.weights_path=<path>/{file_name}; "
        "or do without Inception: metrics=fid_random (comparable only with itself) or metrics=none."
    )


def download(path: Path, sha256: str) -> None:
    """Fetch torch-fidelity's file to ``path``; it appears there only when it is whole and has the right hash."""
    print(f"Downloading Inception's weights (96 MB) into {path.parent}", file=sys.stderr)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with limited_waiting():
            torch.hub.download_url_to_file(URL_INCEPTION_V3, str(path), hash_prefix=sha256)
    except (OSError, RuntimeError) as error:  # no network, no such address, no room; a download with another hash
        problem = f"Inception's weights {path.name} are not in {path.parent}, and the download failed: {error}"
        raise Refusal("metrics", "fid_inception", problem, ways_out(path.name)) from error


def read_weights(path: Path, sha256: str) -> dict[str, Tensor]:
    """A state dict from a file, unpickled only after its hash was checked, and then without executing what it names."""
    if not path.is_file():
        problem = f"there is no file {path.name} in the folder {path.parent}"
        raise Refusal("metrics.features.weights_path", path, problem, ways_out(hub_file().name))
    data = path.read_bytes()
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        problem = f"sha256 of {path} should be {sha256}, and is {found}"
        raise Refusal("metrics.features.weights_path", path, problem, "delete it, and " + ways_out(hub_file().name))
    try:
        return torch.load(BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # whatever torch's reader comes across
        raise not_inception(path, error) from error


def build(weights: dict[str, Tensor], path: Path) -> NoTrainInceptionV3:
    """torchmetrics' Inception with these weights, every one of them and no other; ``path`` is where they came from.

    torch-fidelity's constructor unpickles a file with everything that it names, so it never sees the user's: it gets
    the checked tensors, written anew.
    """
    rewritten = BytesIO()
    torch.save(weights, rewritten)
    rewritten.seek(0)
    try:
        with torch.random.fork_rng(devices=[]):  # its layers are initialised before they are loaded
            return NoTrainInceptionV3("inception-v3-compat", ["2048"], rewritten)  # type: ignore[arg-type]
    except (RuntimeError, TypeError) as error:
        raise not_inception(path, error) from error


def not_inception(path: Path, error: Exception) -> Refusal:
    problem = f"this is not a state dict of torch-fidelity's Inception v3: {str(error)[:300]}"
    return Refusal("metrics.features.weights_path", path, problem, ways_out(hub_file().name))
