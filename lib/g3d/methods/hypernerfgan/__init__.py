"""HyperNeRFGAN: Hypernetwork approach to 3D NeRF GAN (Kania et al.; arXiv:2301.11631), and a report that reproduces it.

A generator maps noise to the weights of a small radiance field, by two thin factors a layer that modulate shared weights. Its
pictures are full-resolution patches, rendered and judged by a StyleGAN2 discriminator beside patches of real pictures; cameras
are drawn, so unposed pictures suffice. The field knows no view direction: a scene is a plain `mlp_field`.

Where the report and the method's public code differ, both are settings (`modulation`, `g_lr`, `augment`), and the presets `t4*`
are the report's; docs/methods/hypernerfgan.md is a table of it all. The signs of the report's eqs. 8 and 9 are not those of
losses that are minimised; here they are the non-saturating loss that its text names. What differs from both: a running mean of
w is kept, so `--truncation` works; patches lie at all offsets, also at the last, and may be the whole picture; rays may be
confined to the data's bounding box (`rays=box`); the last interval is finite unless `opaque_end` says otherwise; samples are
even intervals' middles, or anywhere in them while training. Latents need no prior: `draw` makes them.
"""

from g3d.methods.contract import Draw, Method
from g3d.methods.hypernerfgan.codec import (
    DecodeSettings,
    Model,
    SampleSettings,
    counts,
    decode,
    decode_latents,
    draw,
    drawn,
    latent_space,
    load,
    noise_space,
    space_drawn,
    unfitted,
)
from g3d.methods.hypernerfgan.config import NEEDS, PAPER, PRESETS, Config
from g3d.methods.hypernerfgan.networks import Generator
from g3d.methods.hypernerfgan.official import import_official
from g3d.methods.hypernerfgan.training import check, fit

build = Generator
METHOD: Method[Config, Model] = Method(
    name="hypernerfgan",
    paper=PAPER,
    config=Config,
    presets=PRESETS,
    build=build,
    check=check,
    fit=fit,
    load=load,
    unfitted=unfitted,
    latent_space=latent_space,
    decode=decode_latents,
    decode_settings=DecodeSettings,
    needs=NEEDS,
    draw=Draw(SampleSettings, drawn, space_drawn),
    other_spaces=lambda config: [noise_space(config)],
    counts=counts,
    import_official=import_official,
)

__all__ = [
    "METHOD", "PAPER", "PRESETS", "Config", "DecodeSettings", "Model", "SampleSettings", "build", "check", "counts",
    "decode", "draw", "fit", "import_official", "latent_space", "load", "unfitted",
]  # fmt: skip
