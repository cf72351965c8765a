"""Progress of a grid of runs on the terminal: bars where there is one, plain lines elsewhere."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bars

from ucadi_flwr.results.journal import Event, JournalReader


class Watch:
    """Shows the events of one run's journal as they are appended."""

    def __init__(self, journal: Path, on_event: Callable[[Event], None]) -> None:
        self._reader, self._on_event = JournalReader(journal), on_event

    @property
    def stopped(self) -> str:
        """Why the run stopped early; '' if it has not."""
        return self._reader.stopped

    def poll(self) -> None:
        """Show what was written since the last call."""
        for event in self._reader.new_events():
            self._on_event(event)


class Progress:
    """A context that shows one bar for the whole grid, in rounds, with the time left."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True)
        self._bars = Bars(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._rounds: Mapping[str, int] = {}
        self._grid = self._bars.add_task("rounds", total=None, visible=False)

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._bars.stop()

    def plan(self, rounds: Mapping[str, int]) -> None:
        """The runs to come, by what they are called → rounds."""
        self._rounds = rounds
        self._bars.update(self._grid, total=sum(rounds.values()), visible=True)

    @contextmanager
    def step(self, what: str, total: int) -> Iterator[Callable[[], None]]:
        """A piece of preparation; call what is yielded once for each of ``total`` items."""
        self._console.print(f"{what} …")
        task = self._bars.add_task(what, total=total)
        try:
            yield lambda: self._bars.advance(task)
        finally:
            self._bars.remove_task(task)

    @contextmanager
    def cell(self, name: str, journal: Path) -> Iterator[Watch]:
        """One run; poll what is yielded while it runs."""
        done = 0

        def show(event: Event) -> None:
            nonlocal done
            match event:
                case {"event": "resumed", "round": number}:
                    done += number
                    self._bars.advance(self._grid, number)
                    self._tell(name, f"goes on after round {number}")
                case {"event": "answer", "round": number, "site": site, "loss": loss}:
                    self._tell(name, f"round {number} · {site}{_loss(loss)}", quiet=True)
                case {"event": "round", "round": number, "rounds": rounds, "loss": loss}:
                    done += 1
                    self._bars.advance(self._grid)
                    self._tell(name, f"round {number}/{rounds}{_loss(loss)}")
                case {"event": "log", "text": text}:
                    self._console.print(f"{name} · {text}", markup=False)
                case {"event": "failure", "site": site, "reason": reason}:
                    self._console.print(f"{name} · {site} left out: {reason}", markup=False)
                case {"event": "stopped", "reason": reason}:
                    self._console.print(f"{name} · stopped: {reason}", markup=False)

        watch = Watch(journal, show)
        self._tell(name, "starting")
        yield watch
        watch.poll()
        self._bars.advance(self._grid, self._rounds[name] - done)

    def _tell(self, name: str, text: str, *, quiet: bool = False) -> None:
        self._bars.update(self._grid, description=f"{name} · {text}")
        if not self._console.is_terminal and not quiet:
            self._console.print(f"{name} · {text}", markup=False)


def _loss(loss: float | None) -> str:
    return "" if loss is None else f" · loss {loss:.3f}"
