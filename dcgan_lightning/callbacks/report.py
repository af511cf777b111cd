"""The report of a run, which every run ends with."""

import shlex
from pathlib import Path

from lightning.pytorch import Callback
from lightning.pytorch.utilities import rank_zero_warn

from dcgan_lightning import next_steps, report


class Report(Callback):
    """Writes ``report.html``; a callback so that it can be left out like the others.

    It tells how the run ended, which no hook of a callback knows: :func:`dcgan_lightning.run_record.recorded` calls
    :meth:`write` on rank 0, once that is in ``run.json``.
    """

    def write(self, folder: Path) -> None:
        """Write it into a run's folder."""
        write_or_warn(report.write, folder)


def write_or_warn(write: report.Writer, folder: Path) -> None:
    """Write a report and say where it is; what goes wrong is warned of and harms nothing else."""
    try:
        (path,) = write(folder)
        print(f"report        {next_steps.shown(path)}", flush=True)
    except Exception as error:
        again = shlex.join(next_steps.rebuild(folder))
        rank_zero_warn(f"the report could not be written: {type(error).__name__}: {error}. Later: {again}")
