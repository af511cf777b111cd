"""Fixtures that run the verbs as the command line does, but inside this process."""

import re
import sys

import pytest

import diagnose as diagnose_verb
import generate as generate_verb
import rebuild as rebuild_verb
import train as train_verb
from dcgan_lightning import cli
from dcgan_lightning.command_line import completed
from dcgan_lightning.diagnosing import as_told

# A GAN that trains in an instant: one class of the shipped digits, narrow networks.
TINY = (
    "data.digit=8",
    "data.batch_size=64",
    "model.generator.width=4",
    "model.discriminator.width=4",
    "callbacks.fid.num_samples=64",
    "trainer.accelerator=cpu",
    "callbacks.figures=null",  # half a second a run
    "callbacks.report=null",  # likewise
)
FIGURES = "callbacks.figures={_target_:dcgan_lightning.callbacks.figures.Figures}"
REPORT = "callbacks.report={_target_:dcgan_lightning.callbacks.report.Report}"
VERBS = {
    "train": train_verb.train,
    "diagnose": diagnose_verb.diagnose,
    "generate": generate_verb.sample,
    "rebuild": rebuild_verb.rebuild,
}
COMPLETE = {"train": completed, "diagnose": as_told}


class Outcome:
    """What a command left: its exit code, what it printed, and its run folders."""

    def __init__(self, code, printed, cwd):
        self.code, self.cwd = code, cwd
        self.out, self.err = printed

    @property
    def folders(self):
        return sorted(hydra.parent for hydra in self.cwd.glob("outputs/**/.hydra"))

    @property
    def folder(self):
        (folder,) = self.folders
        return folder

    @property
    def made(self):
        """Everything there is in the working directory."""
        return sorted(str(path.relative_to(self.cwd)) for path in self.cwd.rglob("*"))


@pytest.fixture
def command(tmp_path, monkeypatch, capfd):
    """Run ``train``, ``generate`` or ``rebuild`` with arguments in an empty working directory."""
    return command_in(tmp_path, monkeypatch, capfd)


def command_in(cwd, monkeypatch, capture=None):
    """The ``command`` of a folder; without ``capture`` its outcomes do not have what was printed."""
    (cwd / "work").mkdir(exist_ok=True)

    def run(script, *arguments):
        monkeypatch.chdir(cwd / "work")
        monkeypatch.setattr(sys, "argv", [f"{script}.py", *arguments])
        code = 0
        try:
            cli.run(VERBS[script], script, COMPLETE.get(script))
        except SystemExit as exit_:
            code = exit_.code
        printed = capture.readouterr() if capture else ("", "")
        return Outcome(code, printed, cwd / "work")

    def tiny(*arguments):
        # Hydra's parser takes flags before the overrides only.
        flags = [argument for argument in arguments if argument.startswith("-")]
        overrides = [argument for argument in arguments if not argument.startswith("-")]
        return run("train", *flags, *TINY, f"data.cache_dir={cwd / 'cache'}", *overrides)

    run.tiny = tiny
    return run


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A finished tiny run with FID and figures: its outcome."""
    with pytest.MonkeyPatch.context() as patch:
        tiny = command_in(tmp_path_factory.mktemp("trained"), patch).tiny
        outcome = tiny("trainer.max_steps=12", "callbacks.fid.every=5", "callbacks.grid.every=5", FIGURES)
    assert outcome.code == 0
    return outcome


def assert_refused(outcome, *words):
    """One message with these words, exit code 2, no traceback, nothing made."""
    assert outcome.code == 2
    message = outcome.err[outcome.err.index("Refused:") :]
    for word in words:
        assert word in message
    assert not re.search(r"Traceback|Error executing", outcome.out + outcome.err)
    assert outcome.made == []
