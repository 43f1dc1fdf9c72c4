"""Pipeline stages on disk: a folder, a key, and whether what the folder holds is finished.

    absent ──begin──► begun ──finish──► finished

`stage.json` holds the key of everything that the stage depends on, the state, and the versions that made it. It is
written in one step, last when a stage finishes and first when it is made again: an interrupted stage is never taken
for a finished one. A `made.json` of version 0.1 counts as finished, under the key that it holds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from neuroprivacy.core.errors import BadFile
from neuroprivacy.core.provenance import versions
from neuroprivacy.core.storage import digest, read_json, write_json

STAGE_FILE = "stage.json"
_OLD_FILE = "made.json"
Result = TypeVar("Result")


def stage_key(depends_on: object) -> str:
    """SHA-256 of the text form of plain values and frozen dataclasses, as hexadecimal text.

    Args:
        depends_on: everything that changes what the stage makes; its `repr` must not name addresses in memory.
    """
    return digest(repr(depends_on).encode())


def _nothing(folder: Path) -> None:
    """The default of `discard`: delete nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One resumable step of a pipeline, whose result is a folder on disk.

    Attributes:
        folder: holds the files of the stage.
        key: of everything that the stage depends on; see `stage_key`.
    """

    folder: Path
    key: str

    @property
    def is_finished(self) -> bool:
        """Whether the folder holds the finished stage of this key."""
        recorded = self._recorded()
        return recorded.get("key") == self.key and bool(recorded.get("finished"))

    @property
    def is_begun(self) -> bool:
        """Whether the folder holds this stage, finished or not."""
        return self._recorded().get("key") == self.key

    def refuse_other_key(self) -> None:
        """Refuse a folder that holds a stage of another key.

        Raises:
            BadFile: it does.
        """
        if self._recorded().get("key", self.key) != self.key:
            raise BadFile(
                self.folder / STAGE_FILE, "belongs to another run", hint="use the same options, or another --out"
            )

    def begin(self) -> None:
        """Record that this stage is being made; what the folder held is no longer finished."""
        write_json(self.folder / STAGE_FILE, {"key": self.key, "finished": False, "versions": versions()})

    def finish(self) -> None:
        """Record that every file of the stage is written."""
        write_json(self.folder / STAGE_FILE, {"key": self.key, "finished": True, "versions": versions()})

    def load_or_make(
        self,
        *,
        load: Callable[[Path], Result],
        make: Callable[[Path], Result],
        resume: bool = True,
        discard: Callable[[Path], object] = _nothing,
    ) -> Result:
        """The result of the stage: loaded where it is finished, else made.

        Args:
            load: reads a finished stage from the folder.
            make: makes the stage, writes it into the folder and returns it.
            resume: whether a finished stage is loaded; otherwise it is always made.
            discard: removes intermediate states from the folder: those of another key before the stage is made, and
                its own when it is finished.
        """
        if resume and self.is_finished:
            return load(self.folder)
        if not self.is_begun:
            discard(self.folder)
        self.begin()
        result = make(self.folder)
        self.finish()
        discard(self.folder)
        return result

    def _recorded(self) -> dict[str, Any]:
        """The state file of the folder; empty where there is none.

        Raises:
            BadFile: the file is damaged.
        """
        for name in (STAGE_FILE, _OLD_FILE):
            if (self.folder / name).exists():
                return {"finished": name == _OLD_FILE, **read_json(self.folder / name)}
        return {}
