"""The compiled kernels: lists of events, synaptic sums, neurons, over a range of layers and steps; counters.

`advance` is what Python calls. All run on one core; `engine` spreads samples, or parts of a layer, over threads.

A layer's neurons lie channels-last, so that the targets of one event lie side by side. Accumulators are as narrow as
the sums of this step are proved to fit, or take its events in rounds of which each is; integers of the neurons are 32
or 64 bits wide, as the plan has proved. What every step of every layer calls is inlined before it is compiled: handing
over a dozen arrays took a sixth of a short run.
"""

from neuroprivacy_fixedpoint.kernels.advance import advance

__all__ = ["advance"]
