"""Whole experiments, made of the library's public functions."""
