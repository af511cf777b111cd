"""Goodfellow's Algorithm 1 as PyTorch's DCGAN tutorial runs it, written out plainly, to compare GANModule with."""

import torch
from torch import nn


def train(generator, discriminator, batches, latents, d_every, g_every, lr, betas, clip_grad_norm=float("inf")):
    """Train on ``batches``, float (N, C, H, W) in [-1, 1], with ``latents[i]`` (N, latent_dim) for iteration i.

    Gradients of a larger norm than ``clip_grad_norm`` are shortened to it. Returns one dict of scalars an iteration.
    """
    criterion = nn.BCEWithLogitsLoss()
    optimizer_d = torch.optim.Adam(discriminator.parameters(), lr=lr, betas=betas)
    optimizer_g = torch.optim.Adam(generator.parameters(), lr=lr, betas=betas)
    history = []
    for i, (real, z) in enumerate(zip(batches, latents, strict=True)):
        row = {}
        ones, zeros = torch.ones(len(real), dtype=real.dtype), torch.zeros(len(real), dtype=real.dtype)
        fake = generator(z)
        if i % d_every == 0:
            optimizer_d.zero_grad()
            real_logits = discriminator(real).view(-1)
            loss_real = criterion(real_logits, ones)
            fake_logits = discriminator(fake.detach()).view(-1)
            loss_fake = criterion(fake_logits, zeros)
            (loss_real + loss_fake).backward()
            if clip_grad_norm < float("inf"):
                nn.utils.clip_grad_norm_(discriminator.parameters(), clip_grad_norm)
            optimizer_d.step()
            row["loss_d_real"], row["loss_d_fake"] = loss_real.item(), loss_fake.item()
            row["loss_d"] = row["loss_d_real"] + row["loss_d_fake"]
            row["d_x"] = torch.sigmoid(real_logits).mean().item()
            row["d_gz_before"] = torch.sigmoid(fake_logits).mean().item()
            row["acc_real"] = (real_logits > 0).double().mean().item()
            row["acc_fake"] = (fake_logits < 0).double().mean().item()
        if i % g_every == 0:
            optimizer_g.zero_grad()
            logits = discriminator(fake).view(-1)
            loss = criterion(logits, ones)
            loss.backward()
            if clip_grad_norm < float("inf"):
                nn.utils.clip_grad_norm_(generator.parameters(), clip_grad_norm)
            optimizer_g.step()
            row["loss_g"], row["d_gz_after"] = loss.item(), torch.sigmoid(logits).mean().item()
        history.append(row)
    return history
