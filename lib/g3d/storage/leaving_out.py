"""What is left out, by reason: told once on stderr, listed in dataset.json and in `--json`. Never more than the faulty thing.

A reason is a phrase that follows a count: "frames whose picture is not there".
"""

from collections.abc import Iterable, Mapping, Sequence

LeftOut = Mapping[str, Sequence[str]]
FAULTY = "frames that cannot be used"
MISSING = "frames whose picture is not there"


def merged(parts: Iterable[LeftOut]) -> dict[str, list[str]]:
    """All parts as one, reasons in the order in which they came."""
    whole: dict[str, list[str]] = {}
    for part in parts:
        for reason, names in part.items():
            whole.setdefault(reason, []).extend(names)
    return whole


def note(left_out: LeftOut) -> str:
    """One sentence: how many of each kind, and the first of them."""
    told = [
        f"{len(names)} {reason} ('{names[0]}'{', ...' if len(names) > 1 else ''})" for reason, names in left_out.items()
    ]
    return f"left out: {'; '.join(told)}"
