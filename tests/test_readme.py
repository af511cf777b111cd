"""What the README says to type composes, and what it points to is there."""

import re
import shlex

import pytest

from dcgan_lightning import GANModule
from dcgan_lightning.options import check_options
from tests.support import CONF, ROOT, composed

README = (ROOT / "README.md").read_text()
COMMANDS = re.findall(r"^ {4}.*?(python (?:train|generate|rebuild)\.py.*)$", README, re.MULTILINE)


def test_the_readme_starts_with_the_two_commands():
    assert "pip install -e . && python train.py\n" in README
    assert 'pip install -e ".[dev]" && pytest\n' in README


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_composes(command):
    words = [word for word in shlex.split(command)[1:] if word != "-m"]
    script, overrides = words[0], words[1:]
    first_cell = [override.split(",")[0] if "[" not in override else override for override in overrides]
    cfg = composed(
        *first_cell, *(["run_dir=somewhere"] if script == "train.py" else []), name=script.removesuffix(".py")
    )
    if script == "train.py":
        check_options(cfg)


def test_the_python_example_makes_what_it_says(monkeypatch):
    (example,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    monkeypatch.chdir(ROOT)
    names = {"__name__": "__main__"}
    exec(compile(example, "example.py", "exec"), names)
    assert isinstance(names["module"], GANModule)
    assert names["module"].generator.config["image_size"] == 64


def test_every_link_points_to_a_file():
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).exists(), target


def test_every_choice_is_mentioned():
    for path in CONF.glob("*/*.yaml"):
        assert f"`{path.stem}`" in README, f"{path.parent.name}={path.stem}"
