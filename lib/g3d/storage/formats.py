"""THE table of file formats: tensor names, shapes, dtypes, the keys of their metadata, versions.

Conventions that every artifact follows (images and cameras: `cameras.py`):
* Gaussians: means, **log** scales, quaternions **wxyz** (not necessarily unit), **logit** opacities, spherical harmonics
  `[N, K, 3]` with K = 1, 4, 9 or 16.
* Fields: density after its activation and >= 0; colour in [0, 1], the clamp named; axis-aligned bounds in world units.
* Images: 8-bit PNG, sRGB, [0, 1] as float.
"""

from collections.abc import Mapping
from dataclasses import dataclass

FLOATS = ("F32", "F16", "BF16", "F64")
INTS = ("I64", "I32", "U8", "I16", "U16")


@dataclass(frozen=True)
class TensorRule:
    """Shape as letters and numbers: a letter binds across the file, `*` is any size, `...` any further axes."""

    shape: str
    dtypes: tuple[str, ...] = FLOATS
    optional: bool = False


@dataclass(frozen=True)
class ArtifactRule:
    """One artifact: its version, its tensors by name (`*` matches any text) and the keys its `config` must hold."""

    version: int
    tensors: Mapping[str, TensorRule]
    config: tuple[str, ...] = ()
    what: str = ""
    digested: bool = True  # nothing has a state as its parent, and it may be tens of gigabytes, written every minute
    reads: tuple[int, ...] = ()  # versions before this one that its reader understands


T = TensorRule
_WORLD = ("scene", "world")
ARTIFACTS: dict[str, ArtifactRule] = {
    "cameras": ArtifactRule(
        1,
        {
            "c2w": T("V 4 4"),
            "intrinsics": T("V 4"),
            "object": T("V", INTS, optional=True),  # which object of the dataset a view shows
            "split": T("V", INTS, optional=True),  # index into config.splits
        },
        ("width", "height"),
        "cameras of a folder of images",
    ),
    "labels": ArtifactRule(
        1,
        {
            "object": T("V", INTS, optional=True),  # of a dataset without cameras
            "split": T("V", INTS, optional=True),
            "class": T("V", INTS, optional=True),
            "subject": T("V", INTS, optional=True),
            "expression": T("V", INTS, optional=True),
            "landmarks": T("V 68 2", optional=True),  # x y, pixels
            "landmarks_visible": T("V 68", ("U8",), optional=True),
            "face_box": T("V 4", optional=True),  # x0 y0 x1 y1, pixels
            "mouth_box": T("V 4", optional=True),
            "eye_boxes": T("V 2 4", optional=True),
            "inverse_depth_range": T("V 2", optional=True),  # inverse depth of steps 0 and 65535
        },
        ("names",),
        "labels of the views of a dataset",
    ),
    "shapes": ArtifactRule(
        2,
        {
            "occupancy_bits": T(
                "N B", ("U8",), optional=True
            ),  # packed bits, 1 inside; axes x, y, z, the last one fastest
            "points": T("N P 3", optional=True),
            "labels": T("N P", ("U8",), optional=True),
        },
        ("bounds", "cells"),
        "occupancy of the objects of a dataset",
    ),
    "latents": ArtifactRule(
        1,
        {
            "codes": T("N ...", optional=True),
            "tokens": T("N S", INTS, optional=True),
            "fields.*": T("N ...", optional=True),  # named codes, e.g. fields.shape
            "class": T("N", INTS, optional=True),
            "split": T("N", INTS, optional=True),
            "condition_camera": T("N 25", optional=True),  # at which a method that asks for it bakes the scenes
        },
        ("space", "names"),
        "latent codes of items",
    ),
    "model": ArtifactRule(
        1, {"*": T("...", FLOATS + INTS)}, ("method", "settings", "latent_space", "world"), "a fitted first stage"
    ),
    "state": ArtifactRule(
        1, {"*": T("...", FLOATS + INTS)}, ("step", "settings"), "the state that --resume needs", digested=False
    ),
    "prior": ArtifactRule(1, {"*": T("...", FLOATS + INTS)}, ("kind", "settings", "latent_space"), "a fitted prior"),
    "refiner": ArtifactRule(
        1, {"*": T("...", FLOATS + INTS)}, ("kind", "settings", "pictures"), "a fitted refiner of pictures"
    ),
    "scene/gaussians": ArtifactRule(
        1,
        {
            "means": T("N 3"),
            "log_scales": T("N 3"),
            "quats": T("N 4"),
            "opacity_logits": T("N"),
            "sh": T("N K 3"),
            "level": T("N", ("U8",), optional=True),
            "background": T("N", ("U8",), optional=True),
        },
        _WORLD,
        "a scene of 3D Gaussians",
    ),
    "scene/mlp_field": ArtifactRule(
        1,
        {"layer.*.weight": T("* *"), "layer.*.bias": T("*")},
        (*_WORLD, "signal", "network"),
        "a scene that is an MLP",
    ),
    "scene/triplane": ArtifactRule(
        2,  # @1 had no extent and no scale: both were 1
        {
            "planes": T("3 C H W"),  # XY, XZ, YZ: the first axis along W, the second along H, both upward
            "nerf.*.weight": T("* *"),
            "nerf.*.bias": T("*"),
            "proposal.*.weight": T("* *", optional=True),
            "proposal.*.bias": T("*", optional=True),
        },
        (*_WORLD, "contraction"),  # also extent [x, y, z] and scale
        "a scene of three feature planes and a small MLP",
        reads=(1,),
    ),
    "disparity": ArtifactRule(
        1,
        {"first": T("H W"), "second": T("H W"), "weight": T("H W")},  # sums along a ray of W D, of W D^2, of W
        ("near_world", "far_world"),  # D is inverse depth, 1 at near and 0 at far
        "sums of the inverse depth of a picture's rays",
        digested=False,
    ),
    "features": ArtifactRule(1, {"features": T("N D")}, ("extractor",), "image features of an evaluation"),
}
"""Every artifact by name; the version is raised whenever a reader of the old one would misread the new one."""
