"""The guide to GAN failure modes, transcribed plainly from Keras: networks layer by layer, and its two loops."""

import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, leaky_relu


class NetG(nn.Module):
    def __init__(self, nz=50, nodes=128):
        super().__init__()
        self.nodes = nodes
        self.dense = nn.Linear(nz, nodes * 7 * 7)
        self.double_1 = nn.ConvTranspose2d(nodes, nodes, kernel_size=4, stride=2, padding=1)
        self.double_2 = nn.ConvTranspose2d(nodes, nodes, kernel_size=4, stride=2, padding=1)
        self.out = nn.Conv2d(nodes, 1, kernel_size=7, padding="same")

    def forward(self, z):
        x = leaky_relu(self.dense(z), 0.2).reshape(-1, self.nodes, 7, 7)
        x = leaky_relu(self.double_1(x), 0.2)
        x = leaky_relu(self.double_2(x), 0.2)
        return torch.tanh(self.out(x))


class NetD(nn.Module):
    """Up to its logits."""

    def __init__(self, nodes=64):
        super().__init__()
        self.halve_1 = nn.Conv2d(1, nodes, kernel_size=4, stride=2, padding=1)
        self.halve_2 = nn.Conv2d(nodes, nodes, kernel_size=4, stride=2, padding=1)
        self.dense = nn.Linear(nodes * 7 * 7, 1)

    def forward(self, images):
        x = leaky_relu(self.halve_1(images), 0.2)
        x = leaky_relu(self.halve_2(x), 0.2)
        return self.dense(x.flatten(1)).squeeze(1)


def bce(logits, label):
    return binary_cross_entropy_with_logits(logits, torch.full_like(logits, label))


def train(net_g, net_d, batches, latents, stacked, lr, beta1):
    """``latents(stream, iteration, n)`` gives (n, nz). Returns (loss_d, loss_g) of each iteration."""
    adam_d = torch.optim.Adam(net_d.parameters(), lr=lr, betas=(beta1, 0.999), eps=1e-7)
    adam_g = torch.optim.Adam(net_g.parameters(), lr=lr, betas=(beta1, 0.999), eps=1e-7)

    def step_d(loss):
        adam_d.zero_grad()
        loss.backward()
        adam_d.step()
        return loss.item()

    history = []
    for i, real in enumerate(batches):
        with torch.no_grad():
            fake = net_g(latents("d", i, len(real)))
        if stacked:
            labels = torch.cat([real.new_ones(len(real)), real.new_zeros(len(real))])
            loss_d = step_d(binary_cross_entropy_with_logits(net_d(torch.cat([real, fake])), labels))
        else:
            loss_d = step_d(bce(net_d(real), 1.0)) + step_d(bce(net_d(fake), 0.0))
        adam_g.zero_grad()
        loss_g = bce(net_d(net_g(latents("g", i, 2 * len(real)))), 1.0)
        loss_g.backward()
        adam_g.step()
        history.append((loss_d, loss_g.item()))
    return history
