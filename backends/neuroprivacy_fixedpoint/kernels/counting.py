"""Event counters: of each value; then events of each source and synaptic operations of each edge."""

from __future__ import annotations

import numpy as np

from neuroprivacy_fixedpoint.kernels.compiled import inlined, inner

#: Values counted at once, so that their counts stay in the L1 cache.
_COUNTED = 2**14


@inner
def _add_totals(rows, begin, end, fresh, totals, scratch):
    """Add to `totals`, int32 (values,), the number of rows begin ... end - 1 in which each value is not zero.

    Counts are held in bytes of `scratch` first, some values at a time.
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
def _tally(totals, graded_totals, items, fan_out, tallied):
    """For each item, the events of a source or the synaptic operations of an edge."""
    for k in range(len(items)):
        item = items[k]
        of = graded_totals if item.graded else totals
        values = of[item.first : item.first + item.size]
        found = np.int64(0)
        if item.fan_out < 0:
            for i in range(values.size):
                found += values[i]
        else:
            touched = fan_out[item.fan_out :][: values.size]
            for i in range(values.size):
                found += values[i] * touched[i]
        tallied[k] = found


@inlined
def count_rows(batch, begin, end, fresh, scratch, counters):
    """Count the events of rows begin ... end - 1 of a batch, and tally those of all rows until now.

    Args:
        batch: see `Buffers`; graded inputs are counted if there are any.
        fresh: whether samples begin: totals start at 0.
        scratch: int32, overwritten.
        counters: see `Counters`; written.
    """
    totals, graded_totals, tallied = counters.totals, counters.graded_totals, counters.tallied
    for s in range(len(batch.fired)):
        _add_totals(batch.fired[s], begin, end, fresh, totals[s], scratch)
        if counters.has_graded:
            _add_totals(batch.graded[s], begin, end, fresh, graded_totals[s], scratch)
        _tally(totals[s], graded_totals[s], counters.items, counters.fan_out, tallied[s])
