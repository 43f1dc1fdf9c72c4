"""Why a graph is refused, before anybody knows which file it came from. Used on both sides of the reading process."""

from __future__ import annotations

from typing import Literal

#: What kind of fault it is: for counting, not for reading.
Kind = Literal["file", "hdf5", "link", "size", "type", "structure", "value", "shape", "crash", "timeout"]
_LONGEST_NAME = 60


class Fault(Exception):
    """One reason to refuse a graph.

    Attributes:
        reason: one clause that names the node and the field: "lif: tau (0.0) is not positive".
        hint: what to do, possibly empty.
        kind: its class, for counts.
    """

    def __init__(self, reason: str, *, kind: Kind, hint: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.hint = hint
        self.kind: Kind = kind


def one_line(text: object, longest: int = 200) -> str:
    """Text of a foreign library in one line of bounded length that any terminal can show."""
    shown = " ".join("".join(c if c.isprintable() or c.isspace() else "?" for c in str(text)).split())
    return shown if len(shown) <= longest else shown[: longest - 1] + "…"


def shown_name(name: str | bytes) -> str:
    """A name from a file as it is shown in a message: bounded, one line, nothing that a terminal interprets."""
    text = name.decode("utf-8", "replace") if isinstance(name, bytes) else name
    shown = "".join(c if c.isprintable() else "?" for c in text)
    return (shown if len(shown) <= _LONGEST_NAME else shown[: _LONGEST_NAME - 1] + "…") or "''"


def place(path: tuple[str, ...]) -> str:
    """Name a path of the file in terms of the graph: node, parameter, edge.

    ("node", "nodes", "fc", "weight") → "fc: weight"; nested graphs are joined with "/"; the rest is "graph: ...".
    """
    parts = [shown_name(part) for part in path]
    if parts[:1] != ["node"]:
        return "/" + "/".join(parts)
    nodes: list[str] = []
    rest = parts[1:]
    while rest[:1] == ["nodes"] and len(rest) > 1:
        nodes.append(rest[1])
        rest = rest[2:]
    return ": ".join([*(["/".join(nodes)] if nodes else ["graph"]), *([" ".join(rest)] if rest else [])])
