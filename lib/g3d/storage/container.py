"""The safetensors container: its header read without its tensors, and arrays written block by block.

A file is 8 bytes of length, a JSON table of that length (dtype, shape and place of each tensor, metadata), then the bytes.
The library that reads and writes tensors needs them in memory whole; this needs some megabytes.
"""

import json
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from g3d.errors import G3dError, from_os_error
from g3d.storage.json_text import parsed

if TYPE_CHECKING:
    from numpy.typing import NDArray

_BLOCK_BYTES = 4 << 20


def read_header(path: Path) -> tuple[dict[str, tuple[str, tuple[int, ...]]], dict[str, str]]:
    """Names, dtypes, shapes and metadata from the first bytes of a safetensors file, checked against its length."""
    foreign = f"'{path}' is not a safetensors file"
    try:
        size = path.stat().st_size
        with path.open("rb") as stream:
            first = stream.read(8)
            length = struct.unpack("<Q", first)[0] if len(first) == 8 else -1
            if size == 0:
                raise G3dError(f"'{path}' is empty; write it again")
            if not 2 <= length <= min(size, 100_000_000):
                raise G3dError(f"{foreign} (its header length is out of range); give a file that g3d wrote")
            text = stream.read(length)
    except OSError as error:
        raise from_os_error(error, f"reading {path}") from error
    try:
        table = parsed(text)
        metadata = table.pop("__metadata__", {})
        tensors = {str(n): (str(t["dtype"]), tuple(int(s) for s in t["shape"])) for n, t in table.items()}
        end = max((int(t["data_offsets"][1]) for t in table.values()), default=0)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError, RecursionError) as error:
        raise G3dError(f"{foreign} (its header is not a table of tensors); give a file that g3d wrote") from error
    if size != 8 + length + end:
        raise G3dError(
            f"'{path}' is truncated or has grown: it should have {8 + length + end} bytes and has {size}; write it again"
        )
    return tensors, metadata


def write(
    path: Path, arrays: "Mapping[str, NDArray[Any]]", dtypes: Mapping[str, str], metadata: Mapping[str, str]
) -> None:
    """Little-endian arrays, maps of files among them; `dtypes` are the format's words for theirs."""
    order = sorted(arrays, key=lambda name: (-arrays[name].dtype.itemsize, name))
    table: dict[str, Any] = {"__metadata__": dict(metadata)}
    end = 0
    for name in order:
        start, end = end, end + arrays[name].nbytes
        table[name] = {"dtype": dtypes[name], "shape": list(arrays[name].shape), "data_offsets": [start, end]}
    first = json.dumps(table, separators=(",", ":")).encode()
    first += b" " * (-len(first) % 8)  # tensors begin at a multiple of 8
    with path.open("wb") as stream:
        stream.write(struct.pack("<Q", len(first)) + first)
        for name in order:
            for block in blocks(arrays[name]):
                stream.write(block)


def blocks(array: "NDArray[Any]") -> Iterator[bytes]:
    """The bytes of an array of little-endian numbers, some megabytes at a time."""
    flat = array.reshape(-1)
    step = max(1, _BLOCK_BYTES // array.dtype.itemsize)
    for start in range(0, len(flat), step):
        yield flat[start : start + step].tobytes()
