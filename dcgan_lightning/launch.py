"""Running one cell on several processes, and leaving nothing of it behind for the next cell of a sweep."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import torch
from hydra.core.hydra_config import HydraConfig
from lightning.pytorch.strategies.launchers import subprocess_script
from lightning.pytorch.utilities import rank_zero_only

from dcgan_lightning import signals

RANK_ZERO = "DCGAN_LIGHTNING_RANK_ZERO"  # environment variable: the process that started this one as another rank
POLL = 0.5  # seconds between two looks at the other ranks
GRACE = 5.0  # seconds that a process has to end by itself once another rank is gone


@contextmanager
def own_command_for_other_ranks(folder: Path) -> Iterator[None]:
    """Let Lightning start the other ranks of a run with the run's own overrides and folder.

    Left alone, it repeats the whole command line, all cells of a sweep included, and asks Hydra for a folder anew.
    Meanwhile each rank hands signals on to those that it knows, and rank 0 watches over the others (:class:`Watch`).
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
    if not started_by_another:
        os.environ[RANK_ZERO] = str(os.getpid())
    patience = 20.0  # seconds; long enough to write what it has to say
    try:
        with _watched() as watch, signals.passed_on(watch.pass_on, watch.ways):
            try:
                yield
            except BaseException:
                patience = GRACE
                raise
            finally:
                sys.argv, HydraConfig.instance().cfg = argv, config
                # On every rank: a process that ends while the group's threads still run may be aborted by them. One
                # that leaves at once is not, and need not wait for them, unless it is to have another group.
                alone = signals.leaves() and not str(hydra.mode).endswith("MULTIRUN")
                if torch.distributed.is_available() and torch.distributed.is_initialized() and not alone:
                    torch.distributed.destroy_process_group()
                watch.wait(patience)
    finally:
        if not started_by_another:
            os.environ.clear()
            os.environ.update(environment)
            rank_zero_only.rank = 0  # type: ignore[attr-defined]


def end_with_rank_zero() -> None:
    """In a rank that rank 0 started: have it end when rank 0 is killed, also while it waits for it."""
    if RANK_ZERO in os.environ and "LOCAL_RANK" in os.environ:
        signals.die_with(int(os.environ[RANK_ZERO]))


class Watch:
    """Over the ranks that Lightning started from here, in place of its own thread.

    That one kills this process seconds after another rank has ended with an exit code other than 0, which a rank that
    a signal stopped does, and which would take a sweep's other cells along. This one lets the process end by itself,
    with what it has to save and to say, and ends it only where it does not, since it waits for a rank that is gone.
    """

    def __init__(self) -> None:
        self.others: list[subprocess.Popen[bytes]] = []
        self._over = threading.Event()

    def begin(self, child_processes: list[subprocess.Popen[bytes]]) -> None:
        """Watch from now on; takes the place of Lightning's function."""
        self.others = child_processes
        threading.Thread(target=self._look, daemon=True).start()

    def call_off(self) -> None:
        """Leave this process alone: it knows that it is to end."""
        self._over.set()

    def look_again(self) -> None:
        """Take :meth:`call_off` back."""
        if self.others and self._over.is_set():
            self._over.clear()
            self.begin(self.others)

    def wait(self, patience: float) -> None:
        """See the other ranks off, by force after ``patience`` seconds."""
        self.call_off()
        deadline = time.monotonic() + patience
        for rank, process in enumerate(self.others, 1):
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if signals.received() and process.returncode not in (128 + signals.received(), -signals.received()):
                _say_how(rank, process.returncode)

    def pass_on(self, signum: int) -> None:
        """Hand a signal on to the ranks that this one started, or to the one that started it."""
        for process in self.others:
            process.send_signal(signum)
        with suppress(OSError):
            if _parent_is_rank_zero():
                os.kill(os.getppid(), signum)

    def ways(self) -> int:
        """By how many ways one signal may come: from who sent it, from each rank that hands it on, from a launcher."""
        return 1 + (len(self.others) or int("LOCAL_RANK" in os.environ))

    def _look(self) -> None:
        while not self._over.wait(POLL):
            for rank, process in enumerate(self.others, 1):
                if process.poll():
                    self._end(rank, process.returncode)
                    return

    def _end(self, rank: int, code: int) -> None:
        signum = -code if -code in signals.HEEDED else code - 128
        if signum in signals.HEEDED:
            if not signals.received():  # the other rank could not hand it on: it was still importing
                os.kill(os.getpid(), signum)
        else:
            signum = 0
            _say_how(rank, code)
        if not self._over.wait(GRACE):
            for process in self.others:
                process.kill()
            os._exit(128 + signum if signum else 1)


_watch = Watch()


def call_off_watch() -> None:
    """Said by a rank that is about to end, in however long: see :class:`Watch`."""
    _watch.call_off()


def watch_again() -> None:
    """Look after the other ranks again, where this rank was about to end and is not."""
    _watch.look_again()


@contextmanager
def _watched() -> Iterator[Watch]:
    global _watch
    _watch, before = Watch(), subprocess_script._launch_process_observer
    subprocess_script._launch_process_observer = _watch.begin
    try:
        yield _watch
    finally:
        subprocess_script._launch_process_observer = before


def _say_how(rank: int, code: int) -> None:
    how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
    print(f"rank {rank} {how}", file=sys.stderr, flush=True)


def _parent_is_rank_zero() -> bool:
    return "LOCAL_RANK" in os.environ and os.environ.get(RANK_ZERO) == str(os.getppid())
