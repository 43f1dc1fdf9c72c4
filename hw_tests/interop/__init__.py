"""NIR files between this library and its peers: `pytest hw_tests/interop --peer NAME`, then `report.py`."""
