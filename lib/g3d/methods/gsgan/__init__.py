"""GSGAN: Adversarial Learning for Hierarchical Generation of 3D Gaussian Splats (Hyun, Heo; NeurIPS 2024).

A generator of attention and MLP blocks makes 3D Gaussians level by level; each level lies in the frames of anchors, Gaussians
that are not drawn, of the level before, and its scales fall. Rasterised pictures are judged by a StyleGAN2 discriminator that
also tells the camera. A scene is `gaussians`, baked at a recorded `condition_camera`, since the mapping sees a camera and
colours see where it looks.

The defaults are the public code's [c] where it differs from the paper [p], which are settings: `scale_step` (what scales fall
by), `coarsest` (whether Gaussians of level 0 take more than the position from their anchor). What differs from both: the learnt
table of positions is read between its columns (`table=middle` reads it as the public code does); behind the Gaussians is the
data's background; the cameras' own intrinsics are used; L_center and L_knn are what the text of section 3.4 says, a mean
position and mean distances, where eq. 10 prints other sums, or a third of that [c] (`anchor_losses`); R1 is half of what eq. 8
prints [c]; level 3 attends to siblings [c], not to nearest points (A.1); a background that training has not come to is not
drawn. The whole table, with the reasons, is docs/methods/gsgan.md. The ablations of table 3 are settings: `position`, `scale`,
`background`, `anchors`. Latents need no prior: `draw` makes them, as w+.
"""

from g3d.methods.contract import Draw, Encode, Method, drawn_codes, of_codes
from g3d.methods.gsgan.codec import (
    DecodeSettings,
    Model,
    SampleSettings,
    conditioned,
    counts,
    decode,
    draw,
    latent_space,
    load,
    unfitted,
)
from g3d.methods.gsgan.config import NEEDS, PAPER, PRESETS, Config
from g3d.methods.gsgan.inversion import EncodeSettings, encode_note, encoder, items, tuned
from g3d.methods.gsgan.networks import Generator
from g3d.methods.gsgan.official import import_official
from g3d.methods.gsgan.training import check, fit

build = Generator
METHOD: Method[Config, Model] = Method(
    name="gsgan",
    paper=PAPER,
    config=Config,
    presets=PRESETS,
    build=build,
    check=check,
    fit=fit,
    load=load,
    unfitted=unfitted,
    latent_space=latent_space,
    decode=of_codes(decode),
    decode_settings=DecodeSettings,
    needs=NEEDS,
    encode=Encode(EncodeSettings, items, encoder, encode_note),
    draw=Draw(SampleSettings, drawn_codes(lambda model: latent_space(model.config), draw)),
    condition=conditioned,
    tune=tuned,
    counts=counts,
    import_official=import_official,
)

__all__ = [
    "METHOD", "PAPER", "PRESETS", "Config", "DecodeSettings", "EncodeSettings", "Model", "SampleSettings", "build", "check",
    "conditioned", "counts", "decode", "draw", "encode_note", "encoder", "fit", "import_official", "items", "latent_space",
    "load", "tuned", "unfitted",
]  # fmt: skip
