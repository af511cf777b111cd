"""The signals that ask a run to end: Ctrl+C, a scheduler's SIGTERM, and SIGUSR1, by which SLURM warns."""

import atexit
import ctypes
import multiprocessing
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

# Windows has no SIGUSR1.
HEEDED = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1") if hasattr(signal, name))
IMPATIENT = 1.0  # seconds after which another Ctrl+C is meant; sooner, it is the first that came by two ways
PR_SET_PDEATHSIG = 1  # Linux, sys/prctl.h


class Stopped(BaseException):
    """A signal ended this. No ``Exception``, as ``KeyboardInterrupt`` is none: nothing that copes with errors holds it.

    Attributes:
        signum: the signal.
        exit_code: what the process is to exit with, 128 more than the signal's number.
        iterations: how many were trained; None where training had not begun.
    """

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.signum, self.exit_code = signal.Signals(signum), 128 + signum
        self.iterations: int | None = None

    @property
    def reason(self) -> str:
        """The signal, how far training came, and what went wrong since."""
        reached = "" if self.iterations is None else f" after {self.iterations} iterations"
        cause = self.__cause__
        return f"{self.signum.name}{reached}" + (f"; since then {type(cause).__name__}: {cause}" if cause else "")

    def __str__(self) -> str:
        return f"stopped by {self.reason}"


class _State:
    """What this process has been told. Signals are a process's own, so that there is one state."""

    leaves = False  # also while no signals are heeded

    def __init__(self) -> None:
        self.process: int | None = None  # that heeds signals; the forked ones inherit all this and do not
        self.deferred = False
        self.signum = self.agreed = self.count = 0
        self.since = 0.0
        self.ways: Callable[[], int] = lambda: 1
        self.pass_on: Callable[[int], None] | None = None


_state = _State()


@contextmanager
def heeded() -> Iterator[None]:
    """Have the signals raise :class:`Stopped` inside; while :func:`deferred` is on, they are only noted.

    Only in the main thread, others have no signals. A further Ctrl+C after :data:`IMPATIENT` raises in any case.
    """
    if threading.current_thread() is not threading.main_thread() or _state.process == os.getpid():
        yield
        return
    before = {signum: signal.signal(signum, _receive) for signum in HEEDED}
    _state.__init__()  # type: ignore[misc]
    _state.process = os.getpid()
    try:
        with named_as_cause():
            yield
        raise_if_received()
    finally:
        _state.process = None
        for signum, handler in before.items():
            signal.signal(signum, handler)


@contextmanager
def named_as_cause() -> Iterator[None]:
    """Raise ``Stopped`` from any error that comes after a signal: that another rank is gone, for instance."""
    try:
        yield
    except Exception as error:
        if received():
            raise Stopped(received()) from error
        raise


def received() -> int:
    """The first signal that came, 0 for none."""
    return _state.signum if _state.process == os.getpid() else 0


def agreed() -> int:
    """The signal on which all ranks agreed to stop, 0 for none: see :mod:`dcgan_lightning.callbacks.stopping`."""
    return _state.agreed if _state.process == os.getpid() else 0


def agree_on(signum: int) -> None:
    """Note what all ranks agreed on, and the same as received: it may have come to another rank only."""
    _state.agreed = signum
    _state.signum = _state.signum or signum


def defer(on: bool) -> None:
    """Note signals from now on, or raise again at once those that come from now on."""
    _state.deferred = on


def raise_if_received() -> None:
    """Raise what was only noted, or what raised where exceptions are swallowed."""
    if received():
        raise Stopped(_state.signum)


@contextmanager
def passed_on(pass_on: Callable[[int], None], ways: Callable[[], int]) -> Iterator[None]:
    """Hand the first signal on to the other processes of the run, which do the same.

    Args:
        pass_on: is called with its number, in the handler.
        ways: tells by how many ways one signal may reach this process.
    """
    before = _state.pass_on, _state.ways
    _state.pass_on, _state.ways = pass_on, ways
    try:
        yield
    finally:
        _state.pass_on, _state.ways = before


def _receive(signum: int, frame: FrameType | None) -> None:
    if os.getpid() != _state.process:
        return
    now, first = time.monotonic(), not _state.signum
    _state.count += signum == signal.SIGINT
    if first:
        _state.signum, _state.since = signum, now
        if _state.pass_on is not None:
            _state.pass_on(signum)
    impatient = signum == signal.SIGINT and _state.count > _state.ways() and now - _state.since > IMPATIENT
    if impatient or (first and not _state.deferred):
        raise Stopped(_state.signum)


def leave_to_parent(*_: object) -> None:
    """Called in a worker process, so that it ends when its parent wants it to, or dies, and by no signal to the group.

    The parent's own SIGTERM is told from others by the sender, which Python's handlers do not know.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "SIGUSR1"):
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    parent = os.getppid()
    die_with(parent)
    if hasattr(signal, "sigwaitinfo"):
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_end_by, args=(parent,), daemon=True).start()
    elif hasattr(os, "setpgid"):  # a Mac
        os.setpgid(0, 0)


def _end_by(parent: int) -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != parent:
        pass
    os._exit(0)


def die_with(parent: int) -> None:
    """Have the kernel kill this process when its parent dies; Linux only."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before
            os._exit(1)


def leave_broken_pipes() -> None:
    """Write to nowhere where nobody reads any more: Ctrl+C ends ``tee``, too, and a word to it would be an error."""
    if not hasattr(select, "poll"):  # Windows
        return
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):  # no file: captured, or replaced
            poll = select.poll()
            poll.register(stream.fileno(), select.POLLOUT)
            if any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0)):
                with open(os.devnull, "w") as nowhere:
                    os.dup2(nowhere.fileno(), stream.fileno())


@contextmanager
def leaving_at_once() -> Iterator[None]:
    """Around all that a process does: once that has ended, with ``sys.exit`` or by itself, the process is gone.

    Python would take its modules apart, for two seconds of a core with torch and Lightning, which a scheduler may not
    wait for; and it would wait for the threads of a process group and for a loader's workers, for ever where one of
    them hangs.
    """
    code: object = None
    _state.leaves = True
    try:
        yield
    except SystemExit as end:
        code = end.code
    except BaseException:
        sys.excepthook(*sys.exc_info())
        code = 1
    if not isinstance(code, int | None):
        print(code, file=sys.stderr)
        code = 1
    for child in multiprocessing.active_children():
        child.kill()
    atexit._run_exitfuncs()
    leave_broken_pipes()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code or 0)


def leaves() -> bool:
    """Whether this process is inside :func:`leaving_at_once`, so that what ends with it need not be ended before."""
    return _state.leaves
