"""Torch networks to NIR: our spiking networks, and modules of snnTorch neurons."""
