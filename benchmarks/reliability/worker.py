"""Trials in a process of their own, so that one that hangs, exits or crashes is a loss and not the campaign's end."""

import importlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import uuid
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from benchmarks.reliability.kinds import ROOT, Kind, Options, trials_of
from benchmarks.reliability.trial import Result

MARK = "DCGAN_RELIABILITY_WORKER"  # an environment variable by which all that a trial started is found again
HELPERS = ("multiprocessing.resource_tracker", "multiprocessing.forkserver")  # Python's own, which end with the worker
GRACE = 5.0  # seconds in which what a trial started may end after it


class Worker:
    """One process that does trials of a kind, one after another; started anew where a trial brought it down.

    Args:
        kind: of the trials, by name.
        options: of the campaign.
        log: what the trials print is appended to it.
        kinds: the dictionary that the kind stands in, as ``module:name``.
    """

    def __init__(self, kind: str, options: Options, log: Path, kinds: str) -> None:
        self.job = json.dumps({"kind": kind, "options": asdict(options), "kinds": kinds, "parent": os.getpid()})
        self.log = log
        self.mark = uuid.uuid4().hex
        self.temporary = Path(tempfile.mkdtemp(prefix="reliability_worker_"))  # trials see nobody else's files in it
        self.process: subprocess.Popen[bytes] | None = None
        self.interrupted = False

    def do(self, name: str, limit: float) -> Result:
        """Run one trial in an empty folder, which stays where something was lost, and see that nothing stays running.

        Args:
            name: of the trial.
            limit: seconds that it may take.
        """
        folder = Path(
            tempfile.mkdtemp(prefix="reliability_")
        )  # private, so that nothing else appears beside the trial's
        (folder / "trial").mkdir()
        result = self._answer(json.dumps({"name": name, "folder": str(folder / "trial")}), limit)
        if left := self._left_over():
            words = f"{', '.join(left)} still ran {GRACE:.0f} s later"
            result = Result(result.faults, f"{result.loss}; {words}" if result.loss else words)
        if result.loss and not self.interrupted:
            return Result(result.faults, f"{result.loss} [{folder}]")
        _remove(folder)
        return result

    def close(self) -> None:
        """End the process, and all that its trials started."""
        self._kill_all()
        if self.process is not None:
            self.process.communicate()
            self.process = None
        _remove(self.temporary)

    def interrupt(self) -> None:
        """The same from another thread: a trial under way comes to an end, and leaves nothing."""
        self.interrupted = True
        self._kill_all()

    def _kill_all(self) -> None:
        _kill(*_marked(self.mark))
        if self.process is not None:
            self.process.kill()

    def _answer(self, question: str, limit: float) -> Result:
        if self.process is None:
            self._start()
        assert self.process is not None
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with suppress(BrokenPipeError):
            self.process.stdin.write(question.encode() + b"\n")
            self.process.stdin.flush()
        ready, _, _ = select.select([self.process.stdout], [], [], limit)
        line = self.process.stdout.readline() if ready else b""
        if line:
            return Result(**json.loads(line))
        code = self.process.wait() if ready else None
        self.close()
        return Result(0, f"not done after {limit:.0f} s" if code is None else f"ended the process, with {code}")

    def _start(self) -> None:
        self.temporary.mkdir(exist_ok=True)
        environment = {"OMP_NUM_THREADS": "1", **os.environ, MARK: self.mark, "TMPDIR": str(self.temporary)}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", __name__, self.job],
                cwd=ROOT,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,  # Ctrl+C is the campaign's business
            )

    def _left_over(self) -> list[str]:
        """What still runs of all that the trial started, after some seconds; it is ended."""
        began = time.monotonic()
        own = self.process.pid if self.process is not None else None
        while left := {pid: command for pid, command in _marked(self.mark).items() if pid != own}:
            if time.monotonic() - began > GRACE:
                _kill(*left)
                return list(left.values())
            time.sleep(0.05)
        return []


def _marked(mark: str) -> dict[int, str]:
    """Command lines, by process, of all that inherited the mark; none where there is no /proc."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if f"{MARK}={mark}".encode() not in (process / "environ").read_bytes():
                continue
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
            if command and not any(helper in command for helper in HELPERS):  # a zombie has none
                found[int(process.name)] = command[:200]
    return found


def _remove(folder: Path) -> None:
    subprocess.run(["rm", "-rf", str(folder)], check=False)  # shutil's goes no deeper than Python's recursion


def _kill(*processes: int) -> None:
    for pid in processes:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _end_with(parent: int, mark: str) -> None:
    """Once the campaign is gone without a word, end all that this worker's trial started, and the worker."""
    while os.getppid() == parent:
        time.sleep(0.5)
    _kill(*(pid for pid in _marked(mark) if pid != os.getpid()), os.getpid())


def kinds_in(where: str) -> dict[str, Kind]:
    """The dictionary of kinds that ``module:name`` names."""
    module, _, name = where.partition(":")
    return getattr(importlib.import_module(module), name)


def serve(kind: Kind, options: Options) -> None:
    """Answer each line of standard input, a trial's name and folder, with its result, until the input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what trials print goes to the log
    trials = trials_of(kind, options) or {}
    for line in sys.stdin:
        question = json.loads(line)
        print(f"== {question['name']}", file=sys.stderr, flush=True)
        try:
            result = trials[question["name"]].run(Path(question["folder"]))
        except BaseException as error:
            traceback.print_exc()
            result = Result(0, f"the trial raised {type(error).__name__}: {error}")
        os.chdir(ROOT)
        print(json.dumps(asdict(result)), file=answers, flush=True)


def main() -> None:
    job = json.loads(sys.argv[1])
    threading.Thread(target=_end_with, args=(job["parent"], os.environ[MARK]), daemon=True).start()
    serve(kinds_in(job["kinds"])[job["kind"]], Options(**job["options"]))


if __name__ == "__main__":
    main()
