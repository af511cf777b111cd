"""Command lines at random (:mod:`benchmarks.reliability.overrides`): refused by name with nothing left, or accepted.

What is accepted has values of the kinds that ``conf/`` has there, and trains.
"""

import contextlib
import importlib
import io
import json
import math
import os
import re
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from lightning.pytorch import Trainer
from omegaconf import DictConfig, OmegaConf
from PIL import Image

from benchmarks.reliability.overrides import GROUPS, leaves, lines
from benchmarks.reliability.trial import Result, Trial

ROOT = Path(__file__).parents[2]
# Networks and data that train in an instant; what a trial sets comes after them.
TINY = (
    *("data.batch_size=16", "model.generator.width=4", "model.discriminator.width=4", "callbacks.figures=null"),
    *("callbacks.fid.num_samples=16", "callbacks.grid.n=4", "trainer.accelerator=cpu", "data.cache_dir=../cache"),
)
TRAINED = 8  # one in so many of what is made without large numbers is trained, too
STEPS = 2  # iterations that it is trained
PATIENCE = 30.0  # seconds that composing and checking may take, or those iterations
ROOM = 4 * 2**30  # bytes of address space that a trial may take besides what the process has
PICTURES = 40  # images of the folder that data=image_folder is given


class Accepted(BaseException):
    """Raised where training would begin. No ``Exception``, which the kit would take for a failure of the run."""


class TookTooLong(BaseException):
    """A trial that does not come to an end."""


@dataclass
class Outcome:
    """What came of a command line.

    Attributes:
        code: it exited with; None where it was accepted, and not trained.
        err: what it printed on standard error.
        error: what it raised besides ``SystemExit``.
        made: what there is in its working directory, and was not before.
        cfg: the composed config, where it came to one.
    """

    code: object
    err: str
    error: BaseException | None
    made: list[str]
    cfg: DictConfig | None = field(repr=False, default=None)


def trials(seed: int, count: int) -> list[Trial]:
    """Command lines composed and checked in this process, some of them trained."""
    trained = count // TRAINED
    listed = [(line, False) for line in lines(count - trained, seed)]
    listed += [(line, True) for line in lines(trained, seed + 1, large=False)]
    return [
        Trial(f"{number:04d} {' '.join(line)[:100]}", partial(_here, line, trained))
        for number, (line, trained) in enumerate(listed)
    ]


def command_line_trials(seed: int, count: int) -> list[Trial]:
    """Command lines given to ``python train.py``."""
    return [
        Trial(f"{number:04d} {' '.join(line)[:100]}", partial(_command, line))
        for number, line in enumerate(lines(count, seed + 2, large=False))
    ]


def _here(line: tuple[str, ...], trained: bool, folder: Path) -> Result:
    return Result(1, judged(line, run(line, folder, trained)))


def _command(line: tuple[str, ...], folder: Path) -> Result:
    work = _places(line, folder)
    command = [sys.executable, str(ROOT / "train.py"), *_whole(line), f"trainer.max_steps={STEPS}"]
    env = {**os.environ, **_environment(folder), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=work, env=env, capture_output=True, text=True, errors="replace", timeout=240)
    made = sorted(str(path.relative_to(work)) for path in work.rglob("*"))
    return Result(1, judged(line, Outcome(done.returncode, done.stderr, None, made)))


def run(line: Sequence[str], folder: Path, trained: bool) -> Outcome:
    """Do in this process what ``python train.py`` does with these overrides, up to the training or with a little of it.

    Args:
        line: the overrides.
        folder: an empty one.
        trained: whether to train :data:`STEPS` iterations, of at most as many.
    """
    from dcgan_lightning import cli
    from dcgan_lightning.command_line import completed

    verb_of_train = importlib.import_module("train").train  # the verbs lie beside the package
    composed: list[DictConfig] = []
    fit = Trainer.fit

    def short(trainer: Trainer, *arguments: Any, **named: Any) -> None:
        if not trained:
            raise Accepted
        trainer.fit_loop.epoch_loop.max_steps = STEPS
        fit(trainer, *arguments, **named)

    def verb(cfg: DictConfig) -> None:
        composed.append(cfg.copy())
        verb_of_train(cfg)

    work, out, err = _places(line, folder), io.StringIO(), io.StringIO()
    code: object = 0
    error: BaseException | None = None
    with contextlib.ExitStack() as stack:
        stack.enter_context(patch.object(Trainer, "fit", short))
        stack.enter_context(patch.object(sys, "argv", ["train.py", *_whole(line)]))
        stack.enter_context(patch.dict(os.environ, _environment(folder)))
        stack.enter_context(contextlib.chdir(work))
        stack.enter_context(contextlib.redirect_stdout(out))
        stack.enter_context(contextlib.redirect_stderr(err))
        stack.enter_context(_limits())
        try:
            cli.run(verb, "train", completed)
        except SystemExit as exit_:
            code = exit_.code
        except Accepted:
            code = None
        except BaseException as caught:
            error = caught
        HydraConfig.instance().cfg = None
        GlobalHydra.instance().clear()
        torch.use_deterministic_algorithms(False)
    made = sorted(str(path.relative_to(work)) for path in work.rglob("*"))
    return Outcome(code, err.getvalue(), error, made, composed[0] if composed else None)


def judged(line: Sequence[str], outcome: Outcome) -> str:
    """What went otherwise than it should, empty for nothing."""
    said = f"{' '.join(line)[:400]} -> {outcome.code}, {outcome.err[-700:]}"
    if outcome.error is not None:
        return f"{type(outcome.error).__name__}: {str(outcome.error)[:500]} from {said}"
    if "Traceback (most recent call last)" in outcome.err or "Error executing job" in outcome.err:
        return f"a traceback from {said}"
    if outcome.code in (None, 0):
        wrong = _of_another_kind(line, outcome.cfg) if outcome.cfg is not None else ""
        return f"accepted, though {wrong}: {said}" if wrong else ""
    if outcome.code == 1 and re.search(r"^Stopped: ", outcome.err, re.MULTILINE):
        return ""  # diverged, and said so
    if outcome.code != 2 or "Refused: " not in outcome.err:
        return f"neither refused nor accepted: {said}"
    if outcome.made:
        return f"left {outcome.made[:5]}: {said}"
    message = outcome.err[outcome.err.rindex("Refused: ") :]
    first = message.removeprefix("Refused: ").partition("=")[0]
    options = [_option(word) for word in line]
    named = any(name and name in message for option in options for name in (option, option.rpartition(".")[2]))
    above = any(option.startswith(f"{first}.") for option in options)
    chosen = re.match(rf"Refused: ({'|'.join(GROUPS)})=\w", message)
    return "" if named or above or chosen or ("." in first and first in leaves()) else f"no option is named: {said}"


def _option(word: str) -> str:
    return word.lstrip("+~").partition("=")[0]


def _of_another_kind(line: Sequence[str], cfg: DictConfig) -> str:
    """The first option whose value is of another kind than conf/ has there, or not finite; empty for none."""
    for option in map(_option, line):
        right, value = leaves().get(option), OmegaConf.select(cfg, option)
        if isinstance(value, float) and not math.isfinite(value):
            return f"{option} is {value}"
        kinds = {bool: (bool,), int: (int,), float: (int, float), str: (str,)}.get(type(right))
        several = option in (
            "trainer.devices",
            "data.image_size",
            "data.digit",
            "trainer.deterministic",
            "logger.version",
        )
        if kinds is None or value is None or several:
            continue
        if not isinstance(value, kinds) or (isinstance(value, bool) and right is not True and right is not False):
            return f"{option} is {value!r}, not like {right!r}"
    return ""


def _whole(line: Sequence[str]) -> list[str]:
    data = [word for word in line if word.startswith("data=")]
    anime = any(re.match("experiment=(dcgan_anime|anime_ratio)", word) for word in line)
    faces = data == ["data=image_folder"] or (anime and not data)
    others = faces or any(re.match(r"data=(?!mnist_mini)|experiment=", word) for word in line)
    own = ["data.root=../pictures"] if faces else [] if others else ["data.digit=8"]  # one class is less to measure
    return [*TINY, *own, *line]


def _places(line: Sequence[str], folder: Path) -> Path:
    """The working directory, empty, and beside it the images that the command line may name."""
    (folder / "work").mkdir()
    if "data.root=../pictures" in _whole(line):
        (folder / "pictures").mkdir()
        noise = np.random.default_rng(0).integers(0, 256, (PICTURES, 100, 100, 3), dtype=np.uint8)
        for number, pixels in enumerate(noise):
            Image.fromarray(pixels).save(folder / "pictures" / f"{number}.bmp")
    return folder / "work"


def _environment(folder: Path) -> dict[str, str]:
    """No way to the network, and homes of its own for what is kept."""
    away = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
    homes = {name: str(folder / "home") for name in ("HOME", "XDG_CACHE_HOME", "TORCH_HOME")}
    return away | homes


@contextlib.contextmanager
def _limits() -> Iterator[None]:
    """Time and memory for one trial."""

    def late(*_: object) -> None:
        raise TookTooLong(f"not done after {PATIENCE:.0f} s")

    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0]) if sys.platform == "linux" else None
    handler = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, PATIENCE)
    try:
        if pages is not None:
            resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + ROOM, hard))
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def main() -> None:
    """``python -m benchmarks.reliability.fuzz SEED COUNT``: one after another, printing what was lost."""
    import tempfile
    import time

    seed, count = map(int, sys.argv[1:3])
    began, lost = time.monotonic(), 0
    for trial in trials(seed, count):
        with tempfile.TemporaryDirectory() as folder:
            start = time.monotonic()
            result = trial.run(Path(folder))
            if result.loss:
                lost += 1
                print(f"--- {trial.name[:4]} {time.monotonic() - start:.1f} s: {json.dumps(result.loss)}", flush=True)
    print(f"{count} trials, {lost} lost, {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
