"""Settings of VQ3D: defaults are the paper's sizes for ImageNet at 256 pixels, presets one table.

[p] is the paper, [VV] ViT-VQGAN, on which it builds, [360] mip-NeRF 360; what is in none of them is a choice, and says so. The
paper's supplement, which has its loss weights, is not public.
"""

from dataclasses import dataclass, replace
from typing import Literal

from g3d.config import setting
from g3d.methods.contract import Needs

PAPER = "VQ3D: Learning a 3D-Aware Generative Model on ImageNet (Sargent et al.; ICCV 2023)"


@dataclass(frozen=True)
class Config:
    """Letters: T tokens of a picture, K codes of D numbers, C channels of a plane of P pixels a side."""

    resolution: int = setting(256, "side of the pictures, pixels", low=4, high=4096)
    patch: int = setting(8, "side of what a token stands for, pixels; T = (resolution / patch)^2 [VV]", low=1, high=256)
    backbone: Literal["vit", "cnn"] = setting(
        "vit", "encoder and decoder: transformers, or VQGAN's convolutions (row 2)"
    )
    encoder_width: int = setting(512, "features of a token in the encoder, ViT-S [VV]", low=4)
    encoder_depth: int = setting(8, "blocks of the encoder [VV]", low=0)
    decoder_width: int = setting(1280, "features of a token in the decoder, ViT-L [VV]", low=4)
    decoder_depth: int = setting(32, "blocks of the decoder [VV]", low=0)
    head_dim: int = setting(64, "features of a head of attention [VV]", low=1)
    encoder_heads: int = setting(8, "heads of the encoder [VV]", low=1)
    decoder_heads: int = setting(16, "heads of the decoder [VV]", low=1)
    mlp_ratio: int = setting(4, "hidden features of a block, times its width [VV]", low=1, high=16)
    output_layer: Literal["tanh", "linear"] = setting(
        "tanh", "behind both stacks: a feed-forward layer with tanh in the middle [VV], or nothing (better when small)"
    )
    input_gain: bool = setting(
        False, "start with patches and codes as large as positions, which else drown them (choice)"
    )
    cnn_channels: int = setting(128, "channels of the convolutions at full size; doubled twice on the way down", low=4)
    cnn_blocks: int = setting(2, "residual blocks at each size", low=1, high=16)
    checkpoint: bool = setting(False, "activation checkpointing of the transformers: less memory, more time")
    precision: Literal["fp32", "bf16"] = setting(
        "fp32", "of the products of encoder and decoder, while they are fitted and after"
    )

    codes: int = setting(8192, "K, codes of the book [VV]", low=2, high=1 << 20)
    code_dim: int = setting(32, "D, numbers of a code; latents and codes have norm 1 [VV]", low=1)
    commitment: float = setting(0.25, "beta, weight of the latent's way to its code [VV]", low=0)
    codebook: Literal["gradient", "ema"] = setting(
        "gradient", "what moves codes: the loss [VV], or a mean of their latents"
    )
    codebook_decay: float = setting(0.98, "of that mean, a step", low=0, high=1)
    codebook_start: Literal["normal", "data"] = setting(
        "normal", "codes at the start: drawn, or latents of the first batch"
    )
    reset_every: int = setting(
        0, "steps after which codes that nobody chose become latents of a batch; 0: never (choice)", low=0
    )
    reset_until: float = setting(0.8, "share of the steps during which that happens (choice)", low=0, high=1)

    scene: Literal["triplane", "implicit"] = setting(
        "triplane", "three planes, or an MLP that the mean token shifts (row 7)"
    )
    plane_size: int = setting(512, "P, side of a plane [p]", low=2)
    plane_channels: int = setting(32, "C [p]", low=1)
    mlp_width: int = setting(32, "hidden features of the MLPs that read the planes [p]", low=1)
    mlp_hidden: int = setting(
        1, "hidden layers of those (the paper's '2 layers' leaves open whether it counts the last)", low=1, high=8
    )
    extent: float = setting(
        0.5,
        "half-width of the planes in x and y, of contracted space: the frustum lies in 0.45 (choice)",
        low=0.01,
        high=1,
    )
    world_scale: float = setting(2.0, "world units times this are contracted (choice)", low=0.01)
    implicit_width: int = setting(64, "features of the MLP of row 7 (choice)", low=1)
    implicit_layers: int = setting(4, "its hidden layers (choice)", low=1, high=32)
    implicit_frequencies: int = setting(8, "of its positional encoding (choice)", low=0, high=20)
    samples: int = setting(32, "of a ray (choice)", low=1, high=1024)
    proposal_samples: int = setting(64, "of a ray, of the proposal round (choice)", low=1, high=1024)
    radius_world: float = setting(1.0, "distance of the canonical camera from the origin (choice)", low=0.01)
    fov_deg: float = setting(50.0, "its field of view (choice)", low=1, high=170)
    near_world: float = setting(0.5, "where rays begin, camera z (choice)", low=1e-3)
    far_world: float = setting(10.0, "where they end (choice)", low=1e-2)
    disc_radius: float = setting(
        0.25, "novel cameras stand in a disc of this radius around the canonical one [p: 0.2 to 0.3]", low=0
    )

    mse_weight: float = setting(1.0, "of the squared error", low=0)
    laplace_weight: float = setting(0.1, "of the logit-Laplace loss [VV]", low=0)
    perceptual_weight: float = setting(0.1, "of the perceptual distance [VV]", low=0)
    perceptual: Literal["efficientnet", "lpips"] = setting(
        "efficientnet", "what that is: features of a network that comes with g3d, or of the file perceptual_file"
    )
    perceptual_file: str = setting("", "weights of LPIPS with its backbone (VGG), for perceptual=lpips")
    vq_weight: float = setting(1.0, "of the quantiser's loss [VV]", low=0)
    depth_weight: float = setting(1.0, "of the depth loss, eq. 2 (choice)", low=0)
    depth_loss: Literal["pointwise", "accumulated"] = setting(
        "pointwise", "what is compared with the depth: all samples (eq. 1), or their mean"
    )
    scale_weight: float = setting(0.1, "of the scale loss, eq. 3 (choice)", low=0)
    small_scale: float = setting(
        1.0, "lambda of eq. 3, of the part that keeps depth from becoming flat (choice)", low=0
    )
    distortion_weight: float = setting(0.01, "of the distortion loss [360]", low=0)
    interlevel_weight: float = setting(1.0, "of the interlevel loss [360]", low=0)
    gan_weight: float = setting(0.1, "of the main discriminator: real or reconstructed [VV]", low=0)
    gan_from: float = setting(0.0, "share of the steps at which it begins", low=0, high=1)
    novel_weight: float = setting(
        0.1, "of the second discriminator: reconstructed or seen from elsewhere (choice)", low=0
    )
    novel_from: float = setting(0.05, "share of the steps at which it begins (choice)", low=0, high=1)
    novel_disparity: bool = setting(True, "it sees the disparity, too [p]")
    d_channel_base: int = setting(32768, "channels of the discriminators at side s: this / s", low=1)
    d_channel_max: int = setting(512, "most channels of them", low=1, high=2048)
    d_lr: float = setting(1e-4, "Adam, discriminators (choice)", low=0)
    r1_gamma: float = setting(10.0, "weight of R1 (choice)", low=0)
    r1_interval: int = setting(16, "steps from one R1 to the next; 0 for none", low=0)

    batch: int = setting(256, "pictures a step [VV]", low=1)
    micro_batch: int = setting(0, "pictures whose gradients are in memory at once, 0 for all of the step's", low=0)
    rays: int = setting(
        0, "rays of a picture a step, drawn; 0: all, as where a discriminator or the perceptual distance looks", low=0
    )
    steps: int = setting(500_000, "steps [VV]", low=0)
    lr: float = setting(1e-4, "AdamW [VV]", low=0)
    lr_floor: float = setting(0.5, "share of it that the cosine ends at [VV: 5e-5]", low=0, high=1)
    warmup: int = setting(50_000, "steps of linear warm-up [VV]", low=0)
    weight_decay: float = setting(1e-4, "of matrices [VV]", low=0)
    clip: float = setting(0.0, "largest norm of the gradient, 0 for none", low=0)
    flip: bool = setting(False, "half of the pictures are mirrored (choice)")

    def __post_init__(self) -> None:
        if self.resolution % self.patch:
            raise ValueError(f"resolution is {self.resolution}, no multiple of patch={self.patch}")
        if self.near_world >= self.far_world:
            raise ValueError(f"near_world is {self.near_world}, far_world {self.far_world}; near must be less")
        if self.backbone == "vit" and self.scene == "triplane" and self.plane_size % self.side:
            raise ValueError(f"plane_size is {self.plane_size}, no multiple of the {self.side} tokens of a side")
        if self.backbone == "vit" and (self.encoder_width % 4 or self.decoder_width % 4):
            raise ValueError("encoder_width and decoder_width must be multiples of 4, for the positions")
        if self.backbone == "cnn" and self.scene == "implicit":
            raise ValueError(
                "scene=implicit takes the mean of the decoder's tokens, which backbone=cnn has not; use vit"
            )
        if self.backbone == "cnn" and (self.patch & (self.patch - 1) or self.cnn_channels % 4):
            raise ValueError(
                "backbone=cnn halves the picture: patch must be a power of 2, cnn_channels a multiple of 4"
            )

    @property
    def side(self) -> int:
        """Tokens of a side."""
        return self.resolution // self.patch

    @property
    def tokens(self) -> int:
        """T."""
        return self.side**2


_VIT, _CNN = Needs("backbone", ("vit",)), Needs("backbone", ("cnn",))
_PLANES, _IMPLICIT = Needs("scene", ("triplane",)), Needs("scene", ("implicit",))
_NOVEL = Needs("novel_weight", other_than=(0.0,))
NEEDS = {
    **dict.fromkeys(("encoder_width", "encoder_depth", "decoder_width", "decoder_depth", "head_dim", "encoder_heads",
                     "decoder_heads", "mlp_ratio", "output_layer", "checkpoint"), _VIT),
    **dict.fromkeys(("cnn_channels", "cnn_blocks"), _CNN),
    **dict.fromkeys(("plane_size", "plane_channels", "mlp_width", "mlp_hidden", "extent", "world_scale", "proposal_samples",
                     "interlevel_weight"), _PLANES),
    **dict.fromkeys(("implicit_width", "implicit_layers", "implicit_frequencies"), _IMPLICIT),
    "rays": Needs("perceptual_weight", (0.0,)), "commitment": Needs("vq_weight", other_than=(0.0,)),
    "codebook_decay": Needs("codebook", ("ema",)), "reset_until": Needs("reset_every", other_than=(0,)),
    "perceptual": Needs("perceptual_weight", other_than=(0.0,)), "perceptual_file": Needs("perceptual", ("lpips",)),
    "depth_loss": Needs("depth_weight", other_than=(0.0,)), "small_scale": Needs("scale_weight", other_than=(0.0,)),
    "gan_from": Needs("gan_weight", other_than=(0.0,)), "novel_from": _NOVEL, "novel_disparity": _NOVEL,
    "r1_gamma": Needs("r1_interval", other_than=(0,)),
}  # fmt: skip
"""Settings that have an effect beside others only."""

_OURS = Config(  # for a processor
    resolution=32, patch=4, encoder_width=128, encoder_depth=4, decoder_width=128, decoder_depth=4, head_dim=32, encoder_heads=4,
    decoder_heads=4, output_layer="linear", input_gain=True, cnn_channels=32, codes=512, code_dim=16, codebook="ema",
    codebook_start="data", reset_every=10, plane_size=64, plane_channels=16, samples=16, proposal_samples=16, mse_weight=4,
    perceptual_weight=0, gan_weight=0.05, gan_from=0.974, novel_weight=0.05, novel_from=0.974, d_channel_base=512,
    d_channel_max=64, d_lr=1e-3, batch=16, rays=256, steps=6150, lr=1.5e-3, lr_floor=0.05, warmup=50, flip=True,
)  # fmt: skip

# The paper's three data sets, and ours.
PRESETS = {
    "imagenet256":  Config(),
    "compcars256":  Config(),
    "mvs1-256":     Config(),
    "laptop64":     replace(_OURS, resolution=64, plane_size=128, steps=1700, samples=24, proposal_samples=24, gan_from=0.97,
                            novel_from=0.97),
    "laptop32":     _OURS,
    "smoke":        replace(_OURS, resolution=16, encoder_width=32, encoder_depth=1, decoder_width=32, decoder_depth=1,
                            head_dim=16, encoder_heads=2, decoder_heads=2, codes=32, code_dim=8, plane_size=16, plane_channels=4,
                            mlp_width=8, samples=6, proposal_samples=6, batch=4, rays=64, steps=20, warmup=2, d_channel_base=64,
                            d_channel_max=8, reset_every=5, gan_from=0.7, novel_from=0.8),
}  # fmt: skip
