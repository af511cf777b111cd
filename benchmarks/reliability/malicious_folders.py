"""Run folders, sweeps and folders of images from strangers, and what a careless program would do with them."""

import contextlib
import json
import os
import pickle
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from benchmarks.reliability.malicious_files import Payload, checkpoint

COLUMNS = ("loss_d", "loss_g", "loss_d_real", "loss_d_fake", "acc_real", "acc_fake", "d_x", "d_gz_before", "d_gz_after")
Make = Callable[[Path, Path, Path], AbstractContextManager[None]]  # (folder, marker, a file that has to stay whole)


@dataclass(frozen=True)
class Stranger:
    """A folder, and what is done with it.

    Attributes:
        make: fills it, and may change the environment for as long as the command runs.
        command: with {} for the folder.
        codes: that the command may end with.
        words: that its message has to have in it, should it end with another than 0.
    """

    make: Make
    command: tuple[str, ...] = ("rebuild.py", "run={}")
    codes: tuple[int, ...] = (0,)
    words: tuple[str, ...] = ("Remedy",)


def run_folder(folder: Path, config: str = "export_pth: false\n", overrides: str = "[]\n") -> None:
    """A run folder from which all can be made anew: tables, grids and a checkpoint."""
    (folder / ".hydra").mkdir()
    (folder / ".hydra" / "config.yaml").write_text(config)
    (folder / ".hydra" / "overrides.yaml").write_text(overrides)
    (folder / ".hydra" / "hydra.yaml").write_text(overrides)
    (folder / "metrics.csv").write_text(
        f"iteration,{','.join(COLUMNS)}\n" + "".join(f"{i}{',1.0' * len(COLUMNS)}\n" for i in (0, 1))
    )
    (folder / "checkpoints").mkdir()
    torch.save(checkpoint(), folder / "checkpoints" / "last.ckpt")
    (folder / "grids").mkdir()
    for number in (1, 2):
        Image.new("L", (28, 28)).save(folder / "grids" / f"iteration_{number:06d}.png")
    Image.new("L", (28, 28)).save(folder / "real.png")


def plain(make: Callable[[Path, Path, Path], None]) -> Make:
    @contextlib.contextmanager
    def made(folder: Path, marker: Path, victim: Path) -> Iterator[None]:
        make(folder, marker, victim)
        yield

    return made


def with_config(words: str) -> Make:
    return plain(lambda folder, marker, victim: run_folder(folder, words.format(marker=marker)))


def with_file(name: str, words: str | bytes) -> Make:
    """A run folder with one file that holds something else."""

    def make(folder: Path, marker: Path, victim: Path) -> None:
        run_folder(folder)
        content = words.format(marker=marker, victim=victim, folder=folder) if isinstance(words, str) else words
        (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)

    return plain(make)


def sweep(**changed: object) -> Make:
    """A sweep of one cell, which differs from a good one in this."""

    def make(folder: Path, marker: Path, victim: Path) -> None:
        cell = {"number": 0, "swept": {"model.lr": "1"}, "overrides": [], "experiment": None, "folder": None}
        (folder / "cells.json").write_text(json.dumps([cell | {"status": "finished", "error": None} | changed]))

    return plain(make)


def sweep_with(name: str, words: str) -> Make:
    """A sweep whose one cell's run folder has such a file."""

    def make(folder: Path, marker: Path, victim: Path) -> None:
        (folder / "cell").mkdir()
        run_folder(folder / "cell")
        (folder / "cell" / name).write_text(words)
        cell = {"number": 0, "swept": {}, "overrides": [], "experiment": None, "folder": "cell"}
        (folder / "cells.json").write_text(json.dumps([cell | {"status": "finished", "error": None}]))

    return plain(make)


def links(folder: Path, marker: Path, victim: Path) -> None:
    """Every file that is made anew, and every unfinished one on the way to it, is a link to a file elsewhere."""
    run_folder(folder, "export_pth: true\n")
    pictures = [
        "losses.png",
        "losses_tutorial.png",
        "d_outputs.png",
        "real_vs_fake.png",
        "progress.gif",
        "progress.mp4",
        "report.html",
    ]
    weights = [f"{role}.{suffix}" for role in ("generator", "discriminator") for suffix in ("safetensors", "pth")]
    for name in [*pictures, *weights]:
        (folder / name).symlink_to(victim)
        (folder / f".unfinished_{os.getpid()}_{name}").symlink_to(victim)


def postscript(*names: str) -> Make:
    """Pictures that are PostScript in truth, which Pillow hands to ``gs``; what is called so here makes the marker."""

    @contextlib.contextmanager
    def made(folder: Path, marker: Path, victim: Path) -> Iterator[None]:
        if "grids" in names[0]:
            run_folder(folder)
        for name in names:
            (folder / name).write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 28 28\n%%EndComments\nshowpage\n")
        programs = folder.parent / "programs"
        programs.mkdir()
        (programs / "gs").write_text(f"#!/bin/sh\ntouch '{marker}'\n")
        (programs / "gs").chmod(0o755)
        before = os.environ["PATH"]
        os.environ["PATH"] = f"{programs}{os.pathsep}{before}"
        try:
            yield
        finally:
            os.environ["PATH"] = before

    return made


def pickled(name: str) -> Make:
    def make(folder: Path, marker: Path, victim: Path) -> None:
        if name.endswith("npy"):
            array = np.empty(1, dtype=object)
            array[0] = Payload(marker)
            np.save(folder / name, array, allow_pickle=True)
        else:
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(pickle.dumps(Payload(marker)))

    return plain(make)


APPLY = "a: !!python/object/apply:os.system [\"touch '{marker}'\"]\n"
TARGET = "_target_: os.system\ncommand: touch '{marker}'\nmodel:\n  _target_: os.system\n  command: touch '{marker}'\n"
DATA = ("train.py", "data=image_folder", "data.root={}", "data.image_size=28", "data.channels=1", "data.digit=null")
FOLDERS = {
    "_target_ in a run's config": Stranger(with_config(TARGET)),
    "YAML tags in a run's config": Stranger(with_config(APPLY)),
    "an interpolation in a run's config": Stranger(with_config("export_pth: ${{oc.env:HOME}}\nx: ${{eval:1}}\n")),
    "YAML that grows without end": Stranger(
        with_config("".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9 if i else ['x'])}]\n" for i in range(40)))
    ),
    "hydra's callbacks in a run's overrides": Stranger(
        with_file(".hydra/overrides.yaml", "- +hydra.callbacks.x._target_=os.system\n- hydra.run.dir={victim}\n")
    ),
    "YAML tags in a run's hydra.yaml": Stranger(with_file(".hydra/hydra.yaml", APPLY)),
    "a run's config for hydra to run again": Stranger(
        pickled(".hydra/config.pickle"), ("train.py", "--experimental-rerun={}/.hydra/config.pickle"), (2,)
    ),
    "resumed_from.txt with a URL": Stranger(with_file("resumed_from.txt", "http://localhost:9/checkpoints/x.ckpt\n")),
    "resumed_from.txt that leads upwards": Stranger(with_file("resumed_from.txt", "../../../checkpoints/x.ckpt\n")),
    "resumed_from.txt that leads to itself": Stranger(with_file("resumed_from.txt", "{folder}/checkpoints/x.ckpt\n")),
    "resumed_from.txt that is no text": Stranger(with_file("resumed_from.txt", b"\x00\xff\x1b[2J" * 9), codes=(0, 2)),
    "resumed_from.txt with a name that steers a terminal": Stranger(
        with_file("resumed_from.txt", "\x1b[2J/checkpoints/x.ckpt")
    ),
    "metrics.csv with formulas": Stranger(
        with_file("metrics.csv", "iteration,loss_d\n=cmd|'/C calc'!A0,1\n"), codes=(1,), words=("metrics.csv",)
    ),
    "metrics.csv that is no text": Stranger(
        with_file("metrics.csv", b"iteration,\xff\x00\n\xfe\n"), codes=(0, 1), words=("metrics.csv",)
    ),
    "a run whose files are links to elsewhere": Stranger(plain(links)),
    "PostScript for grids": Stranger(
        postscript("grids/iteration_000001.png", "grids/iteration_000002.png", "real.png")
    ),
    "PostScript for images": Stranger(postscript("a.png", "b.jpg"), DATA, (2,), ("a.png", "Remedy")),
    "pickles for images": Stranger(pickled("a.png"), DATA, (2,), ("a.png", "Remedy")),
    "a pickled array for images": Stranger(pickled("a.npy"), DATA, (2,)),
    "a pickle for Inception's weights": Stranger(
        pickled("weights.pth"),
        ("train.py", "metrics=fid_inception", "metrics.features.weights_path={}/weights.pth"),
        (2,),
        ("sha256", "weights.pth", "Remedy"),
    ),
    "a sweep that is none": Stranger(with_file("cells.json", "[1, 2]"), codes=(2,), words=("cells.json", "Remedy")),
    "a sweep of a thousand lists": Stranger(
        with_file("cells.json", "[" * 100_000), codes=(2,), words=("cells.json", "Remedy")
    ),
    "a cell in a folder far away": Stranger(sweep(folder="../../../../../../etc")),
    "a cell in a folder that is a URL": Stranger(sweep(folder="http://localhost:9/x")),
    "a cell of numbers for words": Stranger(
        sweep(folder=7, swept=3, number="x", error={}), codes=(2,), words=("cells.json", "Remedy")
    ),
    "a cell whose run.json is a list": Stranger(sweep_with("run.json", "[1]"), codes=(0, 2)),
    "a cell whose run.json holds words for numbers": Stranger(
        sweep_with("run.json", '{"iterations": "x", "seconds": "y", "iterations_per_epoch": "z"}'), codes=(0, 2)
    ),
    "a cell whose fid.csv holds words for numbers": Stranger(
        sweep_with("fid.csv", "iteration,value,tag\n=1+1,x,y\n"), codes=(0, 2)
    ),
}
