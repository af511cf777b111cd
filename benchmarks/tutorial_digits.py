"""The tutorial's loop on the shipped digits: ``python -m benchmarks.tutorial_digits --seconds 150 --out g.pth``."""

import time

BEGAN = time.monotonic()  # before the imports: the time given is from the command to the prompt

import argparse  # noqa: E402

import torch  # noqa: E402

from benchmarks.tutorial_loop import PILImages, loader, repeated, train  # noqa: E402
from dcgan_lightning.data.mnist import SHIPPED  # noqa: E402


def main() -> None:
    import numpy as np

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, required=True, help="from the command to the prompt")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--image-size", type=int, default=32)
    parser.add_argument("--out", required=True, help="where the generator's state dict goes")
    given = parser.parse_args()
    torch.manual_seed(given.seed)
    with np.load(SHIPPED) as arrays:
        dataset = PILImages(torch.from_numpy(arrays["images"]), given.image_size)
    shape = (1, given.image_size, given.image_size)
    done: list[int] = []

    def stop(iterations: int) -> bool:
        done[:] = [iterations]
        return time.monotonic() - BEGAN >= given.seconds

    generator = train(repeated(loader(dataset)), shape, given.width, stop)
    torch.save(generator.state_dict(), given.out)
    print(f"iterations {done[0]}, seconds {time.monotonic() - BEGAN:.1f}")


if __name__ == "__main__":
    main()
