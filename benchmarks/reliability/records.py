"""What came of the trials so far, a line of JSON each, and whether it was this kit that they were done to."""

import hashlib
import json
import re
import subprocess
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

from benchmarks.reliability.kinds import HOME, ROOT, Kind

KIT = ("dcgan_lightning", "conf", "train.py", "generate.py", "rebuild.py")


@dataclass(frozen=True)
class Record:
    """One trial that is done.

    Attributes:
        name: of the trial.
        faults: that were injected.
        loss: in words, empty for none.
        seconds: that it took.
        commit: that was checked out.
        date: year, month and day.
    """

    name: str
    faults: int
    loss: str
    seconds: float
    commit: str
    date: str


class Records:
    """The file of one kind's trials; its name says the seed and what the trials were done to.

    Args:
        folder: where the files of all campaigns are.
        seed: of the campaign.
        kind: by name.
        tried: see :func:`what_is_tried`.
    """

    def __init__(self, folder: Path, seed: int, kind: str, tried: str) -> None:
        self.path = folder / f"seed_{seed}" / f"{kind}_{tried}.jsonl"

    def read(self) -> dict[str, Record]:
        """All by the trial's name; a line that was being written when the campaign was killed is left out."""
        if not self.path.is_file():
            return {}
        text = self.path.read_bytes()
        lines = text[: text.rfind(b"\n") + 1].splitlines()
        return {record.name: record for record in (Record(**json.loads(line)) for line in lines)}

    def append(self, record: Record) -> None:
        """Add one, after cutting off what a killed campaign left unfinished."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("ab+") as file:
            file.seek(0)
            file.truncate(file.read().rfind(b"\n") + 1)
            file.write(json.dumps(asdict(record)).encode() + b"\n")

    def forget(self) -> None:
        """Start anew."""
        self.path.unlink(missing_ok=True)


def what_is_tried(kind: Kind) -> str:
    """Twelve digits that change with the kit, with its libraries' versions and with the kind's own trials."""
    files = _with_imports(kind.module.rpartition(".")[2], set())
    for name in KIT:
        files |= {ROOT / name, *(ROOT / name).rglob("*")}
    digest = hashlib.sha256(f"{version('torch')} {version('lightning')} {version('hydra-core')}".encode())
    for file in sorted(file for file in files if file.is_file() and file.suffix != ".pyc"):
        digest.update(f"{file.relative_to(ROOT)}\n".encode() + file.read_bytes())
    return digest.hexdigest()[:12]


def _with_imports(module: str, found: set[Path]) -> set[Path]:
    """The file of a module beside this one, and those of all that it imports from there, added to what was found."""
    file = ROOT.joinpath(*HOME.split("."), f"{module}.py")
    if file.is_file() and file not in found:
        found.add(file)
        for imported in re.findall(rf"{re.escape(HOME)}(?:\.| import )(\w+)", file.read_text(encoding="utf-8")):
            _with_imports(imported, found)
    return found


def commit() -> str:
    """The commit that is checked out, and whether the kit's files differ from it."""

    def git(*words: str) -> str:
        done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)
        return done.stdout.strip()

    changed = git("status", "--porcelain", "--", *KIT, str(ROOT.joinpath(*HOME.split("."))))
    return (git("rev-parse", "--short", "HEAD") or "no commit") + (" with changes" if changed else "")
