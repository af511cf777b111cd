"""A campaign: every trial once, some at a time, each result kept at once, so that it goes on where it stopped."""

import datetime
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from benchmarks.reliability.kinds import Kind, Options, trials_of
from benchmarks.reliability.records import Record, Records, commit, what_is_tried
from benchmarks.reliability.worker import Worker, kinds_in

Done = Callable[[Record], None]


@dataclass(frozen=True)
class Campaign:
    """What to try, and where what comes of it is kept.

    Attributes:
        options: which trials there are.
        jobs: trials at a time, where a kind allows more than one.
        folder: of the records and logs.
        kinds: the dictionary of kinds, as ``module:name``.
        tried: says what a kind's trials are done to; results are kept apart by it.
    """

    options: Options
    jobs: int
    folder: Path
    kinds: str = "benchmarks.reliability.kinds:KINDS"
    tried: Callable[[Kind], str] = what_is_tried
    _names: dict[str, list[str] | None] = field(default_factory=dict, init=False, repr=False, compare=False)

    def records(self, kind: str) -> Records:
        """Where the results of a kind's trials are kept."""
        return Records(self.folder, self.options.seed, kind, self.tried(kinds_in(self.kinds)[kind]))

    def names(self, kind: str) -> list[str] | None:
        """Of a kind's trials; None where they are not there."""
        if kind not in self._names:  # drawing thousands takes a while
            trials = trials_of(kinds_in(self.kinds)[kind], self.options)
            self._names[kind] = None if trials is None else list(trials)
        return self._names[kind]

    def done(self, kind: str) -> list[Record]:
        """What a kind's trials came to, in their order, as far as they are done."""
        known = self.records(kind).read()
        return [known[name] for name in self.names(kind) or [] if name in known]

    def run(self, kinds: Sequence[str]) -> None:
        """Do what is not done yet of these kinds, with a progress bar; each loss is printed when it happens.

        Raises:
            KeyboardInterrupt: somebody stopped it; the trials under way are not recorded.
        """
        with _progress() as progress:
            for kind in kinds:
                names = self.names(kind)
                if names is None:
                    progress.console.print(f"{kind}: its module is not there")
                    continue
                self._run_kind(kind, names, progress)

    def _run_kind(self, kind: str, names: list[str], progress: Progress) -> None:
        records = self.records(kind)
        known = records.read()
        todo = deque(name for name in names if name not in known)
        lost = sum(bool(known[name].loss) for name in names if name in known)
        task = progress.add_task(kind, total=len(names), completed=len(names) - len(todo), lost=lost)
        lock = threading.Lock()

        def done(record: Record) -> None:
            with lock:
                records.append(record)
                _show(progress, task, kind, record)

        if todo:
            self._serve(kind, todo, done)

    def _serve(self, kind: str, todo: deque[str], done: Done) -> None:
        described = kinds_in(self.kinds)[kind]
        now = commit()
        stopped = threading.Event()
        self.folder.mkdir(parents=True, exist_ok=True)
        jobs = 1 if described.alone else min(self.jobs, len(todo))
        workers = [
            Worker(kind, self.options, self.folder / f"{kind}_{number}.log", self.kinds) for number in range(jobs)
        ]

        def serve(worker: Worker) -> None:
            with closing(worker), suppress(IndexError):  # nothing is left to do
                while not stopped.is_set():
                    name, began = todo.popleft(), time.monotonic()
                    result = worker.do(name, described.limit)
                    if stopped.is_set():
                        return
                    seconds = round(time.monotonic() - began, 2)
                    today = str(datetime.date.today())
                    done(Record(name, result.faults, result.loss, seconds, now, today))

        with ThreadPoolExecutor(jobs) as pool:
            futures = [pool.submit(serve, worker) for worker in workers]
            try:
                for future in futures:
                    future.result()
            except BaseException:
                stopped.set()
                for worker in workers:
                    worker.interrupt()
                raise


@contextmanager
def _progress() -> Iterator[Progress]:
    losses = TextColumn("{task.fields[lost]} lost")
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), losses, TimeElapsedColumn())
    with Progress(*columns) as progress:
        yield progress


def _show(progress: Progress, task: TaskID, kind: str, record: Record) -> None:
    if record.loss:
        lost = progress.tasks[task].fields["lost"] + 1
        progress.update(task, lost=lost)
        progress.console.print(f"{kind} {record.name}: {record.loss}", markup=False, highlight=False)
    progress.advance(task)
