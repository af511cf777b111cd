"""Make the digits that ship with the package: ``python -m dcgan_lightning.data.make_mnist_mini <MNIST's raw folder>``.

They are MNIST's 10,000 test images, so that a classifier trained on its training images has not seen them.
"""

import sys
from pathlib import Path

import numpy as np
from torchvision.datasets.mnist import read_image_file, read_label_file

from dcgan_lightning.data.mnist import SHIPPED


def make(raw: Path, target: Path) -> None:
    """Pack the uncompressed t10k files.

    Args:
        raw: folder with ``t10k-images-idx3-ubyte`` and ``t10k-labels-idx1-ubyte``.
        target: .npz to write: ``images`` (10000, 28, 28) uint8, ``labels`` (10000,) uint8. The same bytes every time.
    """
    images = read_image_file(str(raw / "t10k-images-idx3-ubyte")).numpy()
    labels = read_label_file(str(raw / "t10k-labels-idx1-ubyte")).numpy()
    np.savez_compressed(target, images=images, labels=labels.astype(np.uint8))


if __name__ == "__main__":
    make(Path(sys.argv[1]), SHIPPED)
    print(f"{SHIPPED}: {SHIPPED.stat().st_size:,} bytes")
