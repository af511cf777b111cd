"""Trains as ``train.py`` does, on ranks that note which files they write, and their buffers wherever those are read.

``WATCHED=FOLDER python -m tests.watched OVERRIDES`` leaves ``FOLDER/rank0.json`` and so on.
"""

import hashlib
import json
import os
import sys
from pathlib import Path

import torch
from lightning.pytorch import Trainer

import train as train_verb
from dcgan_lightning import cli
from dcgan_lightning.callbacks import grid
from dcgan_lightning.callbacks.fid import FID
from dcgan_lightning.callbacks.weights import WRITERS, Weights
from dcgan_lightning.command_line import completed
from dcgan_lightning.gan_module import GANModule

CHANGES = {"os.mkdir", "os.rename", "os.remove", "os.link", "os.symlink", "os.truncate", "os.rmdir"}
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_APPEND

written: list[str] = []
buffers: list[tuple[str, int, str]] = []  # what reads them, after how many iterations, their digest


def note_writing(event, args):
    if event in CHANGES or (event == "open" and (args[2] or 0) & WRITING):
        if event == "os.mkdir" and os.path.isdir(args[0]):
            return  # Hydra asks on every rank for a run folder that rank 0 has made by then
        paths = [path for path in args[:2] if isinstance(path, str | bytes | os.PathLike)]
        written.extend(os.path.abspath(os.fsdecode(path)) for path in (paths if event in CHANGES else paths[:1]))


def note_buffers(what, iteration, network):
    digest = hashlib.sha256()
    for buffer in network.buffers():
        digest.update(buffer.detach().cpu().numpy().tobytes())
    buffers.append((what, iteration, digest.hexdigest()))


def watch(owner, name, note, after=False):
    """Have ``note`` called with the arguments of a function, each time before or after it is."""
    function = getattr(owner, name)

    def watched(*args, **kwargs):
        if not after:
            note(*args, **kwargs)
        result = function(*args, **kwargs)
        if after:
            note(*args, **kwargs)
        return result

    setattr(owner, name, watched)


def note_path(what, file, *_, **__):
    if isinstance(file, str | os.PathLike):  # written by C++ or Rust, of which Python sees nothing
        written.append(os.path.abspath(file))


def main():
    sys.addaudithook(note_writing)
    watch(torch, "save", note_path)
    for suffix, write in list(WRITERS.items()):
        WRITERS[suffix] = lambda state, path, write=write: (note_path(state, path), write(state, path))
    note = note_buffers
    watch(GANModule, "training_step", lambda module, *_: note("step", module.iteration, module), after=True)
    watch(Trainer, "save_checkpoint", lambda t, *_, **__: note("checkpoint", t.global_step, t.lightning_module))
    watch(grid, "sample_on_rank_zero", lambda t, generator, z: note("grid", t.global_step, generator))
    watch(FID, "_judge_fakes", lambda fid, t, module: note("fid", t.global_step, module))
    watch(Weights, "_save", lambda weights, t, module, stem: note("weights", t.global_step, module), after=True)
    watch(Trainer, "fit", lambda t, *_, **__: note("end", t.global_step, t.lightning_module), after=True)
    try:
        cli.run(train_verb.train, "train", completed)
    finally:
        record = {"written": sorted(set(written)), "buffers": buffers}
        Path(os.environ["WATCHED"], f"rank{os.environ.get('LOCAL_RANK', 0)}.json").write_text(json.dumps(record))


if __name__ == "__main__":
    main()
