"""The anime-face DCGAN at 96x96, written out plainly: networks layer by layer, and its loop."""

import torch
from torch import nn


class NetG(nn.Module):
    def __init__(self, nz=100, ngf=64):
        super().__init__()
        self.main = nn.Sequential(
            nn.ConvTranspose2d(nz, ngf * 8, 4, 1, 0, bias=False),
            nn.BatchNorm2d(ngf * 8),
            nn.ReLU(True),
            nn.ConvTranspose2d(ngf * 8, ngf * 4, 4, 2, 1, bias=False),
            nn.BatchNorm2d(ngf * 4),
            nn.ReLU(True),
            nn.ConvTranspose2d(ngf * 4, ngf * 2, 4, 2, 1),
            nn.BatchNorm2d(ngf * 2),
            nn.ReLU(True),
            nn.ConvTranspose2d(ngf * 2, ngf, 4, 2, 1, bias=False),
            nn.BatchNorm2d(ngf),
            nn.ReLU(True),
            nn.ConvTranspose2d(ngf, 3, 5, 3, 1, bias=False),
            nn.Tanh(),
        )

    def forward(self, z):
        return self.main(z.view(*z.shape, 1, 1))


class NetD(nn.Module):
    """Up to its logits."""

    def __init__(self, ndf=64):
        super().__init__()
        self.main = nn.Sequential(
            nn.Conv2d(3, ndf, 5, 3, 1, bias=False),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(ndf, ndf * 2, 4, 2, 1, bias=False),
            nn.BatchNorm2d(ndf * 2),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(ndf * 2, ndf * 4, 4, 2, 1, bias=False),
            nn.BatchNorm2d(ndf * 4),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(ndf * 4, ndf * 8, 4, 2, 1, bias=False),
            nn.BatchNorm2d(ndf * 8),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(ndf * 8, 1, 4, 1, 0),
        )

    def forward(self, images):
        return self.main(images).view(-1)


def train(net_g, net_d, batches, latents, d_every, g_every):
    """``latents(stream, iteration, n)`` gives (n, nz). Returns each (loss_d, loss_g), None where not due."""
    criterion = nn.BCEWithLogitsLoss()
    adam_d = torch.optim.Adam(net_d.parameters(), lr=0.0002, betas=(0.5, 0.999))
    adam_g = torch.optim.Adam(net_g.parameters(), lr=0.0002, betas=(0.5, 0.999))
    noise = latents("d", 0, len(batches[0]))  # kept from one iteration to the next
    history = []
    for i, real in enumerate(batches):
        ones, zeros = real.new_ones(len(real)), real.new_zeros(len(real))
        loss_d = loss_g = None
        if i % d_every == 0:
            adam_d.zero_grad()
            with torch.no_grad():
                fake = net_g(noise)
            loss_d = criterion(net_d(real), ones) + criterion(net_d(fake), zeros)
            loss_d.backward()
            adam_d.step()
        if i % g_every == 0:
            noise = latents("g", i, len(real))
            adam_g.zero_grad()
            loss_g = criterion(net_d(net_g(noise)), ones)
            loss_g.backward()
            adam_g.step()
        history.append(tuple(None if loss is None else loss.item() for loss in (loss_d, loss_g)))
    return history
