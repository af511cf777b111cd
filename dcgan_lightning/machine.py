"""What this machine has, and how long it waits for others."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

PATIENCE = 20.0  # seconds without an answer from a server; behind a firewall libraries would wait for minutes


def cores() -> int:
    """CPU cores that this process may use, where the operating system tells; else all there are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def limited_waiting() -> Iterator[None]:
    """Give up on a connection that stays silent for :data:`PATIENCE`."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(PATIENCE)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
