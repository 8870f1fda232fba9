"""The exception of a process that ended without a result."""

from __future__ import annotations


class Lost(Exception):
    """The process of a job ended without a result; another try may help.

    Parameters
    ----------
    reason : str
        For the table.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __reduce__(self) -> tuple[type[Lost], tuple[str]]:
        return Lost, (self.reason,)
