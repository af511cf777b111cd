"""Features of a small digit classifier, for images of handwritten digits: metrics=fid_digits.

The weights, digits.safetensors, were trained by train_digits.py on MNIST's 60,000 training images.
"""

import hashlib
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor, nn

from dcgan_lightning.errors import Refusal
from dcgan_lightning.metrics.features import FeatureNetwork, resized

WEIGHTS = Path(__file__).with_name("digits.safetensors")
WEIGHTS_SHA256 = "9f48f8a56d4740e70cba6aa9b438770764415d8c43edd4538e9ee1f0e2096519"
SIZE = 28


def conv_block(channels_in: int, channels_out: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, kernel_size=3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(inplace=True),
    )


class DigitClassifier(nn.Module):
    """A convolutional classifier of the ten digits, 121,000 parameters.

    Takes uint8 images like a feature network does, so that training and judging see them through the same eyes.
    """

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            conv_block(1, 32, stride=1),  # (N, 32, 28, 28)
            conv_block(32, 32, stride=2),  # (N, 32, 14, 14)
            conv_block(32, 64, stride=2),  # (N, 64, 7, 7)
            conv_block(64, 64, stride=1),
            nn.MaxPool2d(2),  # (N, 64, 3, 3)
            nn.Flatten(),
            nn.Linear(576, 96),
            nn.ReLU(inplace=True),  # (N, 96)
        )
        self.head = nn.Linear(96, 10)

    def features(self, images: Tensor) -> Tensor:
        """(N, C, H, W) uint8 -> (N, 96): the activations that the last layer sees."""
        grey = resized(images, SIZE).mean(dim=1, keepdim=True)  # (N, 1, 28, 28)
        return self.body(grey)

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) uint8 -> (N, 10) logits."""
        return self.head(self.features(images))


class DigitFeatures(FeatureNetwork):
    """The shipped classifier's last hidden layer, 96 features; images of any size, grey or the mean of RGB.

    Raises:
        Refusal: the weights file is missing, or is not the one that this version of the package was shipped with.
    """

    tag = "fid/digits"
    name = "digit_classifier"
    weights_sha256 = WEIGHTS_SHA256
    resize = "28x28 bilinear antialias, mean of the channels"
    num_features = 96

    def __init__(self) -> None:
        super().__init__()
        weights = read_checked(WEIGHTS, WEIGHTS_SHA256)
        with torch.device("meta"):  # so that building it draws nothing from the global random generator
            self.classifier = DigitClassifier()
        self.classifier.load_state_dict(safetensors.torch.load(weights), assign=True)
        self.freeze()

    def extract(self, images: Tensor) -> Tensor:
        return self.classifier.features(images)

    def caveat(self, channels: int) -> str:
        return "it judges the mean of the three channels: colour is not judged" if channels == 3 else ""

    def logits(self, images: Tensor) -> Tensor:
        """(N, C, H, W) uint8 -> (N, 10) logits of the digits 0 to 9."""
        return self.classifier.head(self(images))

    def probabilities(self, images: Tensor) -> Tensor:
        """(N, C, H, W) uint8 -> (N, 10) probabilities of the digits 0 to 9, each row summing to 1."""
        return self.logits(images).softmax(dim=1)


def read_checked(path: Path, expected: str) -> bytes:
    """A file's bytes, once they are known to be the expected ones."""
    remedy = "install the package again, or take its weights file from the repository."
    if not path.is_file():
        raise Refusal("metrics.features", path, "the digit classifier's weights are missing", remedy)
    data = path.read_bytes()
    found = hashlib.sha256(data).hexdigest()
    if found != expected:
        raise Refusal("metrics.features", path, f"sha256 should be {expected}, and is {found}", remedy)
    return data
