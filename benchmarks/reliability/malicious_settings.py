"""Checkpoints whose record of what their run was told, which holds on resuming, is hostile."""

from pathlib import Path
from typing import Any

from benchmarks.reliability.malicious_files import Maker, checkpoint, saver


def _run_record(**settings: Any) -> dict[str, Any]:
    """What a checkpoint says that its run was told, with such settings."""
    groups = ("experiment", "data", "model", "loss", "metrics", "trainer", "callbacks", "logger")
    there = {
        "data": "mnist_mini",
        "model": "dcgan_small",
        "loss": "bce",
        "metrics": "fid_digits",
        "logger": "tensorboard",
    }
    choices = {group: there.get(group) for group in groups} | {"trainer": "default", "callbacks": "default"}
    data = {"shape": [974, 1, 28, 28], "sample": "", "fingerprint": ""}
    return {
        "choices": choices,
        "settings": settings,
        "targets": {},
        "fixed": {},
        "global_batch": 64,
        "data": data,
    }


def _to_a_config(marker: Path) -> dict[str, Any]:
    """A setting that names a config beside the file, by a way out of conf/."""
    evil = marker.parent / "evil.yaml"
    evil.write_text(f"_target_: builtins.open\nfile: {marker}\nmode: w\n")
    upwards = "/".join([".."] * 20)
    return checkpoint(run=_run_record(model=f"{upwards}{evil.with_suffix('')}"))


def _with_choice(**choices: str) -> dict[str, Any]:
    record = _run_record()
    record["choices"] |= choices
    return checkpoint(run=record)


SETTINGS: dict[str, Maker] = {
    "settings that lead to a config elsewhere": saver(_to_a_config),
    "settings with a _target_": saver(
        lambda m: checkpoint(run=_run_record(**{"model._target_": "os.system", "model.command": f"touch '{m}'"}))
    ),
    "settings of hydra's": saver(lambda m: checkpoint(run=_run_record(**{"hydra.run.dir": str(m)}))),
    "settings that say where to write": saver(
        lambda m: checkpoint(run=_run_record(**{"data.cache_dir": str(m), "run_dir": str(m)}))
    ),
    "settings with an interpolation": saver(lambda m: checkpoint(run=_run_record(**{"data.root": "${oc.env:HOME}"}))),
    "settings with a URL": saver(lambda m: checkpoint(run=_run_record(**{"data.root": "http://localhost:9/x"}))),
    "settings with a hash of their own": saver(
        lambda m: checkpoint(run=_run_record(**{"metrics.features.weights_sha256": "0" * 64}))
    ),
    "settings of ten thousand classes": saver(lambda m: checkpoint(run=_run_record(**{"data.digit": [*range(10**4)]}))),
    "targets of one's own": saver(
        lambda m: checkpoint(run=_run_record() | {"targets": {"model.generator": "os.system"}})
    ),
    "a choice of a config elsewhere": saver(lambda m: _with_choice(model="../../../x")),
    "a choice of a part of conf": saver(lambda m: _with_choice(model="base/gan")),
}
WORDS = {"settings that lead to a config elsewhere": "does not say what its run was told"}  # else it was composed
