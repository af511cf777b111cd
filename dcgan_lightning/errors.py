"""How the kit says no: one message that names the option, the value, what is wrong, and the way out."""

LONGEST = 300  # characters of a value that a message quotes


class Refusal(ValueError):
    """Input that cannot work, refused before anything is launched.

    Args:
        option: the option as it is typed, such as ``data.root``.
        value: what was given.
        problem: what is wrong with the value, and what would be allowed.
        remedy: what to type or do instead.
    """

    def __init__(self, option: str, value: object, problem: str, remedy: str) -> None:
        self.option, self.value, self.problem, self.remedy = option, value, problem, remedy
        typed = {"None": "null", "True": "true", "False": "false"}.get(str(value), value)  # as YAML has them
        super().__init__(printable(f"{option}={shortened(typed)}: {problem}\n  Remedy: {remedy}"))


def shortened(value: object) -> str:
    """A value as a message quotes it: on one line, without control characters, and not at any length."""
    text = str(value)
    if len(text) > LONGEST:
        text = f"{text[: LONGEST // 2]}...{text[-LONGEST // 4 :]} ({len(text)} characters)"
    return printable(text.replace("\n", "\\n"))


def printable(words: str) -> str:
    """Words in which those of a file, which may steer a terminal, are spelt out; line breaks stay what they are."""
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in words)


def refuse_below(least: int, **values: int) -> None:
    """Refuse whole numbers below the least that works; each is named by its option, dots written as ``__``."""
    for name, value in values.items():
        if value < least:
            option = name.replace("__", ".")
            raise Refusal(option, value, f"has to be at least {least}", f"give {option} a larger number")
