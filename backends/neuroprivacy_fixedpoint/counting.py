"""The compiled counters: events of each value, then events of each source and the weights that they touch."""

from __future__ import annotations

import numpy as np
from numba import njit

from neuroprivacy_fixedpoint.columns import ITEM

_GRADED, _FIRST, _SIZE, _REACH = (ITEM[n] for n in ("GRADED", "FIRST", "SIZE", "REACH"))
#: Values whose events are counted at once: their counts stay in the first cache.
_COUNTED = 2**14


@njit(cache=True, nogil=True)
def count_events(fired, begin, end, totals):  # type: ignore[no-untyped-def]
    """Add to `totals` int32 (samples, values) in how many of the rows begin ... end - 1 each value is not zero.

    Some values at a time, counted in bytes while these lie in the cache.
    """
    counted = np.zeros(_COUNTED, np.uint8)
    for s in range(fired.shape[0]):
        for first in range(0, fired.shape[2], _COUNTED):
            total = totals[s, first : first + _COUNTED]
            for top in range(begin, end, 255):
                counted[: total.size] = 0
                for row in range(top, min(top + 255, end)):
                    values = fired[s, row, first : first + _COUNTED]
                    for i in range(total.size):
                        counted[i] = np.uint8(counted[i] + np.uint8(values[i] != 0))
                for i in range(total.size):
                    total[i] += counted[i]


@njit(cache=True, nogil=True)
def tally(totals, graded_totals, items, reach, sums):  # type: ignore[no-untyped-def]
    """For each item, the events of its source, or the weights that these touched: `sums` int64 (samples, items).

    Args:
        totals: int32 (samples, values), of spikes; likewise `graded_totals`.
        items: int64 (items, ITEM), see `columns`.
        reach: int64, the weights that one event of each value touches, edge after edge.
    """
    for s in range(len(totals)):
        for k in range(len(items)):
            of = graded_totals[s] if items[k, _GRADED] else totals[s]
            values = of[items[k, _FIRST] : items[k, _FIRST] + items[k, _SIZE]]
            found = np.int64(0)
            if items[k, _REACH] < 0:
                for i in range(values.size):
                    found += values[i]
            else:
                touched = reach[items[k, _REACH] :][: values.size]
                for i in range(values.size):
                    found += values[i] * touched[i]
            sums[s, k] = found
