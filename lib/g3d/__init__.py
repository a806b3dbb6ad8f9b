"""g3d: small commands for generative models of 3D. Files on disk are the only interface between them."""

__version__ = "0.1.0"
