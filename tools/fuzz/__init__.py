"""Attacks on our own reader of NIR files: `python -m tools.fuzz`.

`corpus` makes good files, `damage` breaks their bytes, `edits` changes what they say, `malformed` holds files made by
hand, and `judge` decides, by other means than the reader's, whether what was accepted may be accepted.
"""
