"""What this machine has."""

import os


def cores() -> int:
    """CPU cores that this process may use, where the operating system tells; else all there are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
