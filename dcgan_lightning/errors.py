"""How the kit says no: one message that names the option, the value, what is wrong, and the way out."""


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
        super().__init__(f"{option}={value}: {problem}\n  Remedy: {remedy}")
