"""VQ3D: Learning a 3D-Aware Generative Model on ImageNet (Sargent et al.; ICCV 2023).

Stage 1 is an autoencoder of single pictures whose codes are tokens of a book and whose decoder makes three planes of features; a
small MLP reads them, and volume rendering from one canonical camera, the same for all pictures, must give the picture back.
Inverse depth up to scale and shift, and a discriminator of novel views, make a scene of it. Stage 2 is an autoregressive prior on
tokens (`fit-prior --kind autoregressive`). Poses are not used.

No code is public, and neither is the supplement with its loss weights: what the paper leaves open is a setting marked (choice).
What differs: the perceptual loss is that of a network that comes with g3d unless a file of LPIPS with VGG is given; planes
reach as far as the frustum does (`extent`), so that a token lies over its pixels; the last interval of a ray is opaque by
construction. The whole table, with the reasons, is docs/methods/vq3d.md.
"""

from g3d.methods.contract import Encode, Method
from g3d.methods.vq3d.codec import (
    DecodeSettings,
    EncodeSettings,
    Model,
    decode,
    encoder,
    items,
    latent_space,
    load,
    unfitted,
)
from g3d.methods.vq3d.config import NEEDS, PAPER, PRESETS, Config
from g3d.methods.vq3d.networks import Autoencoder
from g3d.methods.vq3d.training import check, fit

build = Autoencoder
METHOD: Method[Config, Model] = Method(
    name="vq3d",
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
    encode=Encode(EncodeSettings, items, encoder),
)

__all__ = [
    "METHOD", "PAPER", "PRESETS", "Autoencoder", "Config", "DecodeSettings", "EncodeSettings", "Model", "build", "check",
    "decode", "encoder", "fit", "items", "latent_space", "load", "unfitted",
]  # fmt: skip
