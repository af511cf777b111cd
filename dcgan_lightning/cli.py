"""From the command line to a verb: Hydra composes the config; what cannot work ends in one message, not a traceback."""

import contextlib
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from lightning.pytorch.utilities import rank_zero_only
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from dcgan_lightning import launch, signals
from dcgan_lightning.callbacks.diagnosis import GivenUp
from dcgan_lightning.checkpoint_io import FULL, NoSpaceError
from dcgan_lightning.errors import Refusal
from dcgan_lightning.finite import NonFiniteError
from dcgan_lightning.messages import NotComposedError, message, not_composed
from dcgan_lightning.run_record import interrupted
from dcgan_lightning.settings import CONF
from dcgan_lightning.sweep import Sweep, is_cell
from dcgan_lightning.unread import refuse_unread

FAILED, REFUSED, GAVE_UP = 1, 2, 3  # exit codes
# In one message, without a traceback; the first are the ends of runs that were under way.
ENDS = (NonFiniteError, NoSpaceError)
SAID = (*ENDS, Refusal, HydraException, OmegaConfBaseException, NotComposedError)


def run(
    verb: Callable[[DictConfig], None], config_name: str, complete: Callable[[list[str]], list[str]] | None = None
) -> None:
    """Compose ``conf/<config_name>.yaml`` with the command line and hand it to the verb.

    Exits with 0, 1 (failed), 2 (refused), 3 (stopped for its verdict, as it was told), or 128 more than the number of
    the signal that stopped it. In a sweep (``-m``) a cell that fails, in whatever way, is reported, and the others run
    all the same; the table of all is made at the end, or when somebody stops the sweep, which exits with the highest
    code of its cells. HYDRA_FULL_ERROR=1 shows tracebacks.

    Args:
        verb: does the work; raises Refusal for what cannot work.
        config_name: of the primary config.
        complete: adds to the arguments of the command line what they imply.
    """
    launch.end_with_rank_zero()
    codes = [0]
    begun: list[str] = []  # folders that Hydra made for the run, or for the cells so far
    sweep = Sweep()
    full_error = os.environ.get("HYDRA_FULL_ERROR") == "1"
    before = _folders_there()

    def cell(cfg: DictConfig) -> None:
        made = Path(HydraConfig.get().runtime.output_dir)
        begun.append(str(made))
        with (
            _hydra_errors(full_error),
            _one_message(codes, config_name, full_error, others_follow=is_cell()),
            _no_success_before_the_end(codes),
            sweep.recorded(cfg),
            _no_empty_folder(made, before),
        ):
            refuse_unread(cfg, CONF, config_name)
            signals.raise_if_received()
            sweep.go_on(cfg)
            verb(cfg)

    main = hydra.main(version_base="1.3", config_path=str(CONF), config_name=config_name)(cell)
    # Left to itself, Hydra prints its errors and exits; here they arrive as exceptions.
    with (
        _hydra_errors(raised=True),
        _stopped_with(codes),
        signals.heeded(),
        _one_message(codes, config_name, full_error),
        _completed_by(complete),
    ):
        try:
            _refuse_pickled_config()
            main()
        except Exception as error:
            if begun or isinstance(error, SAID):
                raise
            raise NotComposedError(not_composed(error, config_name)) from error
        finally:
            sweep.finish()
            _remove_sweep_without_cells(before)
    if max(codes):
        sys.exit(max(codes))


def _refuse_pickled_config() -> None:
    """Hydra unpickles the file that this flag of its own names, with whatever code is in it."""
    flag = "--experimental-rerun"  # or the beginning of it
    for word in sys.argv[1:]:
        name, _, file = word.partition("=")
        if name.startswith("--e") and flag.startswith(name):
            problem = "Hydra would run whatever a pickled config names"
            raise Refusal(flag, file, problem, "repeat the overrides of the run, which are in .hydra/overrides.yaml")


@contextlib.contextmanager
def _completed_by(complete: Callable[[list[str]], list[str]] | None) -> Iterator[None]:
    typed = sys.argv
    if complete is not None:
        sys.argv = [typed[0], *complete(typed[1:])]
    try:
        yield
    finally:
        sys.argv = typed


@contextlib.contextmanager
def _hydra_errors(raised: bool) -> Iterator[None]:
    """Set Hydra's switch, and put it back afterwards, since processes started meanwhile inherit it."""
    before = os.environ.get("HYDRA_FULL_ERROR", "0")
    os.environ["HYDRA_FULL_ERROR"] = str(int(raised))
    try:
        yield
    finally:
        os.environ["HYDRA_FULL_ERROR"] = before


def _folders_there() -> set[Path]:
    """Folders that are not this command's to remove: outputs/, what is in it, and a run folder that the user names."""
    outputs = Path("outputs").absolute()
    named = [Path(word.partition("=")[2].strip("'\"")).absolute() for word in sys.argv if word.startswith("hydra.")]
    there = (Path.cwd(), outputs, *outputs.glob("*"), *outputs.glob("sweeps/*"), *named)
    return {folder for folder in there if folder.exists()}


def _remove_sweep_without_cells(before: set[Path]) -> None:
    """Remove the folder that Hydra makes for a sweep before it finds that its cells cannot be composed."""
    for folder in set(Path("outputs").absolute().glob("sweeps/*")) - before:
        if [entry.name for entry in folder.iterdir()] == ["multirun.yaml"]:
            (folder / "multirun.yaml").unlink()
            _remove_empty([folder, *folder.parents[:2]], before)


@contextlib.contextmanager
def _no_empty_folder(made: Path, before: set[Path]) -> Iterator[None]:
    """Should an exception pass, remove the folder that Hydra made for the run, and those around it, while empty."""
    try:
        yield
    except BaseException:
        _remove_empty([made, *made.parents[:2]], before)  # outputs/<model>_<data>/<time>
        raise


def _remove_empty(folders: list[Path], before: set[Path]) -> None:
    with contextlib.suppress(OSError):  # not empty
        for folder in folders:
            if folder in before:
                break
            folder.rmdir()


@contextlib.contextmanager
def _stopped_with(codes: list[int]) -> Iterator[None]:
    """Turn a stop by a signal into its exit code and, on rank 0, a line."""
    try:
        yield
    except signals.Stopped as stop:
        codes.append(stop.exit_code)
        signals.leave_broken_pipes()
        if rank_zero_only.rank == 0:  # type: ignore[attr-defined]
            print(f"Stopped by {stop.reason}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def _one_message(codes: list[int], config_name: str, full_error: bool, others_follow: bool = False) -> Iterator[None]:
    """Turn a refusal into its message and an exit code; where other cells follow, every error but an interruption."""
    try:
        yield
    except GivenUp as error:
        codes.append(GAVE_UP)
        if rank_zero_only.rank == 0:  # type: ignore[attr-defined]
            print(f"Stopped: {error}", file=sys.stderr, flush=True)
    except BaseException as error:
        ended = isinstance(error, ENDS) or (isinstance(error, OSError) and error.errno in FULL)
        in_one_message = (ended or isinstance(error, SAID)) and not full_error
        if not in_one_message and (not others_follow or interrupted(error)):
            raise
        refused = isinstance(error, SAID) and not ended
        codes.append(REFUSED if refused else FAILED)
        if in_one_message:
            print(f"{'Refused' if refused else 'Stopped'}: {message(error, config_name)}", file=sys.stderr)
        else:
            traceback.print_exception(error)


@contextlib.contextmanager
def _no_success_before_the_end(codes: list[int]) -> Iterator[None]:
    """Have a run that exits with 0 by itself, before it is done, count as failed: its caller would take it for done."""
    try:
        yield
    except SystemExit as error:
        if not error.code and not interrupted(error) and not is_cell():
            codes.append(FAILED)
            print(f"Stopped: SystemExit: {error.code} before the end", file=sys.stderr)
            return
        raise
