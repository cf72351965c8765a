"""How long to wait before a program is started again."""

FIRST, LONGEST = 1.0, 60.0
STEADY = 120.0
"""A program that ran for so many seconds was well; what ends it then is a new misfortune."""


class Backoff:
    """1 s, 2 s, 4 s … 60 s; from the beginning again after a steady run."""

    def __init__(self) -> None:
        self._next = FIRST

    def after(self, ran: float) -> float:
        """Seconds to wait, after a run of so many seconds."""
        if ran >= STEADY:
            self._next = FIRST
        wait, self._next = self._next, min(2 * self._next, LONGEST)
        return wait
