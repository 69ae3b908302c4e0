"""What a stage raises when it cannot go on. Nothing else belongs here."""

from collections.abc import Sequence


class BadInput(Exception):
    """Something that only the user can mend: repeating the stage would fail again.

    Args:
        problem: what is wrong, one sentence, without trailing period.
        remedy: what the user can do, one sentence, without trailing period.
        files: the photos or files concerned, by the names that the user gave them.
    """

    def __init__(self, problem: str, remedy: str, files: Sequence[str] = ()) -> None:
        self.problem = problem
        self.remedy = remedy
        self.files = tuple(files)
        super().__init__(problem, remedy, self.files)

    def __str__(self) -> str:
        named = f" ({', '.join(self.files[:10])}{', …' if len(self.files) > 10 else ''})" if self.files else ""
        return f"{self.problem}{named}. {self.remedy}."


class Cancelled(Exception):
    """The stage was asked to stop; what it had written in its output directory is worthless."""
