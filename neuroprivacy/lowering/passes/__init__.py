"""The passes of lowering, one file each."""
