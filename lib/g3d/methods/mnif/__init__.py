"""mNIF: Generative Neural Fields by Mixtures of Neural Implicit Functions (You, Kim, Kim, Han; NeurIPS 2023).

A scene is one small SIREN whose weights are a linear combination of M basis networks; the coefficients come from a latent code,
so a scene costs what one small network costs. Stage 1 fits the bases, and finds codes either jointly (auto-decoding) or by a
few gradient steps each (meta-learning); stage 2 is a prior on codes. Images, solids and radiance fields are one code path.

What differs from the paper, and why, is a table in docs/methods/mnif.md: among it the density's activation (functa's, shifted
so that it is never negative), Adam on all codes at once, rays that miss the data's bounding box are not drawn (they carry no
gradient), where alpha begins (`alpha_start`), codes that the prior standardises and clips; and, as settings that are off by
default, clipping, warm-up, a rate of its own for T, cells of the grid among a solid's points. The paper's 4.6 M parameters of S
are those of H = 128 alone, though it prints them for its S of every signal.
"""

from g3d.methods.contract import Encode, Method, of_codes
from g3d.methods.mnif.codec import (
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
from g3d.methods.mnif.config import NEEDS, PAPER, PRESETS, Config
from g3d.methods.mnif.networks import MixtureOfSirens
from g3d.methods.mnif.similarity import similarity
from g3d.methods.mnif.training import check, fit

build = MixtureOfSirens
METHOD: Method[Config, Model] = Method(
    name="mnif",
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
    encode=Encode(EncodeSettings, items, encoder),
    similarity=similarity,
)

__all__ = [
    "METHOD", "PAPER", "PRESETS", "Config", "DecodeSettings", "EncodeSettings", "Model", "build", "check", "decode", "encoder",
    "fit", "items", "latent_space", "load", "similarity", "unfitted",
]  # fmt: skip
