"""What a pickle may ask for: a few bytes that want all the memory, or all the time, there is end in one sentence, soon."""

import pickle
import resource
import struct
import time
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from g3d.errors import G3dError
from g3d.storage import pickle_budget, safe_pickle

MEMORY, SECONDS = 1 << 30, 20.0
GLOBAL = {
    name: f"cbuiltins\n{name}\n".encode() for name in ("bytes", "list", "dict", "set", "str", "tuple", "int", "float")
}


@pytest.fixture(autouse=True)
def _little_memory() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_AS)
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + MEMORY, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


def nested(start: bytes, times: int) -> bytes:
    """A value that holds twice a value that holds twice ...: a few bytes a level, 2^times when it is walked."""
    return start + b"".join(b"q" + bytes([i]) + b"h" + bytes([i]) + b"\x86" for i in range(times))


def tensor(size: tuple[int, ...], stride: tuple[int, ...]) -> bytes:
    class Tensor:
        def __reduce__(self) -> Any:
            return torch._utils._rebuild_tensor_v2, (
                torch.zeros(4)._typed_storage(),
                0,
                size,
                stride,
                False,
                OrderedDict(),
            )  # type: ignore[no-untyped-call]

    return pickle.dumps(Tensor(), protocol=2)


MANY = 200_000
BOMBS: dict[str, bytes] = {
    "bytes of a number": GLOBAL["bytes"] + b"J" + struct.pack("<i", 2_000_000_000) + b"\x85R.",
    "bytes of numbers in a list": b"(" + (GLOBAL["bytes"] + b"J" + struct.pack("<i", 1_500_000_000) + b"\x85R") * 3 + b"l.",
    "bytearray of a length": b"\x80\x05\x96" + struct.pack("<Q", 3_000_000_000) + b".",
    "a tensor that repeats one value": tensor((1_000_000_000,), (0,)),
    "a tensor without end": tensor((1 << 30, 1 << 30), (0, 0)),
    "a key of tuples of tuples": b"}" + nested(b"K\x01", 60) + b"K\x01s.",
    "a set of tuples of tuples": b"\x80\x04\x8f(" + nested(b"K\x01", 60) + b"\x90.",
    "a frozen set of them": b"\x80\x04(" + nested(b"K\x01", 60) + b"\x91.",
    "text of lists of lists": nested(b"K\x01", 60) + b"q\xf0" + GLOBAL["str"] + b"h\xf0\x85R.",
    "a dict of pairs with such keys": nested(b"K\x01", 60) + b"K\x02\x86q\xf0" + GLOBAL["dict"] + b"(h\xf0l\x85R.",
    "a device named by them": nested(b"K\x01", 60) + b"q\xf0ctorch\ndevice\nh\xf0\x85R.",
    "copies of a long list": GLOBAL["list"] + b"q\x00(" + b"K\x01" * MANY + b"lq\x01" + b"h\x00h\x01\x85R" * 300 + b".",
    "calls with many words": b"cdnnlib\nA\nq\x00(" + b"K\x01" * MANY + b"tq\x01" + b"h\x00h\x01R" * 300 + b".",
    "a long number as a key": b"}\x8b" + struct.pack("<i", 100_000) + b"\x01" * 100_000 + b"K\x01s.",
    "more operations than a checkpoint has": b"(" + b"N" * (pickle_budget._OPERATIONS_MOST + 1) + b"t.",
    "more names than a checkpoint has": b"".join(f"cdnnlib\nA{i}\n".encode() for i in range(20_000)) + b".",
    "text that is a long number": GLOBAL["int"] + b"V" + b"9" * 100_000 + b"\n\x85R.",
}  # fmt: skip


@pytest.mark.parametrize("bomb", list(BOMBS))
def test_a_few_bytes_that_want_everything(bomb: str, tmp_path: Path) -> None:
    path = tmp_path / "bomb.pkl"
    path.write_bytes(BOMBS[bomb])
    started = time.process_time()
    with pytest.raises(G3dError, match=r"bomb\.pkl") as caught:
        safe_pickle.load(path)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500
    assert time.process_time() - started < SECONDS


def test_a_memo_with_a_gap_takes_no_memory(tmp_path: Path) -> None:
    """200 million places in a table, of which one is used."""
    (tmp_path / "a.pkl").write_bytes(
        b"K\x07r" + struct.pack("<I", 200_000_000) + b"j" + struct.pack("<I", 200_000_000) + b"."
    )
    assert safe_pickle.load(tmp_path / "a.pkl") == 7


def module(**inner: Any) -> safe_pickle.Record:
    found = safe_pickle.Record()
    found.state = {"_parameters": {"w": torch.ones(1)}, "_buffers": {}, "_modules": inner}
    return found


def test_modules_within_each_other() -> None:
    circle = module()
    circle.state["_modules"]["again"] = circle
    deep = module()
    for _ in range(60):
        deep = module(left=deep, right=deep)
    wide = module(**{f"m{i}": module() for i in range(100)})
    for bad in (circle, deep):
        with pytest.raises(G3dError, match="modules within modules without end"):
            safe_pickle.module_tensors(bad, "a.pkl")
    found = safe_pickle.module_tensors(module(a=module(b=module()), c=wide), "a.pkl")
    assert {"w", "a.w", "a.b.w", "c.w", "c.m99.w"} <= found.keys() and len(found) == 104


def test_what_checkpoints_hold_is_read(tmp_path: Path) -> None:
    value = {
        "list": [1, 2.5, None, True, "text", b"bytes", 1 << 40], "tuple": (1, (2, (3,))), "set": {1, "a"}, 3: {"x": []},
        "ordered": OrderedDict([("a", 1), ("b", torch.arange(6.0).view(2, 3))]), "transposed": torch.arange(6.0).view(2, 3).T,
        "half": torch.ones(3, dtype=torch.float16), "empty": torch.zeros(0), "size": torch.Size([1, 2]),
        ("a", 1): "a pair", "parameter": torch.nn.Parameter(torch.ones(2)),
    }  # fmt: skip
    for protocol in (3, 4, 5):
        (tmp_path / "a.pkl").write_bytes(pickle.dumps(value, protocol=protocol))
        found = safe_pickle.load(tmp_path / "a.pkl")
        assert found.keys() == value.keys()
        assert torch.equal(found["ordered"]["b"], torch.arange(6.0).view(2, 3))
        assert torch.equal(found["transposed"], torch.arange(6.0).view(2, 3).T) and found["size"] == (1, 2)
        for key in ("list", "tuple", "set", 3, ("a", 1)):
            assert found[key] == value[key], key
