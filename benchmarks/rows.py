"""What is compared with what on a CPU: the rows of docs/performance.md and the targets they are held against."""

from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks import sides
from benchmarks.sides import Side

AMX, AVX512 = "AMX", "AVX512-BF16"  # as dcgan_lightning.machine.bf16_instructions names them


@dataclass(frozen=True)
class Row:
    """The kit against a tutorial's loop.

    Args:
        words: for the table.
        kit: overrides of ``train.py``.
        tutorial: the loop it is compared with.
        iterations: in a burst.
        quick: in a burst with ``--quick``.
        listed: img/s of the tutorial's loop that were expected, with AMX / on Zen 5.
        fp32: ratio aimed at in float32.
        bf16: ratio aimed at in bfloat16, by the CPU's instructions.
    """

    words: str
    kit: tuple[str, ...]
    tutorial: Side
    iterations: int
    quick: int
    listed: str
    fp32: float
    bf16: Mapping[str, float]


def _dcgan(width: int, size: int, channels: int) -> tuple[str, ...]:
    widths = (f"model.generator.width={width}", f"model.discriminator.width={width}")
    images = ("data=mnist_mini", f"data.image_size={size}", f"data.channels={channels}", "data.batch_size=128")
    return ("model=dcgan", *widths, *images)


WHOLE_BATCHES = "data.drop_last=true"  # as the ready-made batches of the other side
ROWS = {
    "dcgan64": Row(
        words="DCGAN 64x64x3, widths 64, batch 128",
        kit=(*_dcgan(64, 64, 3), WHOLE_BATCHES),
        tutorial=Side(sides.tutorial, ((3, 64, 64), 128, 64)),
        iterations=2,
        quick=1,
        listed="80 / 101-121",
        fp32=1.3,
        bf16={AMX: 3.4, AVX512: 2.4},
    ),
    "dcgan32": Row(
        words="DCGAN 32x32x1, widths 32",
        kit=(*_dcgan(32, 32, 1), WHOLE_BATCHES),
        tutorial=Side(sides.tutorial, ((1, 32, 32), 128, 32)),
        iterations=40,
        quick=10,
        listed="1,290 / 1,600-1,730",
        fp32=1.4,
        bf16={AMX: 2.9, AVX512: 1.8},
    ),
    "dcgan32_wide": Row(
        words="DCGAN 32x32x1, widths 64",
        kit=(*_dcgan(64, 32, 1), WHOLE_BATCHES),
        tutorial=Side(sides.tutorial, ((1, 32, 32), 128, 64)),
        iterations=20,
        quick=4,
        listed="475 / 600",
        fp32=1.3,
        bf16={AMX: 3.0, AVX512: 2.0},
    ),
    "guide": Row(
        words="the guide's 28x28 model, batch 64",
        kit=("experiment=guide_stable", "data=mnist_mini"),
        tutorial=Side(sides.guide, (64,)),
        iterations=15,
        quick=4,
        listed="263 / 240-340",
        fp32=1.25,
        bf16={AMX: 3.0, AVX512: 2.2},
    ),
    "end_to_end": Row(
        words="32x32x1, widths 32, end to end, data included",
        kit=_dcgan(32, 32, 1),
        tutorial=Side(sides.tutorial_with_data, (32, 32)),
        iterations=40,
        quick=16,
        listed="1,170 / -",
        fp32=1.5,
        bf16={AMX: 3.2, AVX512: 2.0},
    ),
}


@dataclass(frozen=True)
class Overhead:
    """The kit against the bare loop of the same maths."""

    words: str
    overrides: tuple[str, ...]
    iterations: int
    quick: int


OVERHEADS = {
    "lightning": Overhead(
        words="an iteration that is next to nothing: 28x28x1, widths 4, batch 16",
        overrides=(
            *("model=dcgan", "model.generator.width=4", "model.discriminator.width=4"),
            *("data=mnist_mini", "data.image_size=28", "data.batch_size=16", WHOLE_BATCHES),
        ),
        iterations=100,  # with two of the fetches that come every 50
        quick=50,
    ),
    "default": Overhead(words="the default run", overrides=(WHOLE_BATCHES,), iterations=40, quick=10),
}
MOST_MS, MOST_SHARE = 0.7, 0.1  # aimed at: of an iteration, and of the default run's in bfloat16
