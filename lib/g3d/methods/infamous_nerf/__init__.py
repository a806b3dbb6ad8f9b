"""INFAMOUS-NeRF: Improving Face Modeling Using Semantically-Aligned Hypernetworks with Neural Radiance Fields (Hou et al. 2023).

A subject's face is a radiance field of two small MLPs whose weights a hypernetwork writes from the subject's theta; codes of
appearance, shape and expression steer it, and all subjects share one table of expressions, so that an expression of one can be
given to another. Stage 2, a diffusion model that refines pictures, is `fit-refiner` and `refine`.

What differs from the paper is a setting: samples lie within the data's box; `low-rank` weights; density times a scale;
the squared error beside L1; an expression that reaches colour; an L_sur of checked correspondences. Which alpha F_S reads is
written down in `field.py`. The whole table, with the reasons, is docs/methods/infamous-nerf.md.
"""

from g3d.methods.contract import Encode, Method
from g3d.methods.infamous_nerf.codec import DecodeSettings, Model, counts, decode, latent_space, load, unfitted
from g3d.methods.infamous_nerf.config import NEEDS, PAPER, PRESETS, Config
from g3d.methods.infamous_nerf.encoding import EncodeSettings, encode_note, encoder, inputs, items
from g3d.methods.infamous_nerf.networks import FaceModel
from g3d.methods.infamous_nerf.training import check, fit

build = FaceModel
METHOD: Method[Config, Model] = Method(
    name="infamous-nerf",
    paper=PAPER,
    config=Config,
    presets=PRESETS,
    build=build,
    check=check,
    fit=fit,
    load=load,
    unfitted=unfitted,
    latent_space=latent_space,
    decode=decode,
    decode_settings=DecodeSettings,
    needs=NEEDS,
    encode=Encode(EncodeSettings, items, encoder, encode_note, inputs),
    counts=counts,
)

__all__ = [
    "METHOD", "PAPER", "PRESETS", "Config", "DecodeSettings", "EncodeSettings", "FaceModel", "Model", "build", "check",
    "counts", "decode", "encoder", "fit", "items", "latent_space", "load", "unfitted",
]  # fmt: skip
