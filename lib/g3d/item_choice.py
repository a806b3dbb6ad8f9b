"""`--items`: numbers, ranges or names of items, as people write them => places in a list of items."""

from collections.abc import Sequence
from pathlib import Path

from g3d.errors import G3dError, did_you_mean

_DIGITS = 18  # of the number of an item, so that it fits in 64 bits
_SHOWN = 80  # letters of an item that is not there


def chosen_items(text: str, names: Sequence[str], path: Path) -> list[int]:
    """Numbers, ranges (0-4) or names, separated by commas => numbers of items, in that order. A number with zeros before it,
    as samples are named by, is a name where an item has it."""
    found: list[int] = []
    for word in (w.strip() for w in text.split(",")):
        first, dash, last = word.partition("-")
        padded = word.startswith("0") and len(word) > 1
        if word in names and (padded or not word.isdecimal()):
            numbers = range(names.index(word), names.index(word) + 1)
        elif _number(word):
            numbers = range(int(word), int(word) + 1)
        elif dash and _number(first) and _number(last) and int(first) <= int(last):
            numbers = range(int(first), int(last) + 1)
        else:
            numbers = range(0)
        if not numbers or numbers[-1] >= len(names):
            close = did_you_mean(word, names) if not word.isdecimal() and len(names) <= 200 else ""
            odd = word if len(numbers) < 2 else str(max(numbers[0], len(names)))
            odd = odd if len(odd) <= _SHOWN else f"{odd[:_SHOWN]}..."
            raise G3dError(
                f"'{path}' has no item '{odd}'{close}; it holds {len(names)}: choose from 0-{len(names) - 1}, or by name"
            )
        found += numbers
    return found


def _number(word: str) -> bool:
    """Whether it is one, small enough that a range has a length."""
    return word.isdecimal() and len(word) <= _DIGITS
