"""How much a pickle may build: operations, names, items and bytes are counted, keys are plain, and nothing is copied unseen.

Pickles can ask for more than they weigh: `bytes(3000000000)`, a list of a list made a million times, tuples of tuples whose hash
takes for ever. Python's own reader of pickles in Python (`pickle._Unpickler`) takes one function an operation; here each of
them pays first, and those that could not be paid for are gone.
"""

import collections
import pickle
from collections.abc import Callable
from typing import Any

from g3d.errors import G3dError

_OPERATIONS_MOST = 3_000_000  # snapshots of the public code have some hundred thousand
_NAMES_MOST = 10_000
_ITEMS_MOST = 10_000_000  # of all containers that are made from others
_BYTES_MORE = 1 << 28  # of all tensors, beyond eight times the file
_KEY_LENGTH = 16  # of a tuple that is a key


class Budget:
    """What is left for one file. Its makers stand for Python's own types, and make only what its bytes can pay for."""

    def __init__(self, where: str, file_bytes: int):
        self._where = where
        self._operations, self._names, self._items = _OPERATIONS_MOST, _NAMES_MOST, _ITEMS_MOST
        self._bytes = _BYTES_MORE + 8 * file_bytes
        self.plain: dict[str, Callable[..., Any]] = {
            "dict": self.to_dict, "list": self.to_list, "tuple": self.to_tuple, "set": self.to_set, "object": object,
            "int": self.to_int, "float": self.to_float, "str": self.to_str, "bytes": self.to_bytes,
            "bool": lambda value=False: bool(value),
        }  # fmt: skip

    def _refuse(self, what: str) -> G3dError:
        return G3dError(f"'{self._where}' asks for more {what} than a checkpoint needs; it was not read further")

    def operation(self) -> None:
        """One more step of the program that a pickle is."""
        self._operations -= 1
        if self._operations < 0:
            raise self._refuse(f"operations ({_OPERATIONS_MOST})")

    def named(self) -> None:
        """One more name of a class or function."""
        self._names -= 1
        if self._names < 0:
            raise self._refuse(f"names ({_NAMES_MOST})")

    def items(self, count: int) -> None:
        """So many items are copied from one container into another."""
        self._items -= count
        if self._items < 0:
            raise self._refuse(f"items ({_ITEMS_MOST})")

    def data(self, count: int) -> None:
        """So many bytes of tensors."""
        self._bytes -= count
        if self._bytes < 0:
            raise self._refuse("bytes of tensors")

    def key(self, value: Any) -> Any:
        """A key of a dict or set: its hash must be quick to find."""
        parts = value if type(value) is tuple and len(value) <= _KEY_LENGTH else (value,)
        for part in parts:
            plain = part is None or isinstance(part, str | bytes | float | type)
            if not plain and not (isinstance(part, int) and part.bit_length() <= 64):
                raise G3dError(f"'{self._where}' has a key that is neither text nor a number; it is no checkpoint")
        return value

    def _all(self, values: Any) -> Any:
        if not isinstance(values, list | tuple | set | frozenset | dict):
            raise G3dError(f"'{self._where}' makes a container of something that is none; it is damaged")
        self.items(len(values))
        return values

    def to_tuple(self, values: Any = ()) -> tuple[Any, ...]:
        """A tuple of what a container holds."""
        return tuple(self._all(values))

    def to_list(self, values: Any = ()) -> list[Any]:
        """A list of what a container holds."""
        return list(self._all(values))

    def to_set(self, values: Any = ()) -> set[Any]:
        """A set of what a container holds."""
        return {self.key(value) for value in self._all(values)}

    def to_dict(self, pairs: Any = ()) -> dict[Any, Any]:
        """A dict of a dict, or of pairs."""
        found = self._all(pairs)
        return {self.key(k): v for k, v in (found.items() if isinstance(found, dict) else map(self.to_tuple, found))}

    def ordered(self, pairs: Any = ()) -> "collections.OrderedDict[Any, Any]":
        """As `to_dict`, in the type that torch uses."""
        return collections.OrderedDict(self.to_dict(pairs))

    def to_int(self, value: Any = 0) -> int:
        """A whole number."""
        return int(self._small(value))

    def to_float(self, value: Any = 0.0) -> float:
        """A float."""
        return float(self._small(value))

    def to_str(self, value: Any = "") -> str:
        """A text."""
        return str(self._small(value))

    def to_bytes(self, value: Any = b"") -> bytes:
        """Of bytes alone: of a number they would be so many zeros."""
        if not isinstance(value, bytes | bytearray):
            raise G3dError(f"'{self._where}' makes bytes of something that is none; it is damaged")
        return bytes(value)

    def _small(self, value: Any) -> Any:
        if not isinstance(value, str | int | float | bytes) or (
            not isinstance(value, int | float) and len(value) > 1000
        ):
            raise G3dError(f"'{self._where}' makes a number or a text of something long or nested; it is damaged")
        return value


class Maker:
    """A function that a pickle may call by its name, and do nothing else with."""

    __slots__ = ("_make",)

    def __init__(self, make: Callable[..., Any]):
        self._make = make

    def __call__(self, *words: Any) -> Any:
        """What a pickle gets for its arguments."""
        return self._make(*words)


class Counted(pickle._Unpickler):
    """Python's reader of pickles, every operation of which pays."""

    def __init__(self, stream: Any, budget: Budget):
        super().__init__(stream)
        self.budget = budget


Operation = Callable[[Any], None]
_KNOWN: dict[int, Operation] = pickle._Unpickler.dispatch


def _paying(operation: Operation, check: Operation | None = None) -> Operation:
    def run(self: Any) -> None:
        self.budget.operation()
        if check is not None:
            check(self)
        operation(self)

    return run


def _of_arguments(self: Any) -> None:
    self.budget.items(len(self.stack[-1]))


def _one_key(self: Any) -> None:
    self.budget.key(self.stack[-2])


def _keys(self: Any) -> None:
    for key in self.stack[::2]:
        self.budget.key(key)


def _members(self: Any) -> None:
    for value in self.stack:
        self.budget.key(value)


def _build(self: Any) -> None:
    """A state goes to a `Record`; that of an ordered dict (the versions of a state dict) is nothing that anybody reads."""
    state, made = self.stack.pop(), self.stack[-1]
    if not isinstance(made, collections.OrderedDict):
        type(made).__setstate__(made, state)


_CHECKS: dict[bytes, Operation] = {
    pickle.REDUCE: _of_arguments, pickle.NEWOBJ: _of_arguments, pickle.SETITEM: _one_key, pickle.SETITEMS: _keys,
    pickle.DICT: _keys, pickle.ADDITEMS: _members, pickle.FROZENSET: _members,
}  # fmt: skip
_GONE = (
    pickle.BYTEARRAY8, pickle.NEXT_BUFFER, pickle.READONLY_BUFFER, pickle.NEWOBJ_EX, pickle.EXT1, pickle.EXT2, pickle.EXT4
)  # fmt: skip
Counted.dispatch = {
    code: _paying(operation, _CHECKS.get(bytes([code]))) for code, operation in _KNOWN.items() if bytes([code]) not in _GONE
} | {pickle.BUILD[0]: _paying(_build)}  # fmt: skip
