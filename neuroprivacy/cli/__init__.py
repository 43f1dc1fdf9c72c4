"""The command line: `neuroprivacy COMMAND`. Each command parses, calls one library function, and prints."""

from __future__ import annotations

from neuroprivacy.cli.main import main

__all__ = ["main"]
