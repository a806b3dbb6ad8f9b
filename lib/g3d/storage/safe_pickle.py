"""Pickles of official checkpoints => plain containers and tensors; nothing that a pickle names is ever called.

A pickle is a program: it names functions and calls them with arguments of its choosing. This reader knows a handful of names
that tensors and containers are made of, and builds those itself; classes of the official code (whose source lies in their
checkpoints) become inert `Record`s that only keep what they were given. Any other name ends the reading with a sentence.
What may be built is counted (`pickle_budget.py`): a few bytes of a pickle can ask for all the memory or time there is.
"""

import io
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from g3d.errors import G3dError, existing, from_os_error
from g3d.storage.pickle_budget import Budget, Counted, Maker

# Packages whose classes and functions are kept as data.
INERT = ("torch_utils", "dnnlib", "src", "training", "torch.nn", "numpy", "omegaconf", "typing")
_DTYPE_NAMES = ("float16", "bfloat16", "float32", "float64", "uint8", "int8", "int16", "int32", "int64", "bool")
_DTYPES = {
    "FloatStorage": torch.float32, "DoubleStorage": torch.float64, "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16, "LongStorage": torch.int64, "IntStorage": torch.int32, "ShortStorage": torch.int16,
    "CharStorage": torch.int8, "ByteStorage": torch.uint8, "BoolStorage": torch.bool,
}  # fmt: skip
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C  # the first pickle of what torch.save wrote before 1.6
_LARGEST = 1 << 33  # bytes of one tensor
_FILE_MOST = 1 << 31  # bytes of a checkpoint
_PARTS_MOST, _DEPTH_MOST = 200_000, 100  # of a module: its modules and tensors, and modules within each other


class Record(dict[Any, Any]):
    """An object of a class that is not loaded: its name, what it was made with, its state, and its items if it is a mapping."""

    name: str
    made_with: tuple[Any, ...]
    state: Any
    elements: list[Any]
    of = ""  # the class that it stands for

    def __new__(cls, *made_with: Any) -> "Record":
        """Also where a pickle makes an object without calling its class."""
        made = super().__new__(cls)
        made.name, made.made_with, made.state, made.elements = cls.of, made_with, None, []
        return made

    def __init__(self, *made_with: Any):
        super().__init__()

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def append(self, value: Any) -> None:
        """For pickled lists."""
        self.elements.append(value)

    def extend(self, values: Any) -> None:
        """For pickled lists."""
        self.elements.extend(values)

    def add(self, value: Any) -> None:
        """For pickled sets."""
        self.elements.append(value)


def load(path: Path) -> Any:
    """What a pickle file holds, with `Record`s in the place of objects. Raises `G3dError` for any other kind of content."""
    try:
        if existing(path, "the checkpoint").is_dir():
            raise G3dError(f"the checkpoint '{path}' is a folder; give a pickle of the public code")
        size = path.stat().st_size
        if size > _FILE_MOST:
            raise G3dError(f"'{path}' has {size} bytes; a checkpoint has at most {_FILE_MOST}: give another file")
        with path.open("rb") as stream:
            zipped = stream.read(2) == b"PK"
            stream.seek(0)
            if not zipped:
                return _read(stream, str(path), size)
    except OSError as error:
        raise from_os_error(error, f"reading {path}") from error
    raise G3dError(f"'{path}' is a zip (torch.save); wanted is a pickle of the public code (network-snapshot-*.pkl)")


def _read(stream: BinaryIO, where: str, size: int) -> Any:
    try:
        return _Unpickler(stream, where, Budget(where, size)).load()
    except G3dError:
        raise
    except (MemoryError, RecursionError) as error:
        raise G3dError(
            f"'{where}' asks for more than can be read ({type(error).__name__}); it is no checkpoint"
        ) from error
    except Exception as error:  # a damaged or crafted pickle may raise anything
        reason = " ".join(str(error).split())[:200]
        raise G3dError(
            f"'{where}' is not a pickle that can be read ({type(error).__name__}: {reason}); fetch it again"
        ) from error


class _Unpickler(Counted):
    """Only names that are known become anything, and what they become is defined here."""

    def __init__(self, stream: BinaryIO, where: str, budget: Budget, stores: "Callable[[Any], Any] | None" = None):
        super().__init__(stream, budget)
        self._where, self._budget, self._stores = where, budget, stores
        self._made: dict[tuple[str, str], Any] = {}

    def find_class(self, module: str, name: str) -> Any:
        """A maker of our own for a name, new ones for every pickle, so that one cannot change those of the next."""
        if (module, name) not in self._made:
            self._budget.named()
            self._made[module, name] = self._maker(module, name)
        return self._made[module, name]

    def _maker(self, module: str, name: str) -> Any:
        budget, where = self._budget, self._where
        known: dict[tuple[str, str], Any] = {
            ("collections", "OrderedDict"): budget.ordered,
            ("torch._utils", "_rebuild_tensor_v2"): lambda *words: _tensor(where, budget, *words),
            ("torch._utils", "_rebuild_tensor"): lambda *words: _tensor(where, budget, *words),
            ("torch._utils", "_rebuild_parameter"): lambda data, *words: data,
            ("torch._tensor", "_rebuild_from_type_v2"): lambda func, kind, words, state: func(*budget.to_tuple(words)),
            ("torch.storage", "_load_from_bytes"): lambda data: _legacy_storage(data, where, budget),
            ("torch", "Size"): budget.to_tuple,
            ("torch", "device"): lambda *words: ":".join(budget.to_str(word) for word in words),
            ("collections", "defaultdict"): lambda *words: {},
            ("_codecs", "encode"): lambda text, *_: str(text).encode("latin-1"),  # how numpy writes bytes in protocol 2
            ("copyreg", "_reconstructor"): lambda kind, *words: kind.__new__(kind),
        }
        if module in ("builtins", "__builtin__") and name in budget.plain:
            return Maker(budget.plain[name])
        if (module, name) in known:
            return Maker(known[module, name])
        if module == "torch" and name in _DTYPES:
            return name
        if module == "torch" and name in _DTYPE_NAMES:
            return name
        if any(module == package or module.startswith(package + ".") for package in INERT):
            return type("Record", (Record,), {"of": f"{module}.{name}"})
        raise G3dError(
            f"'{self._where}' asks for '{module}.{name}', which no checkpoint needs; it was not executed. Such a file may be "
            "meant to harm: do not open it with other programs"
        )

    def persistent_load(self, pid: Any) -> Any:
        """Storages of torch's own format lie outside the pickle."""
        if self._stores is None:
            raise G3dError(f"'{self._where}' refers to something outside of it; it is no checkpoint of the public code")
        return self._stores(pid)


class _Storage:
    """Bytes of a storage and their type; filled after the pickle that refers to it was read."""

    def __init__(self, dtype: torch.dtype, count: int):
        self.dtype, self.count, self.values = dtype, count, torch.empty(0, dtype=dtype)


def _tensor(where: str, budget: Budget, storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> Tensor:
    """A tensor of a storage's values, every index checked."""
    if not isinstance(storage, _Storage):
        raise G3dError(f"'{where}' builds a tensor from something that is no storage; it is damaged")
    whole = [int(offset), *map(int, size), *map(int, stride)]
    last = int(offset) + sum((n - 1) * s for n, s in zip(size, stride, strict=True))
    if min(whole, default=0) < 0 or (0 not in size and last >= len(storage.values)):
        raise G3dError(
            f"'{where}' has a tensor {list(size)} that reaches beyond its {len(storage.values)} values; it is damaged"
        )
    budget.data(math.prod(map(int, size)) * storage.values.element_size())
    return torch.as_strided(storage.values, tuple(size), tuple(stride), int(offset)).clone()


def _legacy_storage(data: Any, where: str, budget: Budget) -> _Storage:
    """A storage as torch pickles it: torch.save's old format in bytes. Magic, version, system; the storage, by reference;
    the references in order; then for each its length (8 bytes) and its values."""
    budget.data(2 * len(data))
    stream = io.BytesIO(budget.to_bytes(data))
    seen: dict[str, _Storage] = {}

    def refer(pid: Any) -> _Storage:
        kind, name, key, _, count = pid[:5]
        if kind != "storage" or name not in _DTYPES or not 0 <= int(count) * _DTYPES[name].itemsize <= _LARGEST:
            raise G3dError(f"'{where}' holds a storage of a kind that is not known ({kind}, {name}); it is damaged")
        return seen.setdefault(str(key), _Storage(_DTYPES[name], int(count)))

    if _Unpickler(stream, where, budget).load() != _LEGACY_MAGIC:
        raise G3dError(f"'{where}' holds a storage in a form that is not known; it is damaged")
    for _ in range(2):  # the protocol's version, and what the machine was like
        _Unpickler(stream, where, budget).load()
    found = _Unpickler(stream, where, budget, refer).load()
    for key in _Unpickler(stream, where, budget).load():
        store = seen[str(key)]
        count = int.from_bytes(stream.read(8), "little")
        raw = stream.read(count * store.dtype.itemsize)
        if count != store.count or len(raw) != count * store.dtype.itemsize:
            raise G3dError(f"'{where}' holds a storage of {store.count} values that is cut short; it is damaged")
        store.values = torch.frombuffer(bytearray(raw), dtype=store.dtype) if raw else store.values
    if not isinstance(found, _Storage):
        raise G3dError(f"'{where}' holds something else than a storage where one is due; it is damaged")
    return found


def module_tensors(module: Any, where: str) -> dict[str, Tensor]:
    """The parameters and buffers of a pickled torch module, by name: of a `Record` that stands for one."""
    found: dict[str, Tensor] = {}
    seen = 0
    waiting: list[tuple[str, Any, int]] = [("", module, 0)]
    while waiting:
        prefix, one, depth = waiting.pop()
        values, buffers, inner = (_table(one, name) for name in ("_parameters", "_buffers", "_modules"))
        seen += 1 + len(values) + len(buffers) + len(inner)
        if seen > _PARTS_MOST or depth > _DEPTH_MOST:
            raise G3dError(
                f"'{where}' has modules within modules without end (more than {_DEPTH_MOST} deep, or {_PARTS_MOST} parts); it is "
                "no checkpoint of the public code"
            )
        found |= {f"{prefix}{n}": v for part in (values, buffers) for n, v in part.items() if isinstance(v, Tensor)}
        waiting += [(f"{prefix}{n}.", child, depth + 1) for n, child in inner.items()]
    return found


def _table(module: Any, name: str) -> Mapping[Any, Any]:
    state = _state_of(module)
    part = state.get(name) if isinstance(state, Mapping) else None
    return part if isinstance(part, Mapping) else {}


def _state_of(module: Any) -> Any:
    """What a module's __dict__ held: the pickled state, or that of StyleGAN's persistent objects, which keep it in `state`."""
    if isinstance(module, Record) and module.made_with and isinstance(module.made_with[0], Mapping):
        return module.made_with[0].get("state")
    return module.state if isinstance(module, Record) else None
