"""The words of `--expressions` and `--holdout-pairs`: which of the 20 expressions, and which pairs are never trained."""

from collections.abc import Sequence
from typing import Any

from g3d.errors import G3dError, closest
from g3d.sources.faces.model import EXPRESSIONS

NAMES = tuple(EXPRESSIONS)
Pairs = frozenset[tuple[int, int]]
"""Subject and index into EXPRESSIONS."""


def expressions(words: int | str) -> tuple[int, ...]:
    """Indices into EXPRESSIONS, in its order: `8` is the first eight; `neutral,grin` or `0,1,15-18` (from 0) are those alone."""
    text = str(words).strip()
    if text.lstrip("-").isdecimal():
        count = int(text)
        if not 1 <= count <= len(NAMES):
            at_least = "; it is at least 1" if count < 1 else ""
            raise G3dError(
                f"--expressions is {count}{at_least}; there are {len(NAMES)}, so give 1 to {len(NAMES)}, or names"
            )
        return tuple(range(count))
    found: list[int] = []
    for word in (part.strip() for part in text.split(",")):
        first, dash, last = word.partition("-")
        if dash and first.isdecimal() and last.isdecimal() and int(first) <= int(last):
            found += [_expression(str(i), "--expressions") for i in range(int(first), min(int(last), len(NAMES)) + 1)]
        else:
            found.append(_expression(word, "--expressions"))
    twice = next((i for i in found if found.count(i) > 1), None)
    if twice is not None:
        raise G3dError(f"--expressions names '{NAMES[twice]}' twice; name it once")
    return tuple(sorted(found))


def pairs(text: str | None, subjects: Sequence[str], chosen: Sequence[int], held_out: int) -> Pairs:
    """`3:smile,subject-005:grin` => the pairs; of the `subjects` the last `held_out` are never trained anyway.

    Every subject and every expression must stay in training with something: what a pair tells is how the two join."""
    found: set[tuple[int, int]] = set()
    for word in [] if text is None else text.split(","):
        who, colon, what = (part.strip() for part in word.strip().partition(":"))
        if not colon:
            raise G3dError(f"--holdout-pairs has '{word.strip()}'; write subject:expression, e.g. {subjects[0]}:smile")
        pair = (_subject(who, subjects), _expression(what, "--holdout-pairs"))
        if pair[1] not in chosen:
            raise G3dError(
                f"--holdout-pairs has the expression '{NAMES[pair[1]]}', which --expressions leaves out; take another one"
            )
        if pair[0] >= len(subjects) - held_out:
            raise G3dError(
                f"--holdout-pairs has '{subjects[pair[0]]}', of which --holdout-subjects trains nothing; leave the pair out"
            )
        if pair in found:
            raise G3dError(f"--holdout-pairs names '{word.strip()}' twice; name it once")
        found.add(pair)
    for subject in {s for s, _ in found}:
        if all((subject, e) in found for e in chosen):
            raise G3dError(f"--holdout-pairs leaves '{subjects[subject]}' nothing to train; hold fewer pairs out")
    for expression in {e for _, e in found}:
        if all((s, expression) in found for s in range(len(subjects) - held_out)):
            raise G3dError(f"--holdout-pairs leaves nobody with '{NAMES[expression]}' to train; hold fewer pairs out")
    return frozenset(found)


def settings(chosen: Sequence[int], held_out: str | None) -> dict[str, Any]:
    """For the provenance: the first N expressions as N, as they have always been written, others by their names."""
    first = tuple(chosen) == tuple(range(len(chosen)))
    found: dict[str, Any] = {"expressions": len(chosen) if first else [NAMES[i] for i in chosen]}
    return found if held_out is None else {**found, "holdout_pairs": held_out}


def _expression(word: str, option: str) -> int:
    if word.isdecimal() and int(word) < len(NAMES):
        return int(word)
    if word not in NAMES:
        raise G3dError(
            f"{option} has '{word}', which is no expression{closest(word, NAMES)}; there are {', '.join(NAMES)}, or their "
            f"numbers 0 to {len(NAMES) - 1}"
        )
    return NAMES.index(word)


def _subject(word: str, subjects: Sequence[str]) -> int:
    """By name; by number, counted from 0, where names are not numbers themselves."""
    if word in subjects:
        return list(subjects).index(word)
    if word.isdecimal() and int(word) < len(subjects) and not any(name.isdecimal() for name in subjects):
        return int(word)
    raise G3dError(
        f"--holdout-pairs has the subject '{word}'{closest(word, subjects)}; there are {len(subjects)}: {subjects[0]} to "
        f"{subjects[-1]}"
    )
