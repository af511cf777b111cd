"""The networks that a user names, ready to sample: from a run folder, a checkpoint, or files of weights."""

from dataclasses import dataclass
from pathlib import Path

import torch

from dcgan_lightning import checkpoints
from dcgan_lightning.errors import Refusal
from dcgan_lightning.networks import Network, families
from dcgan_lightning.networks.convolution import as_products
from dcgan_lightning.sampling import sample_images
from dcgan_lightning.selection import score
from dcgan_lightning.weights import network_of_weights


@dataclass(frozen=True)
class Loaded:
    """G, and D where it is wanted, in eval mode on one device.

    Args:
        source: the file that G came from.
        image_shape: (C, H, W) of what G makes.
    """

    generator: Network
    discriminator: Network | None
    source: Path
    image_shape: torch.Size

    @property
    def folder(self) -> Path:
        """The run folder of a checkpoint in one; the current directory for any other file."""
        return self.source.parent.parent if self.source.parent.name == "checkpoints" else Path()


def load(
    ckpt_path: str | None,
    weights: str | None,
    discriminator_weights: str | None,
    model: str | None,
    scored: bool,
    device: str,
) -> Loaded:
    """Load G, and D if images are to be scored.

    Args:
        ckpt_path: a run folder (its best checkpoint by FID, else its last), or a checkpoint.
        weights: instead of it, a generator's state dict.
        discriminator_weights: with ``weights``, a discriminator's.
        model: with ``weights``, the family of networks that they belong to.
        scored: D is wanted.
        device: ``cpu``, ``cuda``, ``mps``, or ``auto`` for the fastest there is.

    Raises:
        Refusal: there are no such networks, or D does not take G's images.
        NonFiniteImagesError: G makes NaN.
    """
    if (ckpt_path is None) == (weights is None):
        problem = "one of ckpt_path and weights says what to sample"
        raise Refusal("ckpt_path", ckpt_path, problem, "ckpt_path=outputs/<run>")
    if discriminator_weights is not None and (weights is None or not scored):
        problem = "scores what weights= draws for select_from=; a checkpoint has a D of its own"
        raise Refusal("discriminator_weights", discriminator_weights, problem, "leave it out")
    on = _device(device)
    discriminator: Network | None = None
    if weights is None:
        source = checkpoints.find(str(ckpt_path), "best.ckpt", "last.ckpt")
        generator = checkpoints.load_generator(source)
        discriminator = checkpoints.load_discriminator(source) if scored else None
    else:
        source = Path(weights)
        if model is None:
            raise Refusal("model", "null", "weights do not say what they belong to", f"model={' or '.join(families())}")
        if scored and discriminator_weights is None:
            problem = "select_from keeps what a discriminator takes for real, and weights= brings none"
            raise Refusal("discriminator_weights", "null", problem, "discriminator_weights=netD.pth")
        generator = network_of_weights("Generator", "weights", weights, model)
        if discriminator_weights is not None:
            option = "discriminator_weights"
            discriminator = network_of_weights("Discriminator", option, discriminator_weights, model)
    _place(generator, on)
    shape = sample_images(generator, torch.zeros(1, generator.latent_dim)).shape[1:]
    if discriminator is not None:
        _place(discriminator, on)
        _refuse_other_images(discriminator, shape, discriminator_weights or ckpt_path)
    return Loaded(generator, discriminator, source, shape)


def _device(name: str) -> torch.device:
    if name == "auto":
        there_is_one = torch.accelerator.is_available()
        return torch.accelerator.current_accelerator() if there_is_one else torch.device("cpu")  # type: ignore[return-value]
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        raise Refusal("device", name, str(error).partition("\n")[0], "device=auto or device=cpu") from error


def _place(network: Network, device: torch.device) -> None:
    """Move a network, on a CPU into the form that it trains fastest in, too."""
    network.to(device)
    if device.type == "cpu":
        network.to(memory_format=torch.channels_last)
        as_products(network, True)


def _refuse_other_images(discriminator: Network, shape: torch.Size, path: str | None) -> None:
    try:
        fits = score(discriminator, torch.zeros(2, *shape)).shape == (2,)
    except RuntimeError:  # a view or a convolution of shapes that do not agree
        fits = False
    if not fits:
        size = discriminator.config.get("image_size")
        problem = f"takes images of size {size}, and G makes {list(shape)} (channels, height, width)"
        raise Refusal("discriminator_weights", path, problem, "give the D that was trained with this G")
