"""What this machine has, and how long it waits for others."""

import ctypes
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import torch

# glibc's numbers for mallopt (malloc.h): when freed memory goes back to the system, and what is mapped by itself.
# Last, how many heaps the threads may spread over.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8
PATIENCE = 20.0  # seconds without an answer from a server; behind a firewall libraries would wait for minutes


def cores() -> int:
    """CPU cores that this process may use, where the operating system tells; else all there are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def free_memory() -> int | None:
    """Bytes of memory that this process may still take: of the machine, its container, or what ``ulimit -v`` leaves.

    What the system holds of files and would give back counts as free. None where the operating system does not tell.
    """
    limits = []
    with suppress(ValueError, OSError, AttributeError):  # Windows has no sysconf
        limits.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    with suppress(OSError, StopIteration):  # Linux
        lines = Path("/proc/meminfo").read_text().splitlines()
        limits.append(int(next(line for line in lines if line.startswith("MemAvailable")).split()[1]) * 1024)
    with suppress(ValueError, OSError):  # "max": no limit
        limits.append(int(Path("/sys/fs/cgroup/memory.max").read_text()))
    with suppress(ImportError, OSError):
        import resource

        soft, _ = resource.getrlimit(resource.RLIMIT_AS)
        if soft != resource.RLIM_INFINITY:
            limits.append(soft - int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE"))
    return min(limits, default=None)


def bf16_instructions() -> str:
    """The instructions by which this CPU multiplies bfloat16 faster than float32; empty where it has none."""
    if torch.cpu._is_amx_tile_supported():
        return "AMX"
    return "AVX512-BF16" if torch.cpu._is_avx512_bf16_supported() else ""


def keep_freed_memory(in_one_heap: bool = False) -> bool:
    """Have glibc keep the memory that tensors leave, for the next ones; says whether it does.

    Left alone it maps every larger tensor anew, and the kernel fills each page with zeros first: for the activations of
    a DCGAN at 64x64 more than 75,000 times an iteration. What the process takes from the system is then what it needed
    at its peak. Does nothing where the environment sets the allocator, or where it is another one than glibc's.

    Args:
        in_one_heap: of all threads that there will be: those that they would have besides hold no large tensors.
    """
    if any(name.startswith("MALLOC_") or name in ("GLIBC_TUNABLES", "LD_PRELOAD") for name in os.environ):
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):  # not Linux, or another C library
        return False
    # Older versions take no more than 32 MiB.
    mapped = mallopt(M_MMAP_THRESHOLD, 2**30) or mallopt(M_MMAP_THRESHOLD, 2**25)
    if in_one_heap:
        mallopt(M_ARENA_MAX, 1)
    return bool(mapped and mallopt(M_TRIM_THRESHOLD, 2**31 - 1))


def look_for_gpus_once() -> None:
    """Where there is no GPU, spare every optimizer step a search for NVIDIA's library.

    PyTorch asks for devices in each step. Importing Lightning makes that question go to NVML, so that a process can
    ask and still fork; without a GPU there is nothing that forking could harm.
    """
    if not torch.cuda.is_available():
        os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "0"


@contextmanager
def limited_waiting() -> Iterator[None]:
    """Give up on a connection that stays silent for :data:`PATIENCE`."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(PATIENCE)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
