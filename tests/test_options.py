"""Options are held against the signatures of what they configure."""

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


def test_an_error_that_is_no_refusal_stays_one():
    with pytest.raises(Exception, match="ZeroDivisionError") as error:
        build(OmegaConf.create({"thing": {"_target_": f"{HERE}.divide"}}), "thing")
    assert not isinstance(error.value, Refusal)


def divide() -> float:
    return 1 / 0
