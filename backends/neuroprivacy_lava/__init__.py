"""Lava, Intel's simulator of Loihi's arithmetic, in a separate process.

This package never imports lava. It writes the network, finds a Python 3.10, starts the worker through uv and reads its
results.
"""

from neuroprivacy_lava.backend import LavaBackend

__all__ = ["LavaBackend"]
