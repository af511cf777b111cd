"""What each ingredient of the kit's speed gives: ``python -m benchmarks.ingredients``.

One update of D and one of G on one batch, in a plain loop, with one ingredient after the other added; all variants take
turns, and each ratio is of two in the same round. Kept memory is a process's own affair: the whole is done in two
processes, without it and with it. Writes its table into docs/performance.md.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace

import torch
from torch import nn

from benchmarks.report import PERFORMANCE, ROOT, circumstances, replace_section
from dcgan_lightning.gan_module import frozen
from dcgan_lightning.machine import keep_freed_memory
from dcgan_lightning.networks.convolution import as_products
from dcgan_lightning.networks.dcgan import Discriminator, Generator

BATCH = 128


@dataclass(frozen=True)
class Ways:
    """How an iteration is computed."""

    freeze: bool = False  # no gradients for D's weights in G's update
    channels_last: bool = False
    products: bool = False  # layers as matrix products
    bf16: bool = False  # autocast


LADDER = {"plain": Ways(), "D frozen in G's update": Ways(freeze=True)}
LADDER["+ channels last"] = replace(LADDER["D frozen in G's update"], channels_last=True)
LADDER["+ matrix products"] = replace(LADDER["+ channels last"], products=True)
LADDER["+ bfloat16"] = replace(LADDER["+ matrix products"], bf16=True)
LADDER["bfloat16 without matrix products"] = replace(LADDER["+ bfloat16"], products=False)


def iteration(size: int, channels: int, width: int, ways: Ways) -> Callable[[], None]:
    """One iteration of a DCGAN of its own, on a fixed batch."""
    shape = {"image_size": size, "channels": channels, "width": width}
    net_g, net_d = Generator(latent_dim=100, **shape), Discriminator(**shape)
    memory_format = torch.channels_last if ways.channels_last else torch.contiguous_format
    for network in (net_g, net_d):
        network.to(memory_format=memory_format)
        as_products(network, ways.products)
    adam_d = torch.optim.Adam(net_d.parameters(), lr=2e-4, betas=(0.5, 0.999))
    adam_g = torch.optim.Adam(net_g.parameters(), lr=2e-4, betas=(0.5, 0.999))
    real = (torch.rand(BATCH, channels, size, size) * 2 - 1).contiguous(memory_format=memory_format)
    criterion = nn.functional.binary_cross_entropy_with_logits
    ones, zeros = torch.ones(BATCH), torch.zeros(BATCH)

    def run() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=ways.bf16):
            fake = net_g(torch.randn(BATCH, 100))
            adam_d.zero_grad()
            (criterion(net_d(real).float(), ones) + criterion(net_d(fake.detach()).float(), zeros)).backward()
            adam_d.step()
            torch.clear_autocast_cache()
            with frozen(net_d) if ways.freeze else nullcontext():
                adam_g.zero_grad()
                criterion(net_d(fake).float(), ones).backward()
                adam_g.step()
            torch.clear_autocast_cache()

    return run


def rounds(size: int, channels: int, width: int, pairs: int, repeats: int) -> dict[str, list[float]]:
    """Seconds an iteration, round by round, of every variant."""
    variants = {name: iteration(size, channels, width, ways) for name, ways in LADDER.items()}
    for run in variants.values():
        run()
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(pairs):
        for name, run in variants.items():
            began = time.perf_counter()
            for _ in range(repeats):
                run()
            seconds[name].append((time.perf_counter() - began) / repeats)
    return seconds


def lines(case: str, without: dict[str, list[float]], kept: dict[str, list[float]]) -> list[str]:
    """Rows of the table: each variant against plain, without and with kept memory."""
    made = []
    for name, seconds in without.items():
        pace = BATCH / statistics.median(seconds)
        ratio = statistics.median(plain / own for plain, own in zip(without["plain"], seconds, strict=True))
        ratio_kept = statistics.median(plain / own for plain, own in zip(kept["plain"], kept[name], strict=True))
        allocator = statistics.median(seconds) / statistics.median(kept[name])
        made.append(f"| {case} | {name} | {pace:.0f} | {ratio:.2f} | {ratio_kept:.2f} | {allocator:.2f} |")
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--process", nargs=6, type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.process:
        *sizes, keep = given.process
        if keep:
            keep_freed_memory()
        print(json.dumps(rounds(*sizes)))
        return
    table = [
        "| network | ways | images/s | x plain | x plain, both keeping memory | x by keeping memory |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for case, size, channels, width, repeats in (
        ("DCGAN 32x32x1, widths 32", 32, 1, 32, 10),
        ("DCGAN 32x32x1, widths 64", 32, 1, 64, 4),
        ("DCGAN 64x64x3, widths 64", 64, 3, 64, 1),
    ):
        results = []
        for keep in (0, 1):
            arguments = map(str, (size, channels, width, given.pairs, repeats, keep))
            command = [sys.executable, "-m", "benchmarks.ingredients", "--process", *arguments]
            results.append(json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout))
        table += lines(case, *results)
        print("\n".join(table), flush=True)
    text = f"{circumstances(f'python -m benchmarks.ingredients --pairs {given.pairs}')}\n\n" + "\n".join(table)
    replace_section(PERFORMANCE, "benchmarks.ingredients", text)


if __name__ == "__main__":
    main()
