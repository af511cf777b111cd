"""The MLP GAN on MNIST, written out plainly: networks layer by layer, and its loop."""

import torch
from torch import nn


class NetG(nn.Module):
    def __init__(self, nz=100, hidden=128, pixels=784):
        super().__init__()
        self.pixels = pixels
        self.model = nn.Sequential(
            nn.Linear(nz, hidden),
            nn.LeakyReLU(0.2),
            nn.Linear(hidden, hidden * 2),
            nn.BatchNorm1d(hidden * 2, eps=0.8),
            nn.LeakyReLU(0.2),
            nn.Linear(hidden * 2, hidden * 4),
            nn.BatchNorm1d(hidden * 4, eps=0.8),
            nn.LeakyReLU(0.2),
            nn.Linear(hidden * 4, hidden * 8),
            nn.BatchNorm1d(hidden * 8, eps=0.8),
            nn.LeakyReLU(0.2),
            nn.Linear(hidden * 8, pixels),
            nn.Tanh(),
        )

    def forward(self, z):
        side = int(self.pixels**0.5)
        return self.model(z).view(-1, 1, side, side)


class NetD(nn.Module):
    """Up to its logits."""

    def __init__(self, hidden=512, pixels=784):
        super().__init__()
        self.model = nn.Sequential(
            nn.Linear(pixels, hidden),
            nn.LeakyReLU(0.2),
            nn.Linear(hidden, hidden // 2),
            nn.LeakyReLU(0.2),
            nn.Linear(hidden // 2, 1),
        )

    def forward(self, images):
        return self.model(images.view(len(images), -1)).view(-1)


def train(net_g, net_d, batches, latents):
    """``latents(stream, iteration, n)`` gives (n, nz). Returns (loss_d, loss_g) of each iteration."""
    criterion = nn.BCEWithLogitsLoss()
    adam_d = torch.optim.Adam(net_d.parameters(), lr=0.0002, betas=(0.5, 0.999))
    adam_g = torch.optim.Adam(net_g.parameters(), lr=0.0002, betas=(0.5, 0.999))
    history = []
    for i, real in enumerate(batches):
        ones, zeros = real.new_ones(len(real)), real.new_zeros(len(real))
        adam_d.zero_grad()
        with torch.no_grad():
            fake = net_g(latents("d", i, len(real)))
        loss_d = criterion(net_d(real), ones) + criterion(net_d(fake), zeros)
        loss_d.backward()
        adam_d.step()

        adam_g.zero_grad()
        loss_g = criterion(net_d(net_g(latents("g", i, len(real)))), ones)
        loss_g.backward()
        adam_g.step()
        history.append((loss_d.item(), loss_g.item()))
    return history
