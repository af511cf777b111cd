"""The parts of the report that say what was run, on what and where, and how to do it again."""

import shlex
from collections.abc import Callable, Iterator
from typing import Any

from dcgan_lightning import next_steps
from dcgan_lightning.curves import NotThere
from dcgan_lightning.report import words
from dcgan_lightning.report.files import Part, Run, is_count, part

Rows = list[tuple[str, str]]


def setting(run: Run) -> dict[str, Any]:
    """Config, what it overrode, environment, seeds, state of the code, data: each by itself."""
    return {
        "overrides": part(run.folder, lambda: next_steps.overrides(run.folder)),
        "config": part(run.folder, lambda: run.config),
        "data": part(run.folder, lambda: _data(run)),
        "environment": part(run.folder, lambda: _environment(run)),
        "seeds": part(run.folder, lambda: _seeds(run)),
        "code": part(run.folder, lambda: _code(run)),
    }


def commands(run: Run) -> list[tuple[str, Part[str]]]:
    """What to type, by what for; a command that cannot be put together does not keep the others from the page."""
    folder, done = run.folder, run.iterations
    planned = run.known.get("planned_iterations")
    wanted: dict[str, Callable[[], list[str]]] = {"The same run again": lambda: next_steps.repeat(folder)}
    there = [name for name in ("best", "last") if (folder / "checkpoints" / f"{name}.ckpt").is_file()]
    if "last" in there:
        if is_count(planned) and planned <= done:
            wanted["Go on, to twice this length"] = lambda: next_steps.lengthen(folder, 2 * done)
        else:
            wanted["Go on, to the planned length"] = lambda: next_steps.finish(folder)
    if there:
        wanted[f"Sample 64 images, from {there[0]}.ckpt"] = lambda: next_steps.sample(folder)
    if (folder / "tensorboard").is_dir():
        wanted["The curves in TensorBoard"] = lambda: next_steps.curves(folder)
    wanted["The pictures and this report again"] = lambda: next_steps.rebuild(folder)
    return [(why, part(folder, lambda make=make: shlex.join(make()))) for why, make in wanted.items()]  # type: ignore[misc]


def _data(run: Run) -> Rows:
    data = _node(run, "data")
    shape = data.get("shape")
    sides = " x ".join(map(words.number, shape[:3])) if isinstance(shape, list) else "unknown"
    return [
        ("Data set", run.choices.get("data", str(data.get("kind")))),
        ("Path", str(data.get("root") or "its own place: shipped, or downloaded")),
        ("Images", words.number(data.get("images"))),
        ("Each", f"{sides} (channels x height x width, pixels)"),
        ("Hash", str(data.get("fingerprint"))),
    ]


def _environment(run: Run) -> Rows:
    environment = _node(run, "environment")
    packages = environment.get("packages")
    versions = list(packages.items())[:20] if isinstance(packages, dict) else []
    names = {"trained_on": "Trained on", "devices": "Devices", "cpu": "Processor", "os": "Operating system"}
    rows = [("Python", str(environment.get("python"))), *((str(name), str(version)) for name, version in versions)]
    return rows + [(title, str(environment.get(name))) for name, title in names.items()]


def _code(run: Run) -> Rows:
    git = run.record.get("git")
    if not isinstance(git, dict):
        return [("Commit", "not known: the code lies in no git repository, or this run is of before it was noted")]
    words_of = {True: "yes: the commit alone is not what ran", False: "no"}
    dirty = git.get("dirty")
    changed = words_of[dirty] if isinstance(dirty, bool) else "unknown"
    return [("Commit", str(git.get("commit"))), ("Changed since", str(changed))]


def _seeds(run: Run) -> Rows:
    """``seed`` and the callbacks' own, by their options."""
    settings = part(run.folder, lambda: run.settings).content
    found = [(name, str(value)) for name, value in _named_seed(settings, "", set()) if is_count(value)]
    noted = run.known.get("seed")
    found.sort(key=lambda row: row[0].count("."))  # the run's own first
    return found or [("seed", str(noted))]


def _named_seed(node: Any, path: str, before: set[int]) -> Iterator[tuple[str, Any]]:
    """Option and value of every ``seed``; in hostile YAML a node may stand in many places, and is looked at once."""
    if not isinstance(node, dict) or id(node) in before:
        return
    before.add(id(node))
    for name, value in node.items():
        if name == "seed":
            yield f"{path}seed", value
        yield from _named_seed(value, f"{path}{name}.", before)


def _node(run: Run, name: str) -> dict[str, Any]:
    node = run.record.get(name)
    if not isinstance(node, dict):
        raise NotThere(f"run.json does not say: it has no {name}")
    return node
