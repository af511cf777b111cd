"""Are the installed versions the ones that the project can be trusted with? Asked before any of them is imported.

The floors are those of pyproject.toml's dependencies; what was wrong below them stands there, too.
"""

import shlex
import sys
import tomllib
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

PYPROJECT = Path(__file__).parent.parent / "pyproject.toml"
REFUSED = 2  # exit code
TWINS = {"pytorch-lightning": "lightning"}  # the same code under another name, which lightning takes along


def check() -> None:
    """End the process with one message where something installed is older than the project's floors.

    Raises:
        SystemExit: with code 2.
    """
    problems = list(unfit(tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))))
    if not problems:
        return
    command = shlex.join(["pip", "install", *(str(requirement) for requirement, _ in problems)])
    words = "\n  ".join(words for _, words in problems)
    print(
        f"Refused: installed packages that this project does not run with\n  {words}\n  Remedy: {command}",
        file=sys.stderr,
    )
    sys.exit(REFUSED)


def unfit(project: Mapping[str, Any]) -> Iterator[tuple[Requirement, str]]:
    """What is installed and does not satisfy the project's requirements, or is not installed at all.

    Args:
        project: the content of pyproject.toml.

    Yields:
        The requirement, and what is wrong, in words.
    """
    dangers = project.get("tool", {}).get("dcgan_lightning", {}).get("dangers", {})
    requirements = {r.name: r for r in map(Requirement, project["project"]["dependencies"])}
    twins = {twin: Requirement(f"{twin}{requirements[name].specifier}") for twin, name in TWINS.items()}
    for name, requirement in (requirements | twins).items():
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            if name not in TWINS:
                yield requirement, f"{name} is not installed, and {requirement.specifier} is needed"
            continue
        # A build of one's own may be a pre-release, such as 2.11.0a0+git.
        if not requirement.specifier.contains(version, prereleases=True):
            why = dangers.get(TWINS.get(name, name))
            reason = f": {why}" if why else ""
            yield requirement, f"{name} {version} is installed, and {requirement.specifier} is needed{reason}"
