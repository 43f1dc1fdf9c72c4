"""Progress as a callback: (done, total, text). The library calls it; the command line shows it."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[int, int, str], None]


def silent(done: int, total: int, text: str) -> None:
    """A progress callback that shows nothing."""
