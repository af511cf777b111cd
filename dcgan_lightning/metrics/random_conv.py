"""Features of a convolutional network with fixed random weights, for machines without Inception's: metrics=fid_random.

Random convolutions followed by a nonlinearity and pooling tell textures, colours and layouts apart without any training
(Saxe et al., "On Random Weights and Unsupervised Feature Learning", ICML 2011). What they do not know is what matters
to a person, as Inception does in part; so their distance is comparable only with itself.
"""

import hashlib

import numpy as np
import torch
from torch import Tensor, nn

from dcgan_lightning.errors import Refusal
from dcgan_lightning.metrics.features import FeatureNetwork, resized

WEIGHTS_SHA256 = "797ebf1fd604232e02c84c3fef4e6f8e6615e6394ee40a9a3f1cc8fae698d579"
SIZE = 64
STAGES = ((3, 32, 5), (32, 64, 3), (64, 128, 3), (128, 192, 3))  # channels in, channels out, kernel size; stride 2


class RandomConvFeatures(FeatureNetwork):
    """Means over the image of the activations of four random convolutions, 32 + 64 + 128 + 192 = 416 features.

    Each stage is a convolution of stride 2 and a ReLU, at 32x32, 16x16, 8x8 and 4x4. Grey images are repeated to three
    channels. There is no BatchNorm, so that nothing has to be estimated from images.

    Raises:
        Refusal: the weights drawn on this machine are not the recorded ones.
    """

    tag = "fid/random_conv"
    name = "random_conv"
    weights_sha256 = WEIGHTS_SHA256
    resize = "64x64 bilinear antialias"
    num_features = sum(channels_out for _, channels_out, _ in STAGES)

    def __init__(self) -> None:
        super().__init__()
        weights = [stage_weights(stage) for stage in range(len(STAGES))]
        refuse_other_weights(weights)
        with torch.device("meta"):  # so that building it draws nothing from the global random generator
            self.stages = nn.ModuleList(
                nn.Conv2d(channels_in, channels_out, kernel_size, stride=2, padding=kernel_size // 2, bias=False)
                for channels_in, channels_out, kernel_size in STAGES
            )
        self.stages.load_state_dict({f"{i}.weight": weight for i, weight in enumerate(weights)}, assign=True)
        self.freeze()

    def extract(self, images: Tensor) -> Tensor:
        x = resized(images, SIZE).expand(-1, 3, -1, -1)  # (N, 3, 64, 64)
        means = []
        for stage in self.stages:
            x = stage(x).relu()
            means.append(x.mean(dim=(2, 3)))
        return torch.cat(means, dim=1)  # (N, 416)

    def caveat(self, channels: int) -> str:
        return "its network has fixed random weights: compare its values only with other values of this tag"


def stage_weights(stage: int) -> Tensor:
    """Weights that no library's random generator has a say in: float32 (channels out, channels in, kernel, kernel).

    The bytes of SHAKE-256, read as 16-bit integers, are uniform. They are scaled to the variance 2 / fan-in (He et al.,
    "Delving Deep into Rectifiers", ICCV 2015, equation 10), which keeps the scale of the activations from stage to
    stage. After the first stage each filter's mean is taken off: its inputs are never negative, and their common part
    would drown what tells images apart. Sums are exact and every other step is correctly rounded, so that all machines
    get the same bits.
    """
    channels_in, channels_out, kernel_size = STAGES[stage]
    fan_in = channels_in * kernel_size**2
    stream = hashlib.shake_256(f"random_conv stage {stage}".encode()).digest(2 * channels_out * fan_in)
    uniform = np.frombuffer(stream, dtype="<u2").reshape(channels_out, fan_in).astype(np.float64) - 32767.5
    if stage > 0:
        uniform -= uniform.sum(axis=1, keepdims=True) / fan_in
    weights = uniform / 32768 * np.sqrt(6 / fan_in)  # uniform in (-1, 1) has the variance 1/3
    return torch.from_numpy(weights.reshape(channels_out, channels_in, kernel_size, kernel_size).astype(np.float32))


def refuse_other_weights(weights: list[Tensor]) -> None:
    """Refuse weights whose bytes, one stage after the other in little-endian order, have not the recorded hash."""
    found = hashlib.sha256(b"".join(weight.numpy().astype("<f4").tobytes() for weight in weights)).hexdigest()
    if found != WEIGHTS_SHA256:
        raise Refusal(
            "metrics.features",
            RandomConvFeatures.name,
            f"its random weights came out different here: sha256 should be {WEIGHTS_SHA256}, and is {found}",
            "metrics=fid_inception, or metrics=none; and please report this machine's numpy version.",
        )
