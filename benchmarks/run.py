"""Training speed on this machine: the kit against the tutorial's loops, and against a loop without Lightning.

``python -m benchmarks.run`` measures every row and writes its section of docs/performance.md; ``--quick`` takes less
than three minutes, ``--device cuda`` measures the rows of a GPU. Let nothing else run meanwhile.
"""

import argparse
import os
import shlex
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import torch

from benchmarks import card
from benchmarks.compare import Beyond, Compared, Work, beyond_bare, compare
from benchmarks.report import PERFORMANCE, ROOT, circumstances, replace_section
from benchmarks.rows import MOST_MS, MOST_SHARE, OVERHEADS, ROWS
from dcgan_lightning.machine import bf16_instructions

ROUNDS, QUICK_ROUNDS = 7, 3
DATA = "data"  # images into a batch, which have a command and a section of their own
IN_WORDS = {"32-true": "float32", "bf16-mixed": "bfloat16"}
ALLOCATOR = ("MALLOC_", "GLIBC_TUNABLES", "LD_PRELOAD")


def training(results: dict[str, Compared]) -> Iterator[str]:
    """The rows against the tutorial's loops, and the targets."""
    units = bf16_instructions()
    yield (
        "| | tutorial's loop, img/s | listed, AMX / Zen 5 | float32, img/s | ratio | aimed at "
        f"| bfloat16, img/s | ratio | aimed at{f', {units}' if units else ''} |"
    )
    yield "| --- | --- | --- | --- | --- | --- | --- | --- | --- |"
    for name, result in results.items():
        row = ROWS[name]
        cells = [row.words, f"{result.tutorial.images_per_s:,.0f}", row.listed]
        for precision, target in (("32-true", row.fp32), ("bf16-mixed", row.bf16.get(units))):
            if precision in result.kit:
                cells += [f"{result.kit[precision].images_per_s:,.0f}", result.ratios[precision].text(".2f")]
            else:
                cells += ["-", "-"]
            cells.append(f"{target}" if target else "-")
        yield f"| {' | '.join(cells)} |"


def work(results: dict[str, Compared]) -> Iterator[str]:
    """Operations an image, and what part of a matrix product's speed that makes."""
    yield "| | loop | GFLOP an image | GFLOP/s | a matrix product's | part of it |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for name, result in results.items():
        yield _work(ROWS[name].words, "tutorial's", result.tutorial)
        for precision, done in result.kit.items():
            yield _work("", f"kit, {IN_WORDS[precision]}", done)


def _work(words: str, loop: str, done: Work) -> str:
    speeds = f"{done.flops_per_s / 1e9:,.0f} | {done.product / 1e9:,.0f} | {done.utilisation:.0%}"
    return f"| {words} | {loop} | {done.flops / 1e9:.3f} | {speeds} |"


def overheads(results: dict[str, dict[str, Beyond]]) -> Iterator[str]:
    """The kit against the bare loop of the same maths."""
    yield "| | arithmetic | bare loop, ms | kit, ms | more, ms | more | aimed at |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for name, of in results.items():
        for precision, it in of.items():
            aim = f"{MOST_MS} ms" if name == "lightning" else f"{MOST_SHARE:.0%}" if precision != "32-true" else "-"
            spreads = f"{it.bare_ms.text('.2f')} | {it.kit_ms.text('.2f')} | {it.more_ms.text('.2f')}"
            first = f"{OVERHEADS[name].words} | {IN_WORDS[precision]}"
            yield f"| {first} | {spreads} | {it.more_share.text('.1%')} | {aim} |"


def on_cpu(names: Sequence[str], quick: bool) -> Iterator[str]:
    """Measure rows of the CPU; the lines of the section."""
    precisions = ["32-true", *(["bf16-mixed"] if bf16_instructions() else [])]
    rounds = QUICK_ROUNDS if quick else ROUNDS
    compared: dict[str, Compared] = {}
    beyond: dict[str, dict[str, Beyond]] = {}
    for name in names:
        if name == DATA:
            continue
        if name in ROWS:
            row = ROWS[name]
            compared[name] = compare(row, precisions, row.quick if quick else row.iterations, rounds)
            _show([*training({name: compared[name]}), "", *work({name: compared[name]})])
        else:
            overhead = OVERHEADS[name]
            beyond[name] = beyond_bare(overhead, precisions, overhead.quick if quick else overhead.iterations, rounds)
            _show(overheads({name: beyond[name]}))
    yield f"{torch.get_num_threads()} threads; medians of {rounds} rounds, smallest and largest ratio in brackets."
    for title, rows in (("Against the tutorial's loops", training(compared)), ("Operations", work(compared))):
        if compared:
            yield from ("", f"### {title}", "", *rows)
    if beyond:
        yield from ("", "### Against a bare loop of the same maths", "", *overheads(beyond))


def on_card(device: str, quick: bool) -> Iterator[str]:
    """Measure the rows of a GPU, or their tiny stand-in on a CPU."""
    size, name = (
        (card.CELEBA, torch.cuda.get_device_name()) if device == "cuda" else (card.TINY, "a stand-in on the CPU")
    )
    side = size.image_size
    yield (
        f"On {name}: DCGAN of widths {size.width}, {size.count:,} synthetic uint8 images {side}x{side}x3, batch "
        f"{size.batch}; medians of rounds, smallest and largest ratio in brackets."
    )
    yield ""
    for line in card.measure(size, device, QUICK_ROUNDS if quick else ROUNDS):
        _show([line])
        yield line


def _show(lines: Iterable[str]) -> None:
    print(*lines, sep="\n", flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    cpu_rows = [*ROWS, *OVERHEADS, DATA]
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="shorter bursts, and fewer of them")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--rows", nargs="+", choices=[*cpu_rows, "card"], help="only these; printed, not written")
    parser.add_argument("--page", type=Path, help="where the section goes; docs/performance.md where all is measured")
    given = parser.parse_args(arguments)
    names = given.rows or (cpu_rows if given.device == "cpu" else ["card"])
    if given.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: there is no CUDA device here; --rows card tries the same on the CPU, tiny")
    if "card" in names and len(names) > 1:
        parser.error("--rows card goes by itself")
    if given.device == "cuda" and names != ["card"]:
        parser.error(f"--rows {' '.join(names)}: on a GPU there is card")
    allocator = [name for name in os.environ if name.startswith(ALLOCATOR)]
    if allocator:
        parser.error(f"{', '.join(allocator)} would set the allocator of both sides; unset it")
    lines = on_card(given.device, given.quick) if names == ["card"] else on_cpu(names, given.quick)
    command = shlex.join(["python", "-m", "benchmarks.run", *(sys.argv[1:] if arguments is None else arguments)])
    text = "\n".join([circumstances(command), "", *(lines if names != [DATA] else [])])
    page = given.page or (None if given.rows else PERFORMANCE)
    if page is not None and names != [DATA]:
        section = "benchmarks.run" if names != ["card"] else "benchmarks.run.cuda"
        replace_section(page, section, text)
        print(f"\nwritten to {page}, section {section}")
    if DATA in names:
        turns = ["--turns", "2"] if given.quick else []
        kept = [] if page == PERFORMANCE else ["--print"]
        subprocess.run([sys.executable, "-m", "benchmarks.data_rates", *turns, *kept], cwd=ROOT, check=True)


if __name__ == "__main__":
    main()
