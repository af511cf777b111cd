"""kill -9 at a random moment of a run that saves in every or every other iteration, and measures FIDs in between."""

import functools
import random
import signal
import time
from pathlib import Path

from benchmarks.reliability.runs import PATIENCE, Run, Watch, flaws, flaws_of_going_on
from benchmarks.reliability.trial import Result, Trial
from dcgan_lightning.errors import Refusal

LONGEST = 2.0  # seconds from the first checkpoint to the kill, which are several saves
IN_SAVE = 0.06  # seconds more, in half of the trials, from the beginning of the next save to the kill
GO_ON_EVERY = 5  # trials


def trials(seed: int, count: int) -> list[Trial]:
    """As many; of every fifth the run goes on afterwards."""
    return [
        Trial(f"kill_{number:02d}", functools.partial(_kill, seed=seed, number=number, go_on=number % GO_ON_EVERY == 0))
        for number in range(count)
    ]


def _kill(folder: Path, seed: int, number: int, go_on: bool) -> Result:
    drawn = random.Random(f"kill {seed} {number}")
    delay, every, fid = drawn.uniform(0, LONGEST), drawn.choice([1, 2]), drawn.choice([3, 5])
    in_save, further = drawn.random() < 0.5, drawn.uniform(0, IN_SAVE)
    intervals = [f"callbacks.checkpoints.every={every}", f"callbacks.fid.every={fid}", "trainer.max_steps=100000"]
    with Run(folder / "run", folder, *intervals) as run:
        if problem := run.wait_for_checkpoint():
            return Result(0, problem)
        watch, moment = Watch(run.last), time.monotonic() + delay
        watch.look()
        while time.monotonic() < moment:
            watch.look()
            time.sleep(min(0.002, max(0, moment - time.monotonic())))
        while in_save and not run.saving() and not run.ended(within=0) and time.monotonic() < moment + PATIENCE:
            watch.look()
        time.sleep(further if in_save else 0)
        code = run.kill()
    if code != -signal.SIGKILL:
        return Result(0, f"the run had ended by itself, with {code}: {run.words}")
    print(f"{watch.saves} saves seen, killed {'while saving' if run.saving() else 'between two saves'}")
    try:
        problems = [*flaws(run.folder, watch.iteration())]
    except Refusal as refusal:
        problems = [f"what was in the place of last.ckpt cannot be read: {refusal}"]
    if go_on and not problems:
        problems += flaws_of_going_on(run.folder, folder, more=4)
    after = f"{delay * 1000:.0f} ms after the first checkpoint, {watch.saves} saves seen: "
    return Result(1, after + "; ".join(problems) if problems else "")
