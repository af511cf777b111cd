"""What a run would take of the machine's memory, reckoned before anything is made: too much is refused, not killed.

Linux hands out memory that it does not have, and ends the process that uses it, without a word.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn

from dcgan_lightning.errors import Refusal
from dcgan_lightning.machine import free_memory
from dcgan_lightning.options import build
from dcgan_lightning.precision import on_cpu

NUMBER = 4  # bytes of a float32
KEPT = 4  # numbers for each parameter that a CPU trains: itself, its gradient, and the two that Adam keeps


def refuse_too_much(cfg: DictConfig, devices: int) -> None:
    """Refuse networks, batches and pictures that would take more memory than is free on this machine.

    The networks are made without memory, on torch's meta device, and passed an image each. What is reckoned is the
    least that a run takes: parameters with what belongs to them, and what a batch leaves in G and in D for the backward
    pass. A GPU says by itself when it is full, and so does a network that the meta device does not know.

    Args:
        cfg: composed; its options are of the right types.
        devices: processes that train on this machine.

    Raises:
        Refusal: too much.
    """
    numbers = _numbers(cfg)
    if numbers is None:
        return
    parameters, passed, widest = numbers
    cpu, latents = on_cpu(cfg.trainer.accelerator), cfg.model.generator.get("latent_dim", 1)
    _refuse(_sizes(cfg.model), parameters * NUMBER * (KEPT * devices if cpu else 1), "these networks take")
    if cpu:
        batch = cfg.data.batch_size
        _refuse(f"data.batch_size={batch} {_sizes(cfg.model)}", batch * passed * NUMBER * devices, "such batches take")
    for name, option, at_once in (("grid", "n", None), ("fid", "num_samples", "batch_size")):
        node = OmegaConf.select(cfg, f"callbacks.{name}")
        if isinstance(node, DictConfig) and isinstance(node.get(option), int):
            count = node[option]
            images = min(count, node[at_once]) if at_once else count
            # Two layers are there at a time, and all latents are.
            needed = NUMBER * (count * latents + (images * 2 * widest if cpu else 0))
            _refuse(f"callbacks.{name}.{option}={count}", needed, "so many images take")


def _refuse(given: str, needed: int, what: str) -> None:
    there_is = free_memory()
    if there_is is not None and needed > there_is:
        option, _, value = given.partition("=")
        problem = f"{what} at least {needed / 2**30:,.0f} GiB of memory, and {there_is / 2**30:,.1f} GiB are free here"
        raise Refusal(option, value, problem, "choose smaller numbers")


def _sizes(model: DictConfig) -> str:
    """What makes networks large, as it is typed."""
    sizes = [f"data.image_size={model.generator.get('image_size')}"]
    for role in ("generator", "discriminator"):
        own = [name for name in map(str, model[role]) if not model[role]._get_node(name)._is_interpolation()]
        sizes += [f"model.{role}.{name}={model[role][name]}" for name in own if not name.startswith("_")]
    return " ".join(sizes)


def _numbers(cfg: DictConfig) -> tuple[int, int, int] | None:
    """Parameters; numbers that an image leaves in both networks; those of the largest layer. None: nobody knows."""
    sizes: list[int] = []
    try:
        with torch.device("meta"), _outputs(sizes):
            networks = build(cfg, "model.generator"), build(cfg, "model.discriminator")
            parameters = sum(parameter.numel() for network in networks for parameter in network.parameters())
            generator, discriminator = (network.eval() for network in networks)
            with torch.no_grad():
                discriminator(generator(torch.zeros(1, generator.latent_dim)))
    except Refusal:
        raise
    except Exception:  # layers of one's own, or networks that do not fit, which is said elsewhere
        return None
    return parameters, sum(sizes), max(sizes, default=0)


@contextmanager
def _outputs(sizes: list[int]) -> Iterator[None]:
    """Note how many numbers each layer gives."""

    def note(module: nn.Module, inputs: Any, output: Any) -> None:
        if isinstance(output, Tensor) and not list(module.children()):
            sizes.append(output.numel())

    handle = torch.nn.modules.module.register_module_forward_hook(note)
    try:
        yield
    finally:
        handle.remove()
