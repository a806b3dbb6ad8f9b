"""JSON of strangers. It allows whole numbers of any length; those that no float can hold are no use, and not valid here."""

import json
from typing import Any


def parsed(text: str | bytes) -> Any:
    """The value; raises ValueError (and RecursionError, as `json` does)."""
    return json.loads(text, parse_int=_whole)


def _whole(digits: str) -> int:
    value = int(digits)
    try:
        float(value)
    except OverflowError as error:
        raise ValueError(f"a whole number of {len(digits)} digits") from error
    return value
