"""What integers cost: trained spiking networks at several weight widths, with and without training on them.

    python -m neuroprivacy.experiments.precision --runs runs/precision --out docs/results/precision.md

For every network: accuracy of the float network, and of its integers on the whole test set at several widths, rounded
with or without calibration samples, or trained at that width. `catalogue` lists networks and widths, `runner` measures
and stores, `page` writes the table from the stored results alone.
"""

from neuroprivacy.experiments.precision.page import page
from neuroprivacy.experiments.precision.runner import measure

__all__ = ["measure", "page"]
