"""Running one cell on several processes, and leaving nothing of it behind for the next cell of a sweep."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from hydra.core.hydra_config import HydraConfig
from lightning.pytorch.utilities import rank_zero_only


@contextmanager
def own_command_for_other_ranks(folder: Path) -> Iterator[None]:
    """Let Lightning start the other ranks of a run with the run's own overrides and folder.

    Left alone, it repeats the whole command line, all cells of a sweep included, and asks Hydra for a folder anew.
    Afterwards the other ranks and the process group are gone, and so are the variables by which ranks find each other,
    so that the next cell starts ranks of its own; the variables stay where this process was started as one of several,
    by Lightning or by a launcher like torchrun.

    Args:
        folder: the run folder, which is there already.
    """
    hydra, argv, environment = HydraConfig.get(), sys.argv, dict(os.environ)
    started_by_another = "LOCAL_RANK" in environment
    arguments = list(hydra.overrides.task) if str(hydra.mode).endswith("MULTIRUN") else argv[1:]
    arguments = [argument for argument in arguments if not argument.startswith("hydra.run.dir=")]
    config = HydraConfig.instance().cfg
    sys.argv = [argv[0], *arguments, f"hydra.run.dir='{folder.absolute()}'"]
    HydraConfig.instance().cfg = None
    try:
        yield
    finally:
        sys.argv, HydraConfig.instance().cfg = argv, config
        # On every rank: a process that ends while the group's threads still run may be aborted by them.
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
        _wait_for_other_ranks()
        if not started_by_another:
            os.environ.clear()
            os.environ.update(environment)
            rank_zero_only.rank = 0  # type: ignore[attr-defined]


def _wait_for_other_ranks() -> None:
    """See the ranks off that Lightning started, by force if need be, and call off the thread that observes them.

    Seconds after one of them has failed, that thread kills this process, which would take a sweep's other cells along.
    """
    for thread in threading.enumerate():
        if thread.name == "child-process-observer":
            processes = thread._child_processes  # type: ignore[attr-defined]
            thread._child_processes = []  # type: ignore[attr-defined]
            for process in processes:
                try:
                    process.wait(timeout=20)  # seconds; long enough to write what it has to say
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
