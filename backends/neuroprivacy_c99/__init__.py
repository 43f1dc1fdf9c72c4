"""Freestanding C99 from a Program: for microcontrollers, and for the host to hold against the reference."""

from neuroprivacy_c99.backend import C99Backend

__all__ = ["C99Backend"]
