"""``train.py`` without room for rows of ``metrics.csv`` for a while: ``python -m tests.without_room ...``."""

import errno

import train as train_verb
from dcgan_lightning import cli, tables
from dcgan_lightning.command_line import completed

tries = []
append = tables._append


def full_for_a_while(path, rows):
    if path.name == "metrics.csv":
        tries.append(path)
        if 2 <= len(tries) < 6:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
    append(path, rows)


if __name__ == "__main__":
    tables._append = full_for_a_while
    cli.run(train_verb.train, "train", completed)
