"""Trains as ``train.py`` does, with instants that show a collapse after iteration 20, until the run went back.

``python -m tests.collapsing OVERRIDES``.
"""

import train as train_verb
from dcgan_lightning import cli
from dcgan_lightning.callbacks.diagnosis import Diagnosis
from dcgan_lightning.command_line import completed
from dcgan_lightning.course import Course, Instant


def show(course, iteration, window):
    collapsed = iteration > 20 and not rolled_back
    course.instants.append(Instant(iteration, "mode_collapse" if collapsed else "stable", {}))
    course._let_hold(iteration)


def load_state_dict(callback, state):
    restore(callback, state)
    rolled_back.extend(callback.rolled_back)


if __name__ == "__main__":
    rolled_back: list = []
    restore = Diagnosis.load_state_dict
    Diagnosis.load_state_dict = load_state_dict
    Course._judge = show
    cli.run(train_verb.train, "train", completed)
