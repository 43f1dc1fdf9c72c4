"""All errors of this library in one tree, and the exit codes of the command line.

    NeuroPrivacyError                 exit 2   (base: a request that cannot be met)
    ├── ConfigurationError            exit 2   an option or a value that cannot be used
    ├── UnsupportedNode               exit 2   a layer or graph node that has no integer form
    ├── OutOfRange                    exit 2   an integer that its declared width cannot hold
    ├── DoesNotFit                    exit 2   a network that is larger than the target
    ├── BackendNotFound               exit 2   no such backend is installed
    ├── CheckFailed                   exit 1   two results that must be equal differ
    ├── BadFile                       exit 3   a file that is missing, damaged or not what it claims
    ├── DataNotFound                  exit 3   a data set that is neither on disk nor downloadable
    ├── BackendUnavailable            exit 4   the backend is installed, a tool that it needs is not
    └── WorkerFailed                  exit 1   a simulator process crashed, hung or sent a malformed answer

`Issue` is one diagnostic: where, what, value, limit, what to do.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

EXIT_OK = 0
EXIT_CHECK_FAILED = 1
EXIT_USAGE = 2
EXIT_BAD_FILE = 3
EXIT_MISSING_TOOL = 4
EXIT_INTERRUPTED = 130


@dataclass(frozen=True, slots=True, kw_only=True)
class Issue:
    """One diagnostic: "fc1: fan-in (4097) exceeds 4096; split the layer or choose another target".

    Attributes:
        where: the layer, field or file concerned.
        what: the quantity.
        value: its value; None where no number applies.
        limit: its largest (or only) permitted value; None where no number applies.
        hint: what to do.
        fatal: an error, the network cannot be used; False: a warning or information.
    """

    #: A report's reader, which checks types with pydantic, refuses other fields.
    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    where: str
    what: str
    value: float | int | str | None = None
    limit: float | int | str | None = None
    hint: str = ""
    fatal: bool = True

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}"
        if self.value is not None:
            text += f" ({self.value})"
        if self.limit is not None:
            text += f" exceeds {self.limit}"
        return f"{text}; {self.hint}" if self.hint else text


class NeuroPrivacyError(Exception):
    """Base of all errors of this library.

    Attributes:
        exit_code: of the command line.
        issues: the diagnostics behind the error, possibly none.
    """

    exit_code: ClassVar[int] = EXIT_USAGE

    def __init__(self, message: str, *, issues: Iterable[Issue] = ()) -> None:
        super().__init__(message)
        self.issues = tuple(issues)

    @classmethod
    def of(cls, issues: Iterable[Issue]) -> NeuroPrivacyError:
        """One error that lists all `issues`, a line each."""
        kept = tuple(issues)
        return cls("\n".join(str(issue) for issue in kept), issues=kept)


class ConfigurationError(NeuroPrivacyError):
    """An option or a value that cannot be used."""


class UnsupportedNode(NeuroPrivacyError):
    """A layer or graph node that has no integer form on the target."""


class OutOfRange(NeuroPrivacyError):
    """An integer that its declared width cannot hold."""


class DoesNotFit(NeuroPrivacyError):
    """A network that is larger than the target."""


class BackendNotFound(NeuroPrivacyError):
    """No backend of that name is installed."""


class CheckFailed(NeuroPrivacyError):
    """Two results that must be equal differ."""

    exit_code: ClassVar[int] = EXIT_CHECK_FAILED


class BadFile(NeuroPrivacyError):
    """A file that is missing, damaged, or not what it claims to be."""

    exit_code: ClassVar[int] = EXIT_BAD_FILE

    def __init__(self, path: object, reason: str, *, hint: str = "") -> None:
        super().__init__(f"{path}: {reason}" + (f"; {hint}" if hint else ""))
        self.path = str(path)
        self.reason = reason


class DataNotFound(NeuroPrivacyError):
    """A data set that is neither on disk nor downloadable."""

    exit_code: ClassVar[int] = EXIT_BAD_FILE


class BackendUnavailable(NeuroPrivacyError):
    """The backend is installed, but a tool that it needs is missing."""

    exit_code: ClassVar[int] = EXIT_MISSING_TOOL


class WorkerFailed(NeuroPrivacyError):
    """A simulator process crashed, hung, or sent a malformed answer."""

    exit_code: ClassVar[int] = EXIT_CHECK_FAILED


def raise_fatal(kind: type[NeuroPrivacyError], issues: Iterable[Issue]) -> None:
    """Raise `kind` when any of `issues` is fatal.

    Raises:
        NeuroPrivacyError: of the given kind, listing the fatal issues.
    """
    fatal = tuple(issue for issue in issues if issue.fatal)
    if fatal:
        raise kind.of(fatal)
