"""The fast simulator: a Program's integers by compiled kernels on the CPU."""

from neuroprivacy_fixedpoint.backend import FixedPointBackend

__all__ = ["FixedPointBackend"]
