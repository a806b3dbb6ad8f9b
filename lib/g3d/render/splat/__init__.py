"""Rasterisation of 3D Gaussians."""
