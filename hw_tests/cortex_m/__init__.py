"""Cortex-M processors under QEMU, as a backend of the conformance kit."""
