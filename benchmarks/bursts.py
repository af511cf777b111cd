"""Loops that live in processes of their own and train when told: so many iterations at a time, blocked in between."""

import os
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor


@dataclass(frozen=True)
class Burst:
    """Iterations in a row, and how long they took, from the start of the first to the start of the one after them."""

    seconds: float
    iterations: int
    images: int

    @property
    def images_per_s(self) -> float:
        return self.images / self.seconds

    @property
    def ms(self) -> float:
        """Milliseconds an iteration."""
        return 1000 * self.seconds / self.iterations


class Pace:
    """A loop's end of the connection: waits for a number of iterations, lets them pass, says how long they took.

    Args:
        connection: numbers of iterations come in, a :class:`Burst` goes out for each. The process ends where the other
            end is closed.
        device: is waited for at both ends of a burst, where it is a GPU.
    """

    def __init__(self, connection: Connection, device: str) -> None:
        self.connection, self.on_gpu = connection, device == "cuda"
        self._asked = self._left = self._images = 0
        self._began: float | None = None

    def border(self, images: int, done: int = 0, events: Iterable[int] = ()) -> None:
        """Called where an iteration begins.

        Args:
            images: of its batch.
            done: iterations before it.
            events: what takes place besides training, each every so many iterations. A burst waits until none falls
                into it, and trains outside the clock meanwhile; one at least as long as their distance takes them in.
        """
        if self._began is not None and self._left == 0:
            self._wait_for_device()
            self.connection.send(Burst(time.perf_counter() - self._began, self._asked, self._images))
            self._began = None
        if self._began is None:
            if self._left == 0:
                self._asked = self._left = self._receive()
            if any(done // every != (done + self._asked) // every for every in events if every > self._asked):
                return
            self._images = 0
            self._wait_for_device()
            self._began = time.perf_counter()
        self._left -= 1
        self._images += images

    def _receive(self) -> int:
        try:
            return self.connection.recv()
        except EOFError:  # all bursts are done; what a run does at its end is not measured
            sys.stdout.flush()
            os._exit(0)

    def _wait_for_device(self) -> None:
        if self.on_gpu:
            torch.cuda.synchronize()


def paced(batches: Iterable[Tensor], pace: Pace) -> Iterator[Tensor]:
    """The same batches, each handed out when it is due."""
    for batch in batches:
        pace.border(len(batch))
        yield batch


PACE: list[Pace] = []  # of this process, from where a callback that Hydra makes can find it


class Bursts(Callback):
    """Has a real run train when told."""

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        PACE[0].border(len(batch), trainer.global_step, self._events(trainer))

    def _events(self, trainer: Trainer) -> list[int]:
        """Distances of pictures, FIDs and checkpoints."""
        every = [getattr(callback, "every", None) for callback in trainer.callbacks]  # type: ignore[attr-defined]
        return [distance for distance in every if isinstance(distance, int)]
