"""Lowering: a NIR graph becomes a Program for a target. One file per pass; the order stands in `passes.py`."""

from neuroprivacy.lower.passes import DRAFT_PASSES, Lowered, LowerOptions, lower

__all__ = ["DRAFT_PASSES", "LowerOptions", "Lowered", "lower"]
