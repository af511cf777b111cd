import pytest
from omegaconf import OmegaConf

from dcgan_lightning.data.classes import refuse_classes, select_classes
from dcgan_lightning.errors import Refusal

ANIMALS = ["bird", "cat", "dog"]


@pytest.mark.parametrize(
    ("digit", "expected"),
    [
        (None, [0, 1, 2]),
        (1, [1]),
        ("dog", [2]),
        ([2, "bird"], [0, 2]),
        ([1, 1, "cat"], [1]),
        (OmegaConf.create([0, 2]), [0, 2]),
    ],
)
def test_by_index_and_by_name(digit, expected):
    assert select_classes(digit, ANIMALS) == expected


def test_a_name_wins_over_an_index():
    assert select_classes(3, ["1", "2", "3"]) == [2]
    assert select_classes(1, ["1", "2", "3"]) == [0]


@pytest.mark.parametrize("digit", [3, -1, "cow", [], [0, 9], True, 1.5, [None]])
def test_what_does_not_exist_is_refused_with_what_does(digit):
    if isinstance(digit, float):
        digit = [digit]
    with pytest.raises(Refusal, match=r"data.digit=.*0 \(bird\), 1 \(cat\), 2 \(dog\)"):
        select_classes(digit, ANIMALS)


def test_a_set_without_classes():
    refuse_classes(None, "CelebA")
    with pytest.raises(Refusal, match=r"data\.digit=8: CelebA has no classes"):
        refuse_classes(8, "CelebA")
