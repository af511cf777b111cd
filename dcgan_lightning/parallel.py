"""Whole batches side by side on a CPU's cores."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from itertools import islice
from threading import Lock
from typing import TypeVar

import torch
from torch import nn

from dcgan_lightning.machine import cores

T = TypeVar("T")
MOST = 16  # threads: each holds a batch and what a network makes of it on the way


def in_order(jobs: Iterable[Callable[[], T]]) -> Iterator[T]:
    """What the jobs return, in their order, while threads work on those that follow.

    There is a thread for each core, and torch computes on a single one in each: cores that share every layer of a small
    network wait for each other at its end, and could not do anything else meanwhile, such as writing files. So the
    numbers do not depend on how many cores there are.

    Jobs are taken from ``jobs`` only a few ahead of what has been asked for, so that memory holds a few of their
    results, however many there are. What a job raises is raised where its result would come; of the others those that
    have begun come to their end first, and the rest are left.
    """
    threads, workers = torch.get_num_threads(), workers_here()
    source = iter(jobs)
    with ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        ahead: deque[Future[T]] = deque(pool.submit(job) for job in islice(source, 2 * workers))
        try:
            while ahead:
                result = ahead.popleft().result()
                ahead.extend(pool.submit(job) for job in islice(source, 1))
                yield result
        finally:
            pool.shutdown(cancel_futures=True)
            torch.set_num_threads(threads)  # what is set in a thread holds for all that start after it


def workers_here() -> int:
    """How many threads work side by side."""
    return min(cores(), MOST)


def share(batch_size: int, n: int, network: nn.Module) -> int:
    """How many of ``n`` images a job draws: on a CPU its part of a batch, so that all threads together hold one."""
    batch = min(batch_size, n)
    return -(-batch // workers_here()) if next(network.parameters()).device.type == "cpu" else batch


def turns(network: nn.Module) -> AbstractContextManager[object]:
    """What jobs enter to compute with a network: on a CPU all at once, on another device one after the other."""
    return nullcontext() if next(network.parameters()).device.type == "cpu" else Lock()
