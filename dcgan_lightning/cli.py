"""From the command line to a verb: Hydra composes the config; what cannot work ends in one message, not a traceback."""

import contextlib
import difflib
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException, OverrideParseException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from dcgan_lightning.errors import Refusal
from dcgan_lightning.run_folder import interrupted
from dcgan_lightning.sampling import NonFiniteImagesError
from dcgan_lightning.sweep import Sweep, is_cell

CONF = Path(__file__).parent.parent / "conf"
FAILED, REFUSED = 1, 2  # exit codes
SAID = (Refusal, HydraException, OmegaConfBaseException, NonFiniteImagesError)  # in one message, without a traceback


def run(verb: Callable[[DictConfig], None], config_name: str) -> None:
    """Compose ``conf/<config_name>.yaml`` with the command line and hand it to the verb; exit with 0, 1 or 2.

    In a sweep (``-m``) a cell that fails, in whatever way, is reported, and the others run all the same; the table of
    all is made at the end, or when somebody stops the sweep. HYDRA_FULL_ERROR=1 shows tracebacks.

    Args:
        verb: does the work; raises Refusal for what cannot work.
        config_name: of the primary config.
    """
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
            sweep.recorded(cfg),
            _no_empty_folder(made, before),
        ):
            sweep.go_on(cfg)
            verb(cfg)

    main = hydra.main(version_base="1.3", config_path=str(CONF), config_name=config_name)(cell)
    # Left to itself, Hydra prints its errors and exits; here they arrive as exceptions.
    with _hydra_errors(raised=True), _one_message(codes, config_name, full_error):
        try:
            main()
        except (ValueError, OSError) as error:
            if begun:
                raise
            # Hydra's own: a group set to a value that is no name, a run folder that cannot be made.
            raise Refusal(" ".join(sys.argv[1:]), "", str(error), f"python {config_name}.py --help") from error
        finally:
            sweep.finish()
            _remove_sweep_without_cells(before)
    if max(codes):
        sys.exit(max(codes))


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
def _one_message(codes: list[int], config_name: str, full_error: bool, others_follow: bool = False) -> Iterator[None]:
    """Turn a refusal into its message and an exit code; where other cells follow, every error but an interruption."""
    try:
        yield
    except BaseException as error:
        in_one_message = isinstance(error, SAID) and not full_error
        if not in_one_message and (not others_follow or interrupted(error)):
            raise
        refused = isinstance(error, SAID) and not isinstance(error, NonFiniteImagesError)
        codes.append(REFUSED if refused else FAILED)
        if in_one_message:
            print(f"{'Refused' if refused else 'Stopped'}: {_message(error, config_name)}", file=sys.stderr)
        else:
            traceback.print_exception(error)


def _message(error: BaseException, config_name: str) -> str:
    """The words of an error, Hydra's with what would have been allowed."""
    words = str(error).strip().partition("\nConfig search path:")[0].strip()
    if isinstance(error, Refusal | NonFiniteImagesError):
        return words
    unknown = re.search(r"Could not override '([^']+)'", words)
    if unknown is not None:
        return _unknown_option(unknown[1].partition("@")[0], config_name)
    if isinstance(error, OverrideParseException):
        words = f"{error.override}: {words}"
    cause = f"\n  {error.__cause__}" if error.__cause__ is not None else ""
    return f"{words}{cause}\n  Remedy: python {config_name}.py --cfg job shows all options, --help all groups"


def _unknown_option(option: str, config_name: str) -> str:
    given = next((word for word in sys.argv[1:] if word.lstrip("+~").startswith(f"{option}=")), option)
    known = _known_options(config_name)
    parent = option.rpartition(".")[0]
    siblings = [name for name in known if name.rpartition(".")[0] == parent]
    near = [name for name in difflib.get_close_matches(option, known, n=2) if name != option]
    name, _, value = given.partition("=")
    problem = f"no such option; there is {', '.join(siblings) or 'no ' + parent}"
    remedy = f"did you mean {near[0]}?" if near else f"python {config_name}.py --cfg job shows all of them"
    return str(Refusal(name, value, problem, remedy))


def _known_options(config_name: str) -> list[str]:
    """Every option there is with the groups that the command line chose."""
    groups = [word for word in sys.argv[1:] if re.fullmatch(r"\w+=\w+", word)]
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        try:
            cfg = hydra.compose(config_name, groups)
        except (HydraException, OmegaConfBaseException):
            cfg = hydra.compose(config_name)

    def names(node: DictConfig, prefix: str) -> Iterator[str]:
        for name in map(str, node):
            yield f"{prefix}{name}"
            child = node._get_node(name)
            if isinstance(child, DictConfig) and not child._is_interpolation():
                yield from names(child, f"{prefix}{name}.")

    return list(names(cfg, ""))
