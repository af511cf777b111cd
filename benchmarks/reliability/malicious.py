"""Files, folders and names from strangers, given to the commands as a user would: nothing may be run or fetched.

Every trial has a marker, which only code from a stranger's file would create; a command has to leave it alone, open no
connection, and end with exit code 2 and one message that names the file and what to do.
"""

import contextlib
import io
import os
import runpy
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from benchmarks.reliability import malicious_files, malicious_folders, malicious_settings
from benchmarks.reliability.kinds import ROOT
from benchmarks.reliability.trial import Result, Trial

# torch.load is told so, where a program does not say otherwise.
ENVIRONMENT = {"TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1", "TORCH_FORCE_WEIGHTS_ONLY_LOAD": "0"}
TINY = ("data.digit=8", "model.generator.width=2", "model.discriminator.width=2", "trainer.accelerator=cpu")
TRAIN = ("train.py", *TINY, "callbacks.figures=null", "trainer.max_steps=1", "data.cache_dir=cache")
READERS = {  # how a file comes to be read; {} is its path
    "generate.py ckpt_path=": ("generate.py", "ckpt_path={}", "n=1"),
    "train.py ckpt_path=": (*TRAIN, "ckpt_path={}"),
    "generate.py weights=": ("generate.py", "weights={}", "model=dcgan", "n=1"),
    "train.py model.generator_weights=": (*TRAIN, "model.generator_weights={}"),
    "rebuild.py run=": ("rebuild.py", "run={folder}"),
}
URLS = (
    "http://localhost:9/x.ckpt",
    "https://example.com/x.ckpt",
    "s3://bucket/x.ckpt",
    "gs://bucket/x.ckpt",
    "hf://a/b/x.ckpt",
    "file:///tmp/x.ckpt",
    "github://org:repo@main/x.ckpt",
    "simplecache::http://localhost:9/x.ckpt",
    "zip://x::http://localhost:9/x.zip",
)
OPENERS = {  # options that take a path
    "ckpt_path": ("generate.py", "n=1"),
    "weights": ("generate.py", "model=dcgan", "n=1"),
    "discriminator_weights": ("generate.py", "model=dcgan", "n=1", "select_from=2", "weights=good.pth"),
    "run": ("rebuild.py",),
    "train.py ckpt_path": TRAIN,
    "model.generator_weights": TRAIN,
    "model.discriminator_weights": TRAIN,
    "metrics.features.weights_path": (*TRAIN, "metrics=fid_inception"),
    "data.root": (*TRAIN, "data=image_folder"),
    "data.cache_dir": TRAIN,
}


@dataclass
class Outcome:
    """What a command did: exit code, what it printed, and the addresses that it wanted to reach."""

    code: int
    printed: str
    reached: list[str]


def trials() -> list[Trial]:
    """All of them; the first of each file, then every other way to have it read."""
    files = malicious_files.CARELESS | malicious_files.OTHERS | malicious_settings.SETTINGS | malicious_files.HARMLESS
    firsts: list[Trial] = []
    others: list[Trial] = []
    for number, (name, make) in enumerate(files.items()):
        good = name in malicious_files.HARMLESS
        readers = _readers(name)
        # Turn about, so that the firsts take every way.
        for turn, reader in enumerate(readers[number % len(readers) :] + readers[: number % len(readers)]):
            suffix = ".ckpt" if "ckpt" in reader or "rebuild" in reader else ".pth"
            (others if turn else firsts).append(_of_file(f"{name}, {reader}", make, reader, suffix, good))
    for name, make in malicious_files.CARELESS.items():
        others.append(_of_file(f"{name}, as .safetensors", make, "generate.py weights=", ".safetensors", False))
    for number, (option, command) in enumerate(OPENERS.items()):
        for turn in range(len(URLS)):
            url = URLS[(number + turn) % len(URLS)]
            (others if turn else firsts).append(_of_url(option, command, url))
    firsts += [_of_folder(name, stranger) for name, stranger in malicious_folders.FOLDERS.items()]
    return [*firsts, *others]


def firsts(listed: list[Trial]) -> list[Trial]:
    """One trial of each file, folder and option, of all :func:`trials`."""
    known: dict[str, Trial] = {}
    for trial in listed:
        known.setdefault(trial.name.partition(", ")[0], trial)
    return list(known.values())


def command(arguments: list[str], where: Path) -> Outcome:
    """Run a verb as the command line does, in this process and in a folder, with a careless environment."""
    reached: list[str] = []
    printed = io.StringIO()
    code: Any = 0
    said = contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed)
    # train.py would take this process along when it is done.
    stays = mock.patch("dcgan_lightning.signals.leaving_at_once", contextlib.nullcontext)
    with _in(where, arguments), _watched(reached), said[0], said[1], stays:
        try:
            runpy.run_path(str(ROOT / arguments[0]), run_name="__main__")
        except SystemExit as exit_:
            code = exit_.code
    return Outcome(code or 0, printed.getvalue(), reached)


def loss(outcome: Outcome, marker: Path, *words: str, codes: tuple[int, ...] = (2,)) -> str:
    """What was lost, in words; empty where nothing was.

    Args:
        outcome: of the command.
        marker: that code from a stranger would have made.
        words: that the message has to have in it.
        codes: that the command may end with.
    """
    lines = outcome.printed.strip().splitlines()
    if marker.exists():
        return "it was executed"
    if outcome.reached:
        return f"it wanted to reach {', '.join(outcome.reached)}"
    if "Traceback" in outcome.printed or "\x1b" in outcome.printed:
        return f"a traceback, or control characters: {lines[-1]}"
    if outcome.code not in codes:
        return f"exit code {outcome.code}, and not {' or '.join(map(str, codes))}: {' / '.join(lines[-3:])}"
    lacking = [word for word in words if word not in outcome.printed]
    if outcome.code and lacking:
        return f"the message does not have {', '.join(lacking)} in it: {' / '.join(lines[-3:])}"
    return ""


def _readers(name: str) -> list[str]:
    if name in malicious_files.HARMLESS:
        return ["generate.py ckpt_path=", "rebuild.py run="]
    if name in malicious_files.CARELESS:
        return list(READERS)
    if name in malicious_settings.SETTINGS:
        return ["train.py ckpt_path="]
    if name.startswith("safetensors"):
        return ["generate.py weights=", "train.py model.generator_weights="]
    return ["generate.py ckpt_path=", "train.py ckpt_path=", "rebuild.py run="]


def _of_file(name: str, make: Callable[[Path, Path], None], reader: str, suffix: str, good: bool) -> Trial:
    def run(folder: Path) -> Result:
        marker, file = folder / "marker", folder / "run" / "checkpoints" / "last.ckpt"
        told = [words for named, words in malicious_settings.WORDS.items() if name.startswith(named)]
        if "rebuild" not in reader:
            file = folder / f"given{'.safetensors' if name.startswith('safetensors') else suffix}"
        file.parent.mkdir(parents=True, exist_ok=True)
        make(file, marker)
        arguments = [word.format(file, folder=folder / "run") for word in READERS[reader]]
        outcome = command(arguments, folder)
        return Result(1, loss(outcome, marker, file.name, "Remedy", *told, codes=(0,) if good else (2,)))

    return Trial(name, run)


def _of_url(option: str, verb: tuple[str, ...], url: str) -> Trial:
    def run(folder: Path) -> Result:
        if "weights=good.pth" in verb:
            import torch

            state = malicious_files.checkpoint()["state_dict"]
            good = {key.removeprefix("generator."): v for key, v in state.items() if key.startswith("generator.")}
            torch.save(good, folder / "good.pth")
        outcome = command([*verb, f"{option.rpartition(' ')[2]}='{url}'"], folder)
        return Result(1, loss(outcome, folder / "marker", url, "is a URL", "download the file yourself"))

    return Trial(f"URL for {option}, {url}", run)


def _of_folder(name: str, stranger: malicious_folders.Stranger) -> Trial:
    def run(folder: Path) -> Result:
        marker, given, victim = folder / "marker", folder / "given", folder / "victim"
        given.mkdir()
        victim.write_text("whole")
        with stranger.make(given, marker, victim):
            arguments = [word.format(given) for word in stranger.command]
            if arguments[0] == "train.py":
                arguments = [*TRAIN, *arguments[1:]]
            outcome = command(arguments, folder)
        if victim.read_text() != "whole":
            return Result(1, "a file outside of the folder was written")
        return Result(1, loss(outcome, marker, *stranger.words, codes=stranger.codes))

    return Trial(name, run)


@contextlib.contextmanager
def _in(where: Path, arguments: list[str]) -> Iterator[None]:
    """Be in a folder, with a command line, a careless environment, and nothing of torch's cache."""
    before, argv, environment, path = Path.cwd(), sys.argv, dict(os.environ), list(sys.path)
    os.environ |= ENVIRONMENT | {"TORCH_HOME": str(where / "torch")}
    sys.argv = arguments
    os.chdir(where)
    try:
        yield
    finally:
        os.chdir(before)
        sys.argv, sys.path[:] = argv, path
        os.environ.clear()
        os.environ.update(environment)
        for left in ("outputs", "cache"):
            shutil.rmtree(where / left, ignore_errors=True)


@contextlib.contextmanager
def _watched(reached: list[str]) -> Iterator[None]:
    """Note whatever wants to open a connection, and refuse it."""
    import socket

    def refuse(*asked: Any, **_: Any) -> Any:
        reached.append(str(next((a for a in asked if not isinstance(a, socket.socket)), "?")))
        raise OSError("no connections here")

    connect, look_up = socket.socket.connect, socket.getaddrinfo
    socket.socket.connect, socket.getaddrinfo = refuse, refuse  # type: ignore[method-assign]
    try:
        yield
    finally:
        socket.socket.connect, socket.getaddrinfo = connect, look_up  # type: ignore[method-assign]
