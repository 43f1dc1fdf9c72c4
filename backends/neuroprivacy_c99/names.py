"""C identifiers for the names of a Program."""

from __future__ import annotations

import re
from collections.abc import Iterable

#: Most characters after an identifier's prefix; C compares at least 63 characters. Chosen.
_LONGEST = 40


def identifiers(names: Iterable[str]) -> dict[str, str]:
    """Name -> unique suffix of its identifiers: letters, digits and underscores.

    What C has no place for becomes an underscore; what would then be equal gets a number. Identifiers begin with what
    they are (`ring_`, `weights_`, ...), so that no word of C can be met.
    """
    found: dict[str, str] = {}
    taken: set[str] = set()
    for name in names:
        plain = re.sub(r"_+", "_", re.sub(r"[^0-9A-Za-z]", "_", name)).strip("_").lower()[:_LONGEST] or "layer"
        chosen, number = plain, 2
        while chosen in taken:
            chosen, number = f"{plain}_{number}", number + 1
        taken.add(chosen)
        found[name] = chosen
    return found
