"""last.ckpt, the one before it, best.ckpt and good.ckpt, in Lightning's format."""

from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.utilities import rank_zero_warn

from dcgan_lightning import signals
from dcgan_lightning.callbacks.diagnosis import Diagnosis
from dcgan_lightning.callbacks.failure import on_any_rank
from dcgan_lightning.callbacks.fid import FID
from dcgan_lightning.checkpoint_io import FULL, NoSpaceError, copy_checkpoint
from dcgan_lightning.errors import refuse_below
from dcgan_lightning.finding import BEST, GOOD, LAST, flaw
from dcgan_lightning.finite import NonFiniteError, first_not_finite
from dcgan_lightning.trainer import due
from dcgan_lightning.weights import read


class Checkpoints(Checkpoint):
    """Saves ``checkpoints/last.ckpt`` every so many iterations and at the end, ``best.ckpt`` at each best FID.

    Where a diagnosis may have the run go back, ``good.ckpt`` too, when it asks for one.

    Each is written by :class:`dcgan_lightning.checkpoint_io.WholeCheckpointIO`, which keeps ``previous.ckpt`` too.
    Where one does not fit on the disk, a warning says so and training goes on; where the last one does not, the run
    fails at its end. Networks with NaN or infinity in them are not saved: the run fails.

    What keeps state has ``state_dict`` and ``load_state_dict``, Lightning's hooks of callbacks, data modules and
    modules: it is then in every checkpoint, and in the tests of resuming.

    Lightning runs checkpoint callbacks after all others, so that an FID of the same iteration is known.

    Args:
        every: iterations between two saves of ``last.ckpt``.

    Raises:
        NonFiniteError: a parameter or buffer is not finite (on all ranks, in a save).
        NoSpaceError: the state at the end could not be saved (on all ranks).
        Stopped: all ranks agreed to stop, and the state is saved.
    """

    def __init__(self, every: int) -> None:
        refuse_below(1, callbacks__checkpoints__every=every)
        self.every = every
        self._saved_at: dict[str, int] = {}  # the iteration at which each file was last written
        self._unsaved: dict[str, NoSpaceError] = {}  # files whose newest save did not fit

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # The best so far may stay the best, and the last good one too: a resumed run keeps them in its own folder.
        if trainer.ckpt_path is not None and trainer.is_global_zero:
            for name, iteration in {BEST: _best(trainer), GOOD: _good(trainer)}.items():
                file, own = Path(trainer.ckpt_path).with_name(name), _folder(trainer) / name
                if iteration is not None and file.is_file() and not (own.is_file() and file.samefile(own)):
                    _inherit(file, own, iteration)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._save_if_best(trainer, pl_module)  # an FID that was due where a resumed run begins

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if _good(trainer) == trainer.global_step:
            self._save(trainer, pl_module, GOOD)
        if due(trainer, self.every) or signals.agreed():
            self._save(trainer, pl_module, LAST)
        self._save_if_best(trainer, pl_module)
        if signals.agreed():
            self._refuse_unsaved(trainer)
            raise signals.Stopped(signals.agreed())

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._save(trainer, pl_module, LAST)
        self._save_if_best(trainer, pl_module)
        if BEST in self._unsaved:
            rank_zero_warn(f"{BEST} is not that of the best FID: {self._unsaved[BEST]}")
        self._refuse_unsaved(trainer)

    def _refuse_unsaved(self, trainer: Trainer) -> None:
        if (shortage := self._unsaved.get(LAST)) is not None:
            folder = _folder(trainer).parent
            remedy = f"make space, then python train.py ckpt_path={folder}"
            problem = f"the end of this run is not saved: {shortage}. {self._kept(trainer, LAST)}"
            raise NoSpaceError(f"{problem}\n  Remedy: {remedy}")

    def _save_if_best(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if any(fid.improved(trainer.global_step) for fid in _fids(trainer)):
            self._save(trainer, pl_module, BEST)

    def _save(self, trainer: Trainer, pl_module: Any, name: str) -> None:
        if self._saved_at.get(name) == trainer.global_step:
            return
        pl_module.sync_buffers()
        self._refuse_spoilt(trainer, pl_module, name)
        problem = _attempt(trainer, _folder(trainer) / name)
        if isinstance(problem, OSError) and problem.errno in FULL:  # of what is written along with it
            problem = NoSpaceError(f"{_folder(trainer) / name} was not saved: {problem}")
        shortage = problem if isinstance(problem, NoSpaceError) else None
        failed, short = on_any_rank(trainer, problem is not shortage, shortage is not None)
        if failed:
            raise problem or RuntimeError(f"{name} could not be saved, for a reason that another rank gives")
        if short:
            self._unsaved[name] = shortage or NoSpaceError(f"{name} was not saved")
            rank_zero_warn(
                f"{self._unsaved[name]}. {self._kept(trainer, name)} Training goes on, and the next save tries again: "
                "make space on that disk."
            )
        else:
            self._saved_at[name] = trainer.global_step
            self._unsaved.pop(name, None)

    def _refuse_spoilt(self, trainer: Trainer, pl_module: LightningModule, name: str) -> None:
        spoilt = first_not_finite(pl_module)
        if any(on_any_rank(trainer, spoilt is not None)):
            raise NonFiniteError(
                f"{spoilt or 'what another rank trained'} is not finite (NaN or infinity) after {trainer.global_step} "
                f"iterations, and is not saved: training has diverged. {self._kept(trainer, name)}\n  Remedy: go on "
                "from there, with a lower model.lr"
            )

    def _kept(self, trainer: Trainer, name: str) -> str:
        """What there is to go back to, in words."""
        file = _folder(trainer) / name
        if name in self._saved_at:
            return f"{file} is that of iteration {self._saved_at[name]}."
        if name == LAST and trainer.ckpt_path is not None:
            return f"The newest is {trainer.ckpt_path}, which this run goes on from."
        return f"{file} is as it was." if file.is_file() else f"There is no {file} yet."


def _attempt(trainer: Trainer, file: Path) -> Exception | None:
    """Save on all ranks; an error on one of them is returned there, and the others do not wait for it for ever."""
    try:
        # weights_only here would leave out the optimizers.
        trainer.save_checkpoint(file, weights_only=False)
    except Exception as error:
        trainer.strategy.barrier("Trainer.save_checkpoint")  # to which the error did not let it come
        return error
    return None


def _inherit(file: Path, target: Path, iteration: int) -> None:
    """Copy the parent run's best or good checkpoint, if it is the one that the checkpoint gone on from tells of."""
    words = flaw(file)
    if words is None and read("ckpt_path", file).get("global_step") != iteration:
        return  # of a later iteration, to which this run has yet to come
    if words is None:
        try:
            copy_checkpoint(file, target)
        except (NoSpaceError, OSError) as error:
            words = str(error)
    if words is not None:
        which = "the best by FID so far" if file.name == BEST else "the last good one"
        rank_zero_warn(f"{file}, {which}, is not kept in {target.parent}: {words}")


def _folder(trainer: Trainer) -> Path:
    return Path(trainer.default_root_dir) / "checkpoints"


def _best(trainer: Trainer) -> int | None:
    """The iteration of the best FID."""
    return next((fid.best[1] for fid in _fids(trainer) if fid.best is not None), None)


def _good(trainer: Trainer) -> int | None:
    """The iteration of the last good state."""
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    return next((callback.good_at for callback in callbacks if isinstance(callback, Diagnosis)), None)


def _fids(trainer: Trainer) -> list[FID]:
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    return [callback for callback in callbacks if isinstance(callback, FID)]
