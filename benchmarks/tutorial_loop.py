"""The training loop of PyTorch's DCGAN faces tutorial (Inkawhich), written out plainly: what the kit is compared with.

As there: PIL transforms for every image in every epoch, two loader workers, Sigmoid and BCELoss, real and fake backward
apart, gradients of D in G's update too, five numbers fetched from the device in every iteration, float32, untuned. The
loop of the guide to GAN failure modes stands beside it, in the same plain manner.
"""

import time
from collections.abc import Callable, Iterable, Iterator

import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from dcgan_lightning.networks import guide
from dcgan_lightning.networks.dcgan import Discriminator, Generator
from dcgan_lightning.networks.init import keras_normal


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


def loader(dataset: Dataset[Tensor]) -> DataLoader[Tensor]:
    """The tutorial's: batches of 128, two workers that start anew in every epoch."""
    return DataLoader(dataset, batch_size=128, shuffle=True, num_workers=2)


def repeated(batches: Iterable[Tensor]) -> Iterator[Tensor]:
    """Epoch after epoch, without an end."""
    while True:
        yield from batches


def weights_init(module: nn.Module) -> None:
    name = module.__class__.__name__
    if name.find("Conv") != -1:
        nn.init.normal_(module.weight, 0.0, 0.02)  # type: ignore[arg-type]
    elif name.find("BatchNorm") != -1:
        nn.init.normal_(module.weight, 1.0, 0.02)  # type: ignore[arg-type]
        nn.init.constant_(module.bias, 0)  # type: ignore[arg-type]


def train(
    batches: Iterable[Tensor],
    shape: tuple[int, int, int],
    width: int,
    stop: Callable[[int], bool] = lambda iterations: False,
    device: str = "cpu",
) -> nn.Module:
    """Train until the batches end, or until ``stop(iterations done)``.

    Args:
        batches: float images (N, C, H, W) in [-1, 1], on the CPU.
        shape: (channels, height, width) of the images.
        width: ngf and ndf.
        stop: asked after every iteration.
        device: that trains.

    Returns:
        G, in train mode.
    """
    channels, *size = shape
    net_g = Generator(image_size=size, channels=channels, latent_dim=100, width=width).to(device)
    net_g.apply(weights_init)
    net_d = nn.Sequential(Discriminator(image_size=size, channels=channels, width=width), nn.Sigmoid()).to(device)
    net_d.apply(weights_init)
    criterion = nn.BCELoss()
    optimizer_d = torch.optim.Adam(net_d.parameters(), lr=0.0002, betas=(0.5, 0.999))
    optimizer_g = torch.optim.Adam(net_g.parameters(), lr=0.0002, betas=(0.5, 0.999))
    g_losses, d_losses, began = [], [], time.monotonic()
    for iterations, data in enumerate(batches):
        net_d.zero_grad()
        real = data.to(device)
        n = real.size(0)
        label = torch.full((n,), 1.0, device=device)
        output = net_d(real).view(-1)
        loss_d_real = criterion(output, label)
        loss_d_real.backward()
        d_x = output.mean().item()
        noise = torch.randn(n, 100, 1, 1, device=device)
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
        if stop(iterations + 1):
            break
    return net_g


def train_guide(batches: Iterable[Tensor], device: str = "cpu") -> nn.Module:
    """The guide's stable GAN: a step of D on real images, one on fakes, one of G on twice as many latents.

    Keras makes D's fakes by ``predict``, without a graph, and fetches loss and accuracy of each of the three steps.

    Args:
        batches: float images (N, 1, 28, 28) in [-1, 1], on the CPU.
        device: that trains.

    Returns:
        G, in train mode.
    """
    net_g = guide.Generator(image_size=28, channels=1, latent_dim=50, width=128, batch_norm=False).to(device)
    net_d = nn.Sequential(guide.Discriminator(image_size=28, channels=1, width=64, batch_norm=False), nn.Sigmoid())
    net_d.to(device)
    keras_normal(net_g, 0.02)
    keras_normal(net_d, 0.02)
    criterion = nn.BCELoss()
    optimizer_d = torch.optim.Adam(net_d.parameters(), lr=0.0002, betas=(0.5, 0.999), eps=1e-7)
    optimizer_g = torch.optim.Adam(net_g.parameters(), lr=0.0002, betas=(0.5, 0.999), eps=1e-7)
    history = []
    for data in batches:
        real = data.to(device)
        n = real.size(0)
        with torch.no_grad():
            fake = net_g(torch.randn(n, 50, device=device))
        row = []
        for images, is_real in ((real, 1.0), (fake, 0.0)):
            net_d.zero_grad()
            output = net_d(images).view(-1)
            loss = criterion(output, torch.full((n,), is_real, device=device))
            loss.backward()
            optimizer_d.step()
            row += [loss.item(), ((output > 0.5) == bool(is_real)).float().mean().item()]

        net_g.zero_grad()
        output = net_d(net_g(torch.randn(2 * n, 50, device=device))).view(-1)
        loss = criterion(output, torch.full((2 * n,), 1.0, device=device))
        loss.backward()
        optimizer_g.step()
        row += [loss.item(), (output > 0.5).float().mean().item()]
        history.append(row)
    return net_g
