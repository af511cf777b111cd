"""Trials that do nothing to the kit, for the tests of the campaign: what each did is noted in a file."""

import os
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.reliability.campaign import Campaign
from benchmarks.reliability.kinds import Kind, Options
from benchmarks.reliability.trial import Result, Trial

NOTES = "FAKE_TRIALS_NOTES"  # environment variable: a file to which each trial adds its name


def _noted(name, then):
    def run(folder):
        with Path(os.environ[NOTES]).open("a") as notes:
            notes.write(f"{name}\n")
        assert not any(folder.iterdir())
        (folder / "made").touch()
        return then()

    return Trial(name, run)


def _raise():
    raise RuntimeError("cannot")


def _orphan():
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
    return Result(1)


def good(count):
    return [_noted(f"good_{i}", lambda: Result(1)) for i in range(count)]


def slow():
    return [_noted(f"slow_{i}", lambda: time.sleep(0.2) or Result(1)) for i in range(12)]


def bad():
    return [
        _noted("said", lambda: Result(1, "one image gone")),
        _noted("raised", _raise),
        _noted("exited", lambda: os._exit(3)),
        _noted("hung", lambda: time.sleep(60)),
        _noted("orphan", _orphan),
        _noted("after_all", lambda: Result(1)),
    ]


HERE = "tests.fake_trials"
KINDS = {
    "good": Kind("go well", HERE, lambda module, options: module.good(options.counts["good"]), limit=60, count=4),
    "slow": Kind("take a while", HERE, lambda module, options: module.slow(), limit=60),
    "bad": Kind("go wrong", HERE, lambda module, options: module.bad(), limit=2),
    "missing": Kind("are to come", "tests.not_there", lambda module, options: module.trials(), limit=1),
}


def campaign(folder, jobs=1, good=4, seed=0):
    """Of these kinds; all that it keeps is in the folder."""
    options = Options(seed, {"good": good})
    return Campaign(options, jobs, Path(folder, "records"), f"{HERE}:KINDS", tried=lambda kind: "nothing")
