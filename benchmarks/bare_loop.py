"""The kit's maths without Lightning: the same networks, layouts and arithmetic, in a loop as short as it can be.

What the kit needs beyond it is Lightning's and the callbacks' share of an iteration.
"""

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn

from dcgan_lightning.gan_module import GANModule, frozen
from dcgan_lightning.images import to_float
from dcgan_lightning.noise import sample_latents

FETCH_EVERY = 50  # iterations between two fetches of the scalars, as callbacks.scalars.fetch_every


def batches(images: Tensor, batch_size: int) -> Iterator[Tensor]:
    """Whole batches (batch_size, C, H, W) of uint8 images, shuffled anew in every epoch, without an end."""
    while True:
        for rows in torch.randperm(len(images)).split(batch_size):
            if len(rows) == batch_size:
                yield images[rows]


def train(module: GANModule, batches: Iterable[Tensor], bf16: bool) -> list[list[float]]:
    """Train a DCGAN until the batches end: the tutorial's updates.

    Args:
        module: brings the networks with their weights, memory format and ways to convolve, the optimizers and the seed.
        batches: uint8 (N, C, H, W).
        bf16: compute under autocast to bfloat16.

    Returns:
        Of each iteration: D's loss, on real and on fakes, G's loss, D(x), D(G(z)) before and after, both accuracies.
    """
    net_g, net_d = module.generator, module.discriminator
    adam_d, adam_g = module.configure_optimizers()
    criterion = nn.functional.binary_cross_entropy_with_logits
    history: list[list[float]] = []
    pending: list[Tensor] = []
    for i, images in enumerate(batches):
        real = to_float(images).contiguous(memory_format=module.memory_format)
        z = sample_latents(module.seed, "d", i, len(real), net_g.latent_dim)
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            fake = net_g(z)
            real_logits, fake_logits = net_d(real).float(), net_d(fake.detach()).float()
            loss_real = criterion(real_logits, torch.ones_like(real_logits))
            loss_fake = criterion(fake_logits, torch.zeros_like(fake_logits))
            loss_d = loss_real + loss_fake
            adam_d.zero_grad()
            loss_d.backward()
            adam_d.step()
            torch.clear_autocast_cache()  # it holds D's weights of before the step
            with frozen(net_d):
                logits = net_d(fake).float()
                loss_g = criterion(logits, torch.ones_like(logits))
                adam_g.zero_grad()
                loss_g.backward()
                adam_g.step()
        with torch.no_grad():
            outputs = [real_logits.sigmoid().mean(), fake_logits.sigmoid().mean(), logits.sigmoid().mean()]
            right = [(real_logits > 0).float().mean(), (fake_logits < 0).float().mean()]
            pending.append(torch.stack([loss_d, loss_real, loss_fake, loss_g, *outputs, *right]))
        if len(pending) == FETCH_EVERY:
            history += torch.stack(pending).tolist()
            pending.clear()
    return history + (torch.stack(pending).tolist() if pending else [])
