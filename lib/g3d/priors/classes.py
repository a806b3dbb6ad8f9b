"""The classes that a prior can be asked for: by number or, where the data that it was fitted to names them, by name."""

from collections.abc import Sequence

from g3d.errors import G3dError, closest
from g3d.latents import CLASS_NAMES
from g3d.seeds import parse_seeds
from g3d.storage import artifacts

_SHOWN = 20  # names in a sentence


def recorded(head: artifacts.Header) -> list[str]:
    """The names of classes 0, 1, ... that latents, or a prior, record; none where they record none."""
    found = head.config.get(CLASS_NAMES, [])
    if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
        raise G3dError(
            f"'{head.path}' ({head.kind}): the metadata '{CLASS_NAMES}' is {str(found)[:80]}; wanted is a list of names; "
            "write it again"
        )
    return found


def numbers(text: str, count: int, names: Sequence[str]) -> list[int]:
    """`3`, `0-9`, names, or several of these with commas => the classes of a prior that knows `count`, each once. What can be
    read as numbers is numbers."""
    names = names[:count]
    found: dict[int, None] = {}
    for word in [text] if text in names else [part.strip() for part in text.split(",")]:
        try:
            found |= dict.fromkeys(parse_seeds(word))
        except ValueError as error:
            if word not in names:
                raise G3dError(_unknown(word, count, names)) from error
            found[names.index(word)] = None
    if max(found) >= count:
        raise G3dError(f"the prior knows {count} classes, not {max(found)}; choose --class from 0-{count - 1}")
    return list(found)


def told(chosen: Sequence[int], names: Sequence[str]) -> str:
    """Classes with their names, as far as they have some."""
    words = [f"{n} ({names[n]})" if 0 <= n < len(names) else str(n) for n in chosen[:_SHOWN]]
    return ", ".join(words) + (f" and {len(chosen) - _SHOWN} more" if len(chosen) > _SHOWN else "")


def _unknown(word: str, count: int, names: Sequence[str]) -> str:
    if not names:
        return f"--class '{word}' is not a list of classes; write e.g. 3 or 0-9"
    listed = ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
    return (
        f"the prior knows no class '{word}'{closest(word, names)}; choose --class from {listed}, or by number from "
        f"0-{count - 1}"
    )
