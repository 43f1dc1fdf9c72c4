"""Exports a Program as freestanding C99 for microcontrollers, and runs the same C on the host."""

from neuroprivacy_c99.backend import C99Backend

__all__ = ["C99Backend"]
