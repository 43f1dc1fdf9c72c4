"""The compiled counters: events of each value, then events of each source and the weights that they touch."""

from __future__ import annotations

import numpy as np

from neuroprivacy_fixedpoint.kernels.compiled import inlined, inner

#: Values whose events are counted at once: their counts stay in the first cache.
_COUNTED = 2**14


@inner
def _add_totals(rows, begin, end, fresh, totals, scratch):
    """Add to `totals`, int32 (values,), in how many of the rows begin ... end - 1 each value is not zero.

    Some values at a time, counted in bytes of `scratch` while these lie in the cache.
    """
    bytes_ = scratch.view(np.uint8)
    counted = bytes_[: min(_COUNTED, bytes_.size, totals.size)]
    if fresh:
        totals[:] = 0
    for first in range(0, totals.size, counted.size):
        total = totals[first : first + counted.size]
        for top in range(begin, end, 255):
            counted[:] = 0
            for row in range(top, min(top + 255, end)):
                values = rows[row, first : first + counted.size]
                for i in range(total.size):
                    counted[i] = np.uint8(counted[i] + np.uint8(values[i] != 0))
            for i in range(total.size):
                total[i] += counted[i]


@inner
def _tally(totals, graded_totals, items, reach, tallied):
    """For each item, the events of its source, or the weights that these touched."""
    for k in range(len(items)):
        of = graded_totals if items[k].graded else totals
        values = of[items[k].first : items[k].first + items[k].size]
        found = np.int64(0)
        if items[k].fan_out < 0:
            for i in range(values.size):
                found += values[i]
        else:
            touched = reach[items[k].fan_out :][: values.size]
            for i in range(values.size):
                found += values[i] * touched[i]
        tallied[k] = found


@inlined
def count_rows(
    fired, graded, begin, end, fresh, scratch, has_graded, totals, graded_totals, items, reach, tallied
):  # fmt: skip
    """Count the events of rows begin ... end - 1, and tally those of all rows until now.

    Args:
        fired: uint8 (samples, rows, values); likewise `graded`, int32, which is counted if `has_graded`.
        fresh: whether samples begin: nothing has been counted.
        scratch: int32, overwritten.
        totals: int32 (samples, values), in how many steps each value was not zero; written, as `graded_totals`.
        items: int64 (items), see `columns`.
        reach: int64, the weights that one event of each value touches, edge after edge.
        tallied: int64 (samples, items), events of a source, or the weights that they touched; written.
    """
    for s in range(len(fired)):
        _add_totals(fired[s], begin, end, fresh, totals[s], scratch)
        if has_graded:
            _add_totals(graded[s], begin, end, fresh, graded_totals[s], scratch)
        _tally(totals[s], graded_totals[s], items, reach, tallied[s])
