"""Refiners: a coarse picture => a better one of the same thing, learned from pairs of pictures alone. They know neither scenes
nor methods: whatever drew the coarse pictures, its pictures and the true ones are all they see.

One kind so far: a conditional diffusion model (Ho et al. 2020), the coarse picture concatenated with the noisy one, as
INFAMOUS-NeRF's second stage (section 3.2, eq. 4).
"""

from g3d.refiners.config import PRESETS, Config, SampleSettings
from g3d.refiners.pairs import PairSource
from g3d.refiners.sampling import Loaded, load, refine, refuse_larger
from g3d.refiners.training import fit

__all__ = ["PRESETS", "Config", "Loaded", "PairSource", "SampleSettings", "fit", "load", "refine", "refuse_larger"]
