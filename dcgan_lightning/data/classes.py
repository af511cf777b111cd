"""``data.digit``: which classes of a data set to train on."""

from collections.abc import Sequence

from dcgan_lightning.errors import Refusal

Classes = int | str | Sequence[int | str] | None


def select_classes(digit: Classes, names: Sequence[str]) -> list[int]:
    """Indices of the classes asked for.

    Args:
        digit: a class's name or its index, or several; a name wins where both fit (folders called 1, 2, 3). None: all.
        names: the names of all classes, in the order of their indices.

    Returns:
        Indices into ``names``, ascending, each once.

    Raises:
        Refusal: one of them does not exist, or the list is empty.
    """
    if digit is None:
        return list(range(len(names)))
    wanted = [digit] if isinstance(digit, int | str) else list(digit)
    if not wanted:
        raise _refusal(digit, "an empty list selects nothing; ", names)
    indices = set()
    for choice in wanted:
        if str(choice) in names:
            indices.add(names.index(str(choice)))
        elif isinstance(choice, int) and not isinstance(choice, bool) and 0 <= choice < len(names):
            indices.add(choice)
        else:
            raise _refusal(digit, f"there is no class {choice}; ", names)
    return sorted(indices)


def refuse_classes(digit: Classes, what: str) -> None:
    """Refuse any selection, for a data set without classes; ``what`` names it."""
    if digit is not None:
        raise Refusal("data.digit", digit, f"{what} has no classes to select from", "leave data.digit out")


def _refusal(digit: Classes, problem: str, names: Sequence[str]) -> Refusal:
    shown = ", ".join(f"{i} ({name})" if str(i) != name else name for i, name in enumerate(names[:20]))
    more = f" and {len(names) - 20} more" if len(names) > 20 else ""
    value = digit if isinstance(digit, int | str) else list(digit or [])
    return Refusal(
        "data.digit",
        value,
        f"{problem}allowed are {shown}{more}",
        "name some of these, or leave data.digit out for all",
    )
