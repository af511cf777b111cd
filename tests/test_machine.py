"""What the kit asks of the machine."""

import platform
import subprocess
import sys

import pytest
import torch

from dcgan_lightning import machine

# Page faults while tensors of 64 MiB, more than glibc keeps by itself, come and go ten times.
CHURN = """
import resource, sys
import torch
from dcgan_lightning.machine import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()
for n in (10, 10):  # the first ones take what the process will need
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(n):
        torch.ones(2**24)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how):
    done = subprocess.run([sys.executable, "-c", CHURN, how], capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.slow
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's allocator")
def test_memory_that_tensors_leave_is_kept():
    pages = 10 * 2**26 // 4096
    assert faults("leave") > pages / 2  # each tensor's pages are new ones
    assert faults("keep") < pages / 20


@pytest.mark.parametrize("name", ["MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES", "LD_PRELOAD"])
def test_an_allocator_that_the_environment_sets_is_left_alone(monkeypatch, name):
    monkeypatch.setenv(name, "1")
    assert not machine.keep_freed_memory()


@pytest.mark.parametrize(("there_is", "asks_nvml"), [(True, "1"), (False, "0")])
def test_gpus_are_looked_for_once_where_there_are_none(monkeypatch, there_is, asks_nvml):
    monkeypatch.setenv("PYTORCH_NVML_BASED_CUDA_CHECK", "1")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there_is)
    machine.look_for_gpus_once()
    assert machine.os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] == asks_nvml


@pytest.mark.parametrize(
    ("amx", "avx", "words"), [(True, True, "AMX"), (False, True, "AVX512-BF16"), (False, False, "")]
)
def test_the_instructions_for_bfloat16(monkeypatch, amx, avx, words):
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx)
    assert machine.bf16_instructions() == words
