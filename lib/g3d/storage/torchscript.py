"""TorchScript files: code, so they are loaded only with a known sha256, or when the user trusts them."""

import warnings
from collections.abc import Mapping
from pathlib import Path

import torch

from g3d.errors import G3dError, existing
from g3d.storage import files

RAISED = (RuntimeError, torch.jit.Error, TypeError, ValueError)
"""What a foreign network raises when it is called: torch's own, and what its code asserts."""
DEPTH_ESTIMATORS: Mapping[str, str] = {}
"""sha256 => name of the depth estimators that are known. None yet: their authors publish weights, not TorchScript."""


def trusted_digest(path: Path, trust: bool, known: Mapping[str, str], what: str = "the weights") -> str:
    """The sha256 of a TorchScript file (hex) that may be run; `what` names it in the sentence if it may not.

    `known` holds sha256 => file name."""
    if existing(path, what).is_dir():
        raise G3dError(f"{what} '{path}' are a folder; give a TorchScript file")
    _refuse_no_zip(path, what)
    digest = files.file_digest(path).removeprefix("sha256:")
    if digest in known or trust:
        return digest
    names = ", ".join(f"{name} with {sha256}" for sha256, name in known.items())
    raise G3dError(
        f"{what} '{path}' are not {f'the known {names}' if known else 'of a known origin'} (found sha256 {digest}), and a "
        f"TorchScript file is code that would run; give {'the known file' if known else 'a known file'}, or --trust if you know "
        "its origin"
    )


def load(
    path: Path,
    device: str | torch.device,
    trust: bool,
    known: Mapping[str, str],
    what: str = "the weights",
) -> torch.jit.ScriptModule:
    """The module in a TorchScript file, on `device`, for inference. `known` and `what`: as in `trusted_digest`."""
    if not trust:
        trusted_digest(path, trust, known, what)
    _refuse_no_zip(path, what)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # torch deprecates TorchScript; the file is one
            module: torch.jit.ScriptModule = torch.jit.load(str(path), map_location=device)
            return module.eval()
    except (*RAISED, AttributeError) as error:
        if "out of memory" in str(error).lower():
            raise
        raise G3dError(
            f"{what} '{path}' are not a TorchScript file ({reason(error)}); give one that torch.jit.save wrote"
        ) from error


def _refuse_no_zip(path: Path, what: str) -> None:
    """Refuse what is no zip by its first bytes: torch looks for the end of one through the whole file, minutes in a large one."""
    with path.open("rb") as stream:
        if stream.read(4) != b"PK\3\4":
            raise G3dError(f"{what} '{path}' are not a TorchScript file; give one that torch.jit.save wrote")


def reason(error: Exception) -> str:
    """The first line of what torch said."""
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
