"""The fast simulator: compiled kernels compute a Program's integers on the CPU."""

from neuroprivacy_fixedpoint.backend import FixedPointBackend

__all__ = ["FixedPointBackend"]
