"""Trains the digit classifier behind metrics=fid_digits on MNIST's 60,000 training images, and tests it on t10k.

    python -m dcgan_lightning.metrics.train_digits --data-root <folder with MNIST/raw> --out digits.safetensors

The digits come shifted, turned, scaled, and resized up and down, because those that it will judge have been drawn at
24 to 64 pixels.
The same seed gives the same weights on the same machine and version of torch.
"""

import argparse
import hashlib
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from torch import Tensor
from torch.nn.functional import affine_grid, cross_entropy, grid_sample, interpolate
from torchvision.datasets import MNIST

from dcgan_lightning.metrics.digits import DigitClassifier

BATCH_SIZE = 256
SIZES = (24, 28, 32, 40, 48, 64)  # pixels


def load_mnist(root: Path, train: bool) -> tuple[Tensor, Tensor]:
    """(N, 1, 28, 28) uint8 images and (N,) labels, from torchvision's layout below ``root``."""
    mnist = MNIST(root, train=train, download=False)
    return mnist.data.unsqueeze(1), mnist.targets


def bend(images: Tensor, rng: np.random.Generator) -> Tensor:
    """Each image turned by up to 12 degrees, sheared, scaled by 0.87 to 1.15 and shifted by up to 2.5 pixels of 28."""
    n = len(images)
    angle, shear = np.radians(rng.uniform(-12, 12, n)), rng.uniform(-0.15, 0.15, n)
    scale_x, scale_y = np.exp(rng.uniform(-0.14, 0.14, (2, n)))
    shift = rng.uniform(-2.5, 2.5, (2, n)) * 2 / 28
    cos, sin = np.cos(angle), np.sin(angle)
    rows = [[cos * scale_x, -sin * scale_x + shear, shift[0]], [sin * scale_y, cos * scale_y, shift[1]]]
    theta = torch.from_numpy(np.array(rows)).permute(2, 0, 1).float()  # (N, 2, 3)
    return grid_sample(images, affine_grid(theta, list(images.shape), align_corners=False), align_corners=False)


def resize(images: Tensor, size: int) -> Tensor:
    """(N, 1, H, W) in [0, 255], uint8 or float -> (N, 1, size, size) uint8, as a data pipeline stores them."""
    floats = interpolate(images.float(), size=(size, size), mode="bilinear", align_corners=False, antialias=True)
    return floats.round().clamp(0, 255).to(torch.uint8)


def train(images: Tensor, labels: Tensor, epochs: int, seed: int) -> DigitClassifier:
    """Adam on the cross-entropy, one cycle of the learning rate; no label smoothing: it blunts probabilities."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    classifier = DigitClassifier()
    optimizer = torch.optim.Adam(classifier.parameters(), lr=5e-3)
    batches = len(images) // BATCH_SIZE
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=5e-3, total_steps=epochs * batches, pct_start=0.2)
    for epoch in range(epochs):
        order = torch.from_numpy(rng.permutation(len(images)))
        for indices in order[: batches * BATCH_SIZE].split(BATCH_SIZE):
            batch = resize(bend(images[indices].float(), rng), size=int(rng.choice(SIZES)))
            loss = cross_entropy(classifier(batch), labels[indices])  # nats
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        print(f"epoch {epoch + 1} of {epochs}: last loss {loss.item():.4f} nats", flush=True)
    return classifier.eval()


@torch.no_grad()
def accuracy(classifier: DigitClassifier, images: Tensor, labels: Tensor) -> float:
    """Share of the images whose digit is recognised, in [0, 1]."""
    hits = [(classifier(x).argmax(1) == y).sum() for x, y in zip(images.split(500), labels.split(500), strict=True)]
    return float(sum(hits)) / len(images)


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the digit classifier behind metrics=fid_digits.")
    parser.add_argument("--data-root", type=Path, required=True, help="folder that holds MNIST/raw")
    parser.add_argument("--out", type=Path, required=True, help="file to write, .safetensors")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)  # sums in one order only, so that the run can be repeated

    classifier = train(*load_mnist(args.data_root, train=True), epochs=args.epochs, seed=args.seed)

    images, labels = load_mnist(args.data_root, train=False)
    print(f"test accuracy on MNIST's {len(images)} test images: {accuracy(classifier, images, labels):.2%}")
    for size in (24, 32, 64):
        print(f"  resized to {size}x{size}: {accuracy(classifier, resize(images, size), labels):.2%}")
    data = safetensors.torch.save(classifier.state_dict())
    args.out.write_bytes(data)
    print(f"{args.out}: {len(data)} bytes, sha256 {hashlib.sha256(data).hexdigest()} (digits.py wants to know it)")


if __name__ == "__main__":
    main()
