"""The training loop of PyTorch's DCGAN faces tutorial (Inkawhich), written out plainly: what the kit is compared with.

As there: PIL transforms for every image in every epoch, two loader workers, Sigmoid and BCELoss, real and fake backward
apart, gradients of D in G's update too, five numbers fetched from the device in every iteration, float32, untuned.
"""

import time
from collections.abc import Callable

import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from dcgan_lightning.networks.dcgan import Discriminator, Generator


class PILImages(Dataset[Tensor]):
    """Grey images as PIL images behind the tutorial's transforms."""

    def __init__(self, arrays: Tensor, image_size: int) -> None:
        self.images = [Image.fromarray(array) for array in arrays.numpy()]  # (N, H, W) uint8
        self.transform = transforms.Compose(
            [
                transforms.Resize(image_size),
                transforms.CenterCrop(image_size),
                transforms.ToTensor(),
                transforms.Normalize((0.5,), (0.5,)),
            ]
        )

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Tensor:
        return self.transform(self.images[index])


def weights_init(module: nn.Module) -> None:
    name = module.__class__.__name__
    if name.find("Conv") != -1:
        nn.init.normal_(module.weight, 0.0, 0.02)  # type: ignore[arg-type]
    elif name.find("BatchNorm") != -1:
        nn.init.normal_(module.weight, 1.0, 0.02)  # type: ignore[arg-type]
        nn.init.constant_(module.bias, 0)  # type: ignore[arg-type]


def train(dataset: Dataset[Tensor], shape: tuple[int, int, int], width: int, stop: Callable[[int], bool]) -> nn.Module:
    """Train until ``stop(iterations done)``.

    Args:
        dataset: float images (C, H, W) in [-1, 1].
        shape: (channels, height, width) of the images.
        width: ngf and ndf.
        stop: asked after every iteration.

    Returns:
        G, in train mode.
    """
    channels, *size = shape
    loader = DataLoader(dataset, batch_size=128, shuffle=True, num_workers=2)
    net_g = Generator(image_size=size, channels=channels, latent_dim=100, width=width)
    net_g.apply(weights_init)
    net_d = nn.Sequential(Discriminator(image_size=size, channels=channels, width=width), nn.Sigmoid())
    net_d.apply(weights_init)
    criterion = nn.BCELoss()
    optimizer_d = torch.optim.Adam(net_d.parameters(), lr=0.0002, betas=(0.5, 0.999))
    optimizer_g = torch.optim.Adam(net_g.parameters(), lr=0.0002, betas=(0.5, 0.999))
    g_losses, d_losses, iterations, began = [], [], 0, time.monotonic()
    while True:
        for real in loader:
            net_d.zero_grad()
            n = real.size(0)
            label = torch.full((n,), 1.0)
            output = net_d(real).view(-1)
            loss_d_real = criterion(output, label)
            loss_d_real.backward()
            d_x = output.mean().item()
            noise = torch.randn(n, 100, 1, 1)
            fake = net_g(noise)
            label.fill_(0.0)
            output = net_d(fake.detach()).view(-1)
            loss_d_fake = criterion(output, label)
            loss_d_fake.backward()
            d_gz_before = output.mean().item()
            loss_d = loss_d_real + loss_d_fake
            optimizer_d.step()

            net_g.zero_grad()
            label.fill_(1.0)
            output = net_d(fake).view(-1)
            loss_g = criterion(output, label)
            loss_g.backward()
            d_gz_after = output.mean().item()
            optimizer_g.step()

            if iterations % 50 == 0:
                pace = iterations / (time.monotonic() - began)
                print(
                    f"[{iterations}] Loss_D: {loss_d.item():.4f} Loss_G: {loss_g.item():.4f} "
                    f"D(x): {d_x:.4f} D(G(z)): {d_gz_before:.4f} / {d_gz_after:.4f} ({pace:.1f} it/s)",
                    flush=True,
                )
            g_losses.append(loss_g.item())
            d_losses.append(loss_d.item())
            iterations += 1
            if stop(iterations):
                return net_g
