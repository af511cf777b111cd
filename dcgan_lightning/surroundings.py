"""Where a run took place, for its record: versions, hardware, the state of the code, the data."""

import os
import platform
import subprocess
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Trainer

from dcgan_lightning.data.module import ImageDataModule
from dcgan_lightning.machine import cores

PACKAGES = ("torch", "torchvision", "lightning", "hydra-core", "numpy", "dcgan-lightning")
PROJECT = Path(__file__).parent.parent
PATIENCE = 1.0  # seconds for git, which takes hundredths


def surroundings(trainer: Trainer, data: ImageDataModule) -> dict[str, Any]:
    """Plain values for ``run.json``: ``seed``, ``data``, ``environment`` and ``git``."""
    seed = os.environ.get("PL_GLOBAL_SEED")  # where Lightning's seed_everything keeps it
    return {"seed": int(seed) if seed else None, "data": of(data), "environment": environment(trainer), "git": git()}


def of(data: ImageDataModule) -> dict[str, Any]:
    """What was trained on: ``root`` is None where the data set has a place of its own; ``shape`` is (C, H, W)."""
    count, *shape = data.images.shape
    root = None if data.root is None else str(data.root)
    kind = type(data).__name__
    return {"kind": kind, "root": root, "images": count, "shape": shape, "fingerprint": data.fingerprint}


def environment(trainer: Trainer) -> dict[str, Any]:
    """Versions, hardware and operating system."""
    return {
        "python": platform.python_version(),
        "packages": {name: version for name in PACKAGES if (version := _version(name)) is not None},
        "trained_on": _device(trainer.strategy.root_device),
        "devices": trainer.world_size,
        "cpu": f"{_cpu()}, {cores()} core(s)",
        "os": platform.platform(),
    }


def git(project: Path = PROJECT) -> dict[str, Any] | None:
    """The commit of the code, and whether a file that git knows has been changed since; None where git cannot tell."""
    if not (project / ".git").exists():  # installed, and maybe inside somebody else's repository
        return None
    ask = ["git", "--no-optional-locks", "status", "--porcelain=v2", "--branch", "--untracked-files=no"]
    try:
        answer = subprocess.run(ask, cwd=project, capture_output=True, text=True, timeout=PATIENCE, check=True).stdout
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    lines = answer.splitlines()
    commits = [line.removeprefix("# branch.oid ") for line in lines if line.startswith("# branch.oid ")]
    return {"commit": commits[0], "dirty": any(not line.startswith("#") for line in lines)} if commits else None


def _version(package: str) -> str | None:
    with suppress(metadata.PackageNotFoundError):
        return metadata.version(package)
    return None


def _device(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type.upper()


def _cpu() -> str:
    with suppress(OSError, StopIteration):  # Linux, on most processors
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return platform.processor() or platform.machine()
