"""Imported once, in the process that those of :mod:`benchmarks.sides` are forked from, so that they start at once."""

import importlib

from benchmarks import sides

PRELOADED = (sides, importlib.import_module("train"))
