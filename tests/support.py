"""What tests share: configs composed from conf/, small images in memory, and short runs on the CPU."""

import functools
import os
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

from dcgan_lightning import GANModule
from dcgan_lightning.data.module import ImageDataModule
from dcgan_lightning.losses import BCE
from dcgan_lightning.networks.init import dcgan_normal
from dcgan_lightning.schedule import SharedLatents, SummedLosses
from dcgan_lightning.trainer import make_trainer

ROOT = Path(__file__).parent.parent
CONF = ROOT / "conf"


def composed(*overrides, name="train"):
    """The config as the command line composes it."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose(name, list(overrides))


class Images(ImageDataModule):
    """A data module over images that are handed to it, (N, C, H, W) uint8."""

    def __init__(self, images, batch_size, cache_dir, seed=0, sampling="shuffle"):
        size = list(images.shape[2:])
        super().__init__(None, size, images.shape[1], batch_size, sampling, False, 0, str(cache_dir), seed, None)
        self.source = images

    def load(self):
        return self.source, self.fingerprint_of("handed over", int(self.source.sum()))


def some_images(n, channels=1, size=28, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (n, channels, size, size), dtype=torch.uint8, generator=generator)


def gan(
    generator,
    discriminator,
    d_every=1,
    g_every=1,
    lr=2e-4,
    betas=(0.5, 0.999),
    seed=0,
    channels_last=False,
    latents=None,
    d_rule=None,
    cuda_graph=False,
    clip_grad_norm=None,
):
    """A GANModule of the given networks, all else as conf/ has it for a DCGAN."""
    adam = functools.partial(torch.optim.Adam, betas=betas)
    init = functools.partial(dcgan_normal, std=0.02)
    policies = {"loss": BCE(), "latents": latents or SharedLatents(), "d_rule": d_rule or SummedLosses(), "init": init}
    optimizers = {"lr": lr, "optimizer_d": adam, "optimizer_g": adam}
    return GANModule(
        generator,
        discriminator,
        **policies,
        **optimizers,
        d_every=d_every,
        g_every=g_every,
        clip_grad_norm=clip_grad_norm,
        seed=seed,
        channels_last=channels_last,
        batch_norm=any("BatchNorm" in type(m).__name__ for n in (generator, discriminator) for m in n.modules()),
        cuda_graph=cuda_graph,
        generator_weights=None,
        discriminator_weights=None,
    )


def trainer(folder, max_steps, callbacks=(), **settings):
    """The project's Trainer on the CPU, without a logger."""
    defaults = {
        "max_epochs": None,
        "default_epochs": 1,
        "fraction": 1.0,
        "batches": 1,
        "accelerator": "cpu",
        "devices": 1,
        "num_nodes": 1,
        "strategy": "auto",
        "precision": "32-true",
        "default_root_dir": str(folder),
        "logger": False,
        "enable_checkpointing": False,
    }
    return make_trainer(max_steps=max_steps, callbacks=list(callbacks), **(defaults | settings))


def composed_module(*overrides):
    """The model node of the composed config, made by itself."""
    return instantiate(composed(*overrides).model)


def finished(command, seconds=300, **settings):
    """Run a command to its end, with its output; one that hangs fails, with where each of its processes stands."""
    settings["env"] = (settings.get("env") or os.environ) | {"PYTHONFAULTHANDLER": "1"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "start_new_session": True}
    with subprocess.Popen([*map(str, command)], **{"cwd": ROOT, **pipes, **settings}) as process:
        try:
            out, err = process.communicate(timeout=seconds)
        except BaseException as error:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGABRT)  # on which each process prints the stacks of its threads
            try:
                out, err = process.communicate(timeout=20)
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
            if isinstance(error, subprocess.TimeoutExpired):
                pytest.fail(f"{command} had not ended after {seconds} s\n{out}\n{err}")
            raise
    return subprocess.CompletedProcess(command, process.returncode, out, err)
