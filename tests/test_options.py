"""Options are held against the signatures of what they configure."""

import builtins
from typing import Literal

import pytest
from omegaconf import OmegaConf

from dcgan_lightning.errors import Refusal
from dcgan_lightning.options import build, check_options

HERE = "tests.test_options"


class Thing:
    def __init__(
        self, count: int, ratio: float, pair: tuple[int, int], name: str | None, way: Literal["up", "down"] | None
    ) -> None:
        if count > 9:
            raise ValueError(f"too many: '{count}'")
        self.count = count


GOOD = {"_target_": f"{HERE}.Thing", "count": 1, "ratio": 0.5, "pair": [1, 2], "name": None, "way": None}


def config(**changes):
    return OmegaConf.create({"thing": GOOD | changes, "shared": {"count": "three"}})


def test_what_fits_is_built():
    check_options(config(ratio=1))  # a whole number is a number
    assert build(config(count=4), "thing").count == 4


@pytest.mark.parametrize(
    ("changes", "option", "words"),
    [
        ({"count": "one"}, "thing.count", "has to be int"),
        ({"count": 1.5}, "thing.count", "has to be int"),
        ({"ratio": "half"}, "thing.ratio", "has to be float"),
        ({"pair": [1, 2, 3]}, "thing.pair", "tuple"),
        ({"pair": [1, "two"]}, "thing.pair", "tuple"),
        ({"name": 3}, "thing.name", "str | null"),
        ({"way": "left"}, "thing.way", "has to be one of up, down, null"),
        ({"size": 3}, "thing.size", "no such option; thing has count, ratio, pair, name, way"),
        ({"count": "???"}, "thing.count", "has no value"),
        ({"count": "${shared.count}"}, "shared.count", "has to be int"),
    ],
)
def test_what_does_not_is_refused_by_name(changes, option, words):
    with pytest.raises(Refusal) as refusal:
        check_options(config(**changes))
    assert refusal.value.option == option
    assert words in str(refusal.value)


def test_what_a_constructor_refuses_names_the_option():
    with pytest.raises(Refusal, match="too many") as refusal:
        build(config(count=10), "thing")
    assert refusal.value.option == "thing.count"


@pytest.mark.parametrize("error", [RuntimeError, KeyError, AttributeError, AssertionError, OSError, MemoryError])
def test_whatever_a_constructor_raises_names_the_option_and_the_cause(error):
    nested = {"_target_": f"{HERE}.fail", "error": error.__name__}
    for config, option in (({"thing": nested}, "thing"), ({"thing": {**GOOD, "name": nested}}, "thing.name")):
        with pytest.raises(Refusal, match=f"{error.__name__}.*boom") as refusal:
            build(OmegaConf.create(config), "thing")
        assert refusal.value.option == option


@pytest.mark.parametrize("value", [3, None, [1, 2], {}, {"count": 1}])
def test_what_is_no_object_is_refused_by_name(value):
    with pytest.raises(Refusal, match="_target_") as refusal:
        build(OmegaConf.create({"thing": value}), "thing")
    assert refusal.value.option == "thing"


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"_partial_": "maybe"}, "thing._partial_=maybe: has to be one of true, false"),
        ({"_recursive_": 3}, "thing._recursive_=3: has to be one of true, false"),
        ({"_convert_": "some"}, "thing._convert_=some: has to be one of none, partial, object, all"),
        ({"_target_": 3}, "thing._target_=3: has to be the name of a class or function"),
        ({"_target_": None}, "thing._target_=null: has to be the name of a class or function"),
        ({"name": {}}, "thing.name={}: is of type dict, and has to be str | null"),
    ],
)
def test_what_hydra_reads_of_a_node_is_checked_too(flags, words):
    with pytest.raises(Refusal) as refusal:
        check_options(config(**flags))
    assert words in str(refusal.value)


def fail(error: str) -> str:
    raise getattr(builtins, error)("boom")
