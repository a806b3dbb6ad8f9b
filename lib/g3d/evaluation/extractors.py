"""The words that choose an extractor of features, and the extractor that they mean."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from g3d import distributed
from g3d.errors import Failure, G3dError, Missing, closest
from g3d.progress import SILENT, Progress

if TYPE_CHECKING:
    import torch

    from g3d.evaluation.features import Extractor

WORDS = ("auto", "inception", "efficientnet", "random")
RESIZES = ("clean", "legacy_tensorflow", "legacy_pytorch")
RANGES = ("unit", "signed", "imagenet", "bytes")
SUFFIXES = (".pt", ".pth", ".ts", ".jit", ".torchscript", ".onnx")
_PATIENCE_S = 5.0  # with the server of Inception's file, where another extractor would do
_BELONGS: Mapping[str, tuple[str, ...]] = {
    "--weights": ("inception",), "--resize": ("inception",), "--trust": ("inception", "a TorchScript file"),
    "--extractor-range": ("a TorchScript file", "an ONNX file"), "--extractor-size": ("a TorchScript file", "an ONNX file"),
}  # fmt: skip
"""Option => the kinds of extractor that it means something to."""


@dataclass(frozen=True)
class Choice:
    """`name`: one of WORDS, or a file. The rest: see `g3d.evaluation.inception` and `g3d.evaluation.extractor_file`.

    auto: Inception where its file is at hand or can be had, else EfficientNet; Inception, too, where an option of it is given."""

    name: str = "auto"
    weights: Path | None = None
    resize: str | None = None
    trust: bool = False
    values: str | None = None
    size_px: int | None = None

    @property
    def kind(self) -> str:
        """A word of WORDS, 'a TorchScript file' or 'an ONNX file'."""
        if self.name == "auto" and (self.weights or self.resize or self.trust):
            return "inception"
        if self.name in WORDS:
            return self.name
        return "an ONNX file" if self.name.lower().endswith(".onnx") else "a TorchScript file"

    def files(self) -> tuple[Path, ...]:
        """The files that it reads."""
        own = () if self.name in WORDS else (Path(self.name),)
        return own if self.weights is None else (*own, self.weights)

    def check(self) -> None:
        """Refuse words that are unknown or mean nothing to this extractor."""
        if self.name not in WORDS and not (self.name.lower().endswith(SUFFIXES) or Path(self.name).exists()):
            raise G3dError(
                f"--extractor '{self.name}' is unknown{closest(self.name, WORDS)}; allowed are {', '.join(WORDS)} and a "
                f"TorchScript or ONNX file ({', '.join(SUFFIXES)})"
            )
        for option, value, allowed in (("--resize", self.resize, RESIZES), ("--extractor-range", self.values, RANGES)):
            if value is not None and value not in allowed:
                raise G3dError(
                    f"{option} '{value}' is unknown{closest(value, allowed)}; allowed are {', '.join(allowed)}"
                )
        given: dict[str, object] = {
            "--weights": self.weights, "--resize": self.resize, "--trust": self.trust or None,
            "--extractor-range": self.values, "--extractor-size": self.size_px,
        }  # fmt: skip
        for option, used in given.items():
            if used is not None and self.kind not in _BELONGS[option]:
                raise G3dError(
                    f"{option} belongs to --extractor {' or '.join(_BELONGS[option])} and means nothing to '{self.name}'; "
                    "leave it out"
                )
        if self.size_px is not None and self.size_px < 0:
            raise G3dError(f"--extractor-size {self.size_px} is negative; give pixels, or 0 for pictures as they are")
        if self.kind not in WORDS and self.values is None:
            raise G3dError(
                f"--extractor '{self.name}' needs --extractor-range, the numbers that the network takes; allowed are "
                f"{', '.join(RANGES)}"
            )

    def as_json(self) -> dict[str, Any]:
        """What is known of it before anything is loaded."""
        if self.kind in ("auto", "efficientnet", "random"):
            return {"extractor": self.name}
        if self.kind == "inception":
            from g3d.evaluation.inception import cached_path

            weights = str(self.weights or cached_path())
            return {"extractor": self.kind, "resize": self.resize or "clean", "weights": weights, "trust": self.trust}
        return {
            "extractor": self.name,
            "extractor_range": self.values,
            "extractor_size": self.size_px,
            "trust": self.trust,
        }

    def load(self, device: "torch.device", progress: Progress = SILENT) -> "Extractor":
        """The extractor. Raises `Missing` when the Inception weights or a package cannot be had."""
        self.check()
        if self.kind == "auto":
            return _at_hand(device, progress)
        if self.kind == "random":
            from g3d.evaluation.features import random_extractor

            return random_extractor(device)
        if self.kind == "efficientnet":
            from g3d.evaluation.efficientnet import efficientnet_extractor

            return efficientnet_extractor(device)
        if self.kind == "inception":
            from g3d.evaluation.inception import inception_extractor

            return inception_extractor(self.weights, self.resize or "clean", self.trust, device, progress)
        from g3d.evaluation.extractor_file import file_extractor

        assert self.values is not None
        return file_extractor(Path(self.name), self.trust, self.values, self.size_px, device)


def _at_hand(device: "torch.device", progress: Progress) -> "Extractor":
    """Inception where its file is there or comes soon, else EfficientNet and a note; the same one in all processes."""
    from g3d.evaluation import inception
    from g3d.evaluation.efficientnet import efficientnet_extractor

    found, reason = None, "another process could not have it"
    try:
        found = inception.inception_extractor(None, "clean", False, device, progress, _PATIENCE_S)
    except (Missing, Failure) as error:  # no network, no clean-fid, or a cache that cannot be written
        reason = str(error).split("; ")[0]
    (lacking,) = distributed.agree(found is None)
    if found is not None and not lacking:
        return found
    progress.log(
        f"note: {reason}; the features are those of EfficientNet-lite0: compare frechet_efficientnet and kernel_efficientnet "
        f"with each other and with no FID; for that one put {inception.FILE} at '{inception.cached_path()}' or name it with "
        "--weights"
    )
    return efficientnet_extractor(device)
