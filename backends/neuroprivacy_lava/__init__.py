"""Lava: Intel's own simulator of Loihi's arithmetic, in a process of its own.

This half never imports lava: it writes the network, finds a Python 3.10, starts the worker through uv, and reads back.
"""

from neuroprivacy_lava.backend import LavaBackend

__all__ = ["LavaBackend"]
