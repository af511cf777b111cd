"""Trains on CPU processes and keeps what each rank has.

``python -m tests.ranks OUT DEVICES KIND D_EVERY G_EVERY RULES CLIP``, where RULES name what GANModule is told: the
latents' policy and D's rule, joined by ``+``; CLIP is the largest norm of gradients, or none.
"""

import sys
from pathlib import Path

import torch
from torch import nn

from dcgan_lightning import schedule
from dcgan_lightning.networks import Network
from dcgan_lightning.networks.dcgan import Discriminator, Generator
from tests.support import Images, gan, some_images, trainer

GLOBAL_BATCH, ITERATIONS, LATENTS = 8, 20, 6


class PlainG(Network):
    """Without BatchNorm, so that splitting a batch changes nothing."""

    def __init__(self):
        super().__init__()
        self.latent_dim = LATENTS
        self.layers = nn.Sequential(nn.Linear(LATENTS, 32), nn.ReLU(), nn.Linear(32, 28 * 28), nn.Tanh())

    def forward(self, z):
        return self.layers(z).view(-1, 1, 28, 28)


class PlainD(Network):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(28 * 28, 32), nn.LeakyReLU(0.2), nn.Linear(32, 1))

    def forward(self, images):
        return self.layers(images).flatten()


RULES = {
    "SharedLatents": schedule.SharedLatents,
    "FreshLatents": lambda: schedule.FreshLatents(g_per_image=2),
    "CarriedLatents": schedule.CarriedLatents,
    "SummedLosses": schedule.SummedLosses,
    "SeparateSteps": schedule.SeparateSteps,
    "StackedBatch": schedule.StackedBatch,
}


def main(out, devices, kind, d_every, g_every, rules, clip):
    torch.manual_seed(0)
    if kind == "plain":
        networks, precision = (PlainG(), PlainD()), "64-true"
    else:
        sizes = {"image_size": 28, "channels": 1, "width": 4}
        networks, precision = (Generator(**sizes, latent_dim=LATENTS), Discriminator(**sizes)), "32-true"
    latents, d_rule = (RULES[name]() for name in rules.split("+"))
    ways = {"latents": latents, "d_rule": d_rule, "clip_grad_norm": None if clip == "none" else float(clip)}
    module = gan(*networks, d_every=d_every, g_every=g_every, lr=1e-3, seed=4, **ways)
    drawn = []
    sample = module.sample_latents
    module.sample_latents = lambda latents, n: drawn.append(sample(latents, n)) or drawn[-1]
    data = Images(some_images(44), GLOBAL_BATCH // devices, out / "cache")  # the last batch is half
    fit = trainer(out, ITERATIONS, devices=devices, precision=precision)
    fit.fit(module, datamodule=data)
    weights = {name: value.detach() for name, value in module.named_parameters()}
    if devices > 1:
        torch.distributed.destroy_process_group()  # else its threads may abort the process at its end
    torch.save({"weights": weights, "latents": drawn}, out / f"rank{fit.global_rank}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3], int(sys.argv[4]), int(sys.argv[5]), *sys.argv[6:])
