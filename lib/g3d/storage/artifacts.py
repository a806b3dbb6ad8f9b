"""Artifacts: checked from their headers, read, written whole or not at all. Which there are: `formats.py`.

Every tensor file is safetensors with one metadata key `g3d`: sorted JSON with `format` (`g3d/<artifact>@<version>`),
`config` (what the artifact is: method, settings, scene kind, ...), `seed`, `version`, `parents` (digests of the inputs)
and `digest`, empty where the table asks for none. No time stamp: the same inputs and seed give the same bytes. Files are
written as a temporary file, synced and renamed, so a reader never sees half of one.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from g3d import __version__
from g3d.errors import G3dError, existing, from_os_error
from g3d.storage import container, files, impostors
from g3d.storage.formats import ARTIFACTS, ArtifactRule, TensorRule
from g3d.storage.json_text import parsed

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor


@dataclass(frozen=True)
class Header:
    """What the first bytes of a file say, without its tensors."""

    path: Path
    kind: str
    tensors: Mapping[str, tuple[str, tuple[int, ...]]]  # name -> dtype, shape
    config: Mapping[str, Any]
    seed: int | None
    version: str
    parents: Mapping[str, str]
    digest: str


@dataclass(frozen=True)
class Artifact(Header):
    """A file with its tensors."""

    values: "Mapping[str, Tensor]" = field(default_factory=dict)


def header(path: Path) -> Header:
    """Read the header of a g3d file; a foreign, truncated or damaged one is refused in one sentence."""
    if existing(path, "the file").is_dir():
        raise G3dError(f"the file '{path}' is a folder; give a file that g3d wrote")
    impostors.refuse_file(path)
    tensors, metadata = container.read_header(path)
    try:
        meta = parsed(metadata["g3d"])
        name, _, version = meta["format"].removeprefix("g3d/").partition("@")
        found = int(version)
        config, parents = dict(meta["config"]), dict(meta["parents"])
        seed = None if meta["seed"] is None else int(meta["seed"])
        written_by, digest = str(meta["version"]), str(meta["digest"])
    except (KeyError, ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise G3dError(
            f"'{path}' is a safetensors file that g3d did not write: its metadata has no valid key 'g3d'; "
            "official checkpoints and PLY files are converted by their import commands"
        ) from error
    kind = f"scene/{config.get('scene')}" if name == "scene" else name
    rule = ARTIFACTS.get(kind)
    if rule is None:
        raise G3dError(f"'{path}' holds '{kind}', which this version of g3d ({__version__}) does not know; update g3d")
    if found != rule.version and found not in rule.reads:
        raise G3dError(
            f"'{path}' has format {name}@{found}; this version of g3d ({__version__}) reads {name}@{rule.version}: "
            + ("update g3d" if found > rule.version else f"write it again, or read it with g3d {written_by}")
        )
    result = Header(path, kind, tensors, config, seed, written_by, parents, digest)
    _check_rule(result, rule)
    return result


def check(path: Path, *kinds: str, role: str = "the file") -> Header:
    """The header of `path` if it is one of `kinds` (`scene` stands for every kind of scene; none: of any), else a sentence."""
    existing(path, role)
    if path.is_dir():
        raise G3dError(f"{role} '{path}' is a folder; give a file{f' that holds {_article(kinds)}' if kinds else ''}")
    result = header(path)
    if kinds and not any(result.kind == kind or result.kind.startswith(kind + "/") for kind in kinds):
        raise G3dError(
            f"{role} '{path}' holds {result.kind} ({ARTIFACTS[result.kind].what}); wanted is {_article(kinds)}"
        )
    return result


def read(path: Path, *kinds: str, role: str = "the file", device: str = "cpu") -> Artifact:
    """Read a file of one of `kinds` (none: of any) with its tensors on `device`."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    head = check(path, *kinds, role=role)
    try:
        values = load_file(path, device=device)
    except (SafetensorError, ValueError) as error:
        raise G3dError(f"{role} '{path}' is damaged ({error}); write it again") from error
    except OSError as error:
        raise from_os_error(error, f"reading {path}") from error
    if head.kind in ("model", "prior", "refiner"):
        odd = not_finite(values)
        if odd:
            raise G3dError(
                f"{role} '{path}' holds NaN or infinity in its tensor '{odd}'; fit it again, or take another one"
            )
    return Artifact(**vars(head), values=values)


def not_finite(tensors: "Mapping[str, Tensor]") -> str | None:
    """The name of the first tensor that holds NaN or infinity."""
    floats = (name for name in sorted(tensors) if tensors[name].is_floating_point())
    return next((name for name in floats if not bool(tensors[name].isfinite().all())), None)


def write_arrays(path: Path, kind: str, arrays: "Mapping[str, NDArray[Any]]", config: Mapping[str, Any]) -> str:
    """Write an artifact from numpy arrays, maps of files among them, block by block: none is ever whole in memory.

    The bytes are those of the safetensors format; returns the digest that `write` would give."""
    found = {name: (_NUMPY_DTYPES[arrays[name].dtype.str], tuple(arrays[name].shape)) for name in sorted(arrays)}
    digest = hashlib.sha256()
    for name in sorted(arrays):
        digest.update(f"{name}|torch.{arrays[name].dtype.name}|{list(arrays[name].shape)}|".encode())
        for block in container.blocks(arrays[name]):
            digest.update(block)
    whole = f"sha256:{digest.hexdigest()}"
    text = _metadata(path, kind, found, config, None, {}, whole)
    with files.atomic(path) as temporary:
        container.write(temporary, arrays, {name: dtype for name, (dtype, _) in found.items()}, {"g3d": text})
    return whole


def write(
    path: Path,
    kind: str,
    tensors: "Mapping[str, Tensor]",
    config: Mapping[str, Any],
    *,
    seed: int | None = None,
    parents: Mapping[str, str] | None = None,
) -> str:
    """Write an artifact and return its digest, empty for one that has none. The same arguments give the same bytes.

    Raises `G3dError` when what is to be read again holds NaN or infinity, and (our own bug) when the tensors do not fit the
    table; `Failure` when the disk refuses.
    """
    from safetensors.torch import save_file

    plain = _apart({name: value.detach().cpu().contiguous() for name, value in sorted(tensors.items())})
    found = {name: (_DTYPES[str(value.dtype)], tuple(value.shape)) for name, value in plain.items()}
    odd = not_finite(plain) if kind in _FINITE or kind.startswith("scene/") else None
    if odd:
        raise G3dError(
            f"'{path.name}' would hold NaN or infinity in its tensor '{odd}', so it was not written: the weights or latents that "
            "it comes from are damaged, or overflow"
        )
    whole = _digest(plain) if ARTIFACTS[kind].digested else ""
    text = _metadata(path, kind, found, config, seed, parents or {}, whole)
    with files.atomic(path) as temporary:
        save_file(plain, temporary, {"g3d": text})
    return whole


def _metadata(
    path: Path, kind: str, found: Mapping[str, tuple[str, tuple[int, ...]]], config: Mapping[str, Any], seed: int | None,
    parents: Mapping[str, str], digest: str,
) -> str:  # fmt: skip
    """The text under the key `g3d` of a file to be written, once its tensors and config fit the table."""
    rule = ARTIFACTS[kind]
    meta = {
        "format": f"g3d/{kind.split('/')[0]}@{rule.version}", "config": dict(config), "seed": seed, "version": __version__,
        "parents": dict(parents), "digest": digest,
    }  # fmt: skip
    text = json.dumps(meta, sort_keys=True, allow_nan=False)
    _check_rule(Header(path, kind, found, json.loads(text)["config"], seed, __version__, {}, ""), rule)
    return text


_DTYPES = {
    "torch.float32": "F32", "torch.float16": "F16", "torch.bfloat16": "BF16", "torch.float64": "F64",
    "torch.int64": "I64", "torch.int32": "I32", "torch.int16": "I16", "torch.uint16": "U16", "torch.uint8": "U8",
}  # fmt: skip
_FINITE = (
    "model",
    "prior",
    "refiner",
    "latents",
)  # and scenes: a state is checked by its run, features may be anything
_NUMPY_DTYPES = {"<f4": "F32", "<f2": "F16", "<i8": "I64", "|u1": "U8"}


def _apart(tensors: "dict[str, Tensor]") -> "dict[str, Tensor]":
    """The same values without memory in common, which safetensors refuses to write (e.g. two names of one tensor)."""
    seen: set[int] = set()
    for name, value in tensors.items():
        memory = value.untyped_storage().data_ptr()
        tensors[name] = value.clone() if memory in seen else value
        seen.add(memory)
    return tensors


def _check_rule(head: Header, rule: ArtifactRule) -> None:
    for key in rule.config:
        if key not in head.config:
            raise G3dError(
                f"'{head.path}' ({head.kind}) lacks the metadata '{key}'; write it again with this version of g3d"
            )
    bound: dict[str, int] = {}
    for pattern, want in rule.tensors.items():
        matches = [name for name in head.tensors if fnmatchcase(name, pattern)]
        if not matches and not want.optional and pattern != "*":
            raise G3dError(f"'{head.path}' ({head.kind}) lacks the tensor '{pattern}' [{want.shape}]; write it again")
        for name in matches:
            _check_tensor(head, name, want, bound)
    for name in head.tensors:
        if not any(fnmatchcase(name, pattern) for pattern in rule.tensors):
            raise G3dError(
                f"'{head.path}' ({head.kind}) has a tensor '{name}' that its format does not know; it is another format"
            )
    if head.kind == "latents":
        _check_names(head, bound.get("N", 0))
    if head.kind == "shapes":
        _check_bounds(head)
    if head.kind == "state":
        _check_step(head)


def _check_names(head: Header, count: int) -> None:
    """Every latent has a name: readers pair the two by position."""
    names = head.config["names"]
    if not isinstance(names, list) or len(names) != count:
        found = f"holds {len(names)}" if isinstance(names, list) else "is no list"
        raise G3dError(
            f"'{head.path}' (latents): the metadata 'names' {found}; wanted is a name for each of the {count} latents of "
            "its tensors"
        )


def _check_step(head: Header) -> None:
    """How many steps were made."""
    step = head.config["step"]
    if type(step) is not int or not 0 <= step < 1 << 53:
        raise G3dError(
            f"'{head.path}' (state): its metadata 'step' is {str(step)[:40]!r}; wanted is the number of steps made; begin the "
            "run anew with --overwrite"
        )


def _check_bounds(head: Header) -> None:
    """Two corners, the low one first, and a number of cells."""
    bounds, cells = head.config["bounds"], head.config["cells"]
    corners = bounds if isinstance(bounds, list | tuple) and len(bounds) == 2 else [None, None]
    plain = all(
        isinstance(c, list | tuple) and len(c) == 3 and all(type(v) in (int, float) for v in c) for c in corners
    )
    if not plain or not all(-1e30 < a < b < 1e30 for a, b in zip(*corners, strict=True)) or type(cells) is not int:
        raise G3dError(f"'{head.path}' (shapes): the metadata 'bounds' are {bounds}, 'cells' {cells}; wanted are the low and the "
                       "high corner of a box, three numbers each, and a whole number")  # fmt: skip


def _check_tensor(head: Header, name: str, want: TensorRule, bound: dict[str, int]) -> None:
    dtype, shape = head.tensors[name]
    where = f"'{head.path}' ({head.kind}): tensor '{name}'"
    if dtype not in want.dtypes:
        raise G3dError(f"{where} has dtype {dtype}; wanted is {' or '.join(want.dtypes)}")
    letters = want.shape.split()
    open_end = bool(letters) and letters[-1] == "..."
    letters = letters[:-1] if open_end else letters
    fits = len(shape) >= len(letters) if open_end else len(shape) == len(letters)
    if fits:
        for size, letter in zip(shape, letters, strict=False):
            expected = int(letter) if letter.isdigit() else bound.setdefault(letter, size) if letter != "*" else size
            fits = fits and size == expected
    if not fits:
        known = ", ".join(f"{k} = {v}" for k, v in bound.items())
        raise G3dError(f"{where} has shape {list(shape)}; wanted is [{want.shape}]{f' with {known}' if known else ''}")


def _digest(tensors: "Mapping[str, Tensor]") -> str:
    """sha256 over names, dtypes, shapes and bytes."""
    import torch

    digest = hashlib.sha256()
    for name, value in tensors.items():
        digest.update(f"{name}|{value.dtype}|{list(value.shape)}|".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().data if value.numel() else b"")
    return f"sha256:{digest.hexdigest()}"


def _article(kinds: tuple[str, ...]) -> str:
    return " or ".join(f"a {kind} file" for kind in kinds)
