"""Command lines at random: options that there are, with values right and wrong, made from ``conf/`` itself."""

import functools
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import hydra
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded
from hypothesis import strategies as st
from omegaconf import DictConfig, ListConfig, OmegaConf

ROOT = Path(__file__).parents[2]
CONF = ROOT / "conf"
GROUPS = ("model", "loss", "data", "metrics", "logger", "trainer", "callbacks")
# As they are typed. Large ones would take years or terabytes, some are of no type that an option has.
NUMBERS = ("0", "-1", "1", "2", "3", "7", "0.5", "-0.5", "1e-320", "1e308", "-1e308", "1e400", "nan", "inf", "-inf")
LARGE = ("65535", "1000003", "1000000000", "1000000000000", "9223372036854775807", "9223372036854775808", "-2147483649")
OTHERS = (
    *("null", "true", "false", "[]", "[1]", "[1,2]", "[1,[2]]", "[null]", "[64,48]", "{}", "{a: 1}", "{_target_: 1}"),
    *(
        "''",
        "x",
        "'1'",
        "0x10",
        "1_000",
        "é",
        "'日本 語'",
        "'\\n'",
        "'a\tb'",
        "'\x1b[31mred'",
        '"it\'s"',
        "x" * 5000,
        "../x",
    ),
    *("'${seed}'", "'${model.lr}'", "'${data}'", "'${nope}'", "'${'", "'${oc.env:NOPE}'", "'${nope:1}'", "???"),
    *("'${.}'", "a,b", "1,2", "[", "{", "'", "range(1,3)", "a=b", "=", "-", "~", "%", "$HOME", "# x"),
)


@functools.cache
def leaves() -> dict[str, object]:
    """Every option that one of the choices has, with the value that it has there, resolved."""
    found: dict[str, object] = {}
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        for group in GROUPS:
            for choice in choices(group):
                cfg = hydra.compose("train", [f"{group}={choice}", "run_dir=run"])
                found = _leaves(cfg) | found
    return found


@functools.cache
def choices(group: str) -> tuple[str, ...]:
    """The files of a group."""
    return tuple(sorted(file.stem for file in (CONF / group).glob("*.yaml")))


def _leaves(node: DictConfig, prefix: str = "") -> dict[str, object]:
    found: dict[str, object] = {}
    for name in map(str, node):
        raw, option = node._get_node(name), f"{prefix}{name}"
        if OmegaConf.is_missing(node, name):
            found[option] = 1
        elif isinstance(raw, DictConfig) and not raw._is_none() and not raw._is_interpolation():
            found |= {option: None} | _leaves(raw, f"{option}.")
        else:
            value = node[name]
            found[option] = (
                list(value) if isinstance(value, ListConfig) else None if OmegaConf.is_config(value) else value
            )
    return found


def _typed(value: object) -> str:
    """A value as the command line has it."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return f"'{value}'" if isinstance(value, str) else str(value).replace(" ", "")


@functools.cache
def lines(count: int, seed: int, large: bool = True) -> list[tuple[str, ...]]:
    """So many lists of overrides, the same for the same seed, in whatever process.

    They are drawn in a process of their own: hypothesis also tries constants of the modules that happen to be imported.

    Args:
        count: of lists.
        seed: of the choice.
        large: whether whole numbers may be of any size; without them what is accepted trains in an instant.
    """
    command = [sys.executable, "-m", __name__, str(count), str(seed), str(large)]
    environment = os.environ | {"PYTHONHASHSEED": "0"}
    done = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return [tuple(line) for line in json.loads(done.stdout)]


def _drawn(count: int, seed: int, large: bool) -> list[tuple[str, ...]]:
    found: dict[tuple[str, ...], None] = {}

    @seeded(seed)
    @settings(
        max_examples=2 * count + 50,  # hypothesis repeats itself where it finds little that is new
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        print_blob=False,
    )
    @given(_line(large))
    def collect(line: tuple[str, ...]) -> None:
        found.setdefault(line)

    collect()
    return list(found)[:count]


@st.composite
def _line(draw: st.DrawFn, large: bool) -> tuple[str, ...]:
    several = [group for group in GROUPS if len(choices(group)) > 1]
    groups = draw(st.lists(st.sampled_from(several), max_size=2, unique=True))
    chosen = [f"{group}={draw(st.sampled_from(choices(group)))}" for group in groups]
    if draw(st.integers(0, 3)) == 3:
        chosen.append(f"experiment={draw(st.sampled_from(choices('experiment')))}")
        if "data" not in groups and draw(st.booleans()):  # else of images that are not there
            chosen.append(f"data={draw(st.sampled_from(('mnist_mini', 'image_folder')))}")
    changed = draw(st.lists(_override(large), min_size=0 if chosen else 1, max_size=3, unique_by=lambda o: o[:12]))
    return (*chosen, *changed)


@st.composite
def _override(draw: st.DrawFn, large: bool) -> str:
    option = draw(st.sampled_from(sorted(leaves())))
    right = leaves()[option]
    values = [*NUMBERS, *(LARGE if large else ()), *OTHERS]
    value = draw(st.sampled_from(values) | st.just(_typed(right)) | st.floats().map(str))
    if isinstance(right, int) and not isinstance(right, bool) and draw(st.booleans()):
        value = draw(st.integers(-2, 64) if not large else st.integers()).__str__()
    if option.endswith("_target_") and re.search(r"[a-z]\.", value):
        value = "'nowhere.Nothing'"  # nothing that is there: a config is code
    form = draw(st.sampled_from(["{}={}"] * 12 + ["+{}={}", "++{}={}", "~{}", "{}x={}", "{}.x={}", "+{}.x={}", "{}"]))
    return form.format(option, value)


if __name__ == "__main__":
    print(json.dumps(_drawn(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "True")))
