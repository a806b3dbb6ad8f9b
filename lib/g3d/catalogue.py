"""What can be chosen by name, described: methods, priors and sources with their settings, presets and what they can do."""

import dataclasses
import re
import sys
from collections.abc import Mapping
from typing import Any, Literal, get_args, get_origin, get_type_hints

from g3d import config
from g3d.errors import G3dError, closest
from g3d.methods import METHODS
from g3d.methods.contract import Method
from g3d.priors import PRIORS, Prior
from g3d.sources import SOURCES

_ABILITIES = {
    "draw": "sample without a prior", "encode": "encode", "tune": "encode --tuned-model", "import_official": "import-checkpoint",
    "condition": "scenes baked at a camera", "similarity": "similarity of its parts in profile",
}  # fmt: skip
"""What a method may have beside the rest => what that lets a user do."""
_MARKS = {
    r"\b(eqs?\.|tables?|section|algorithm|row|appendix) \(?[A-Z\d]": "(eq. 10), table 3, section 4: places of the paper.",
    r"\(choice": "(choice): ours, where the paper leaves it open.",
    r"\[ours|\(ours": "(ours): what the paper does not have.",
}
"""What the meaning of a setting may refer to => what that stands for. Marks of sources, [c], are explained where settings are."""


def names() -> dict[str, list[str]]:
    """All that can be chosen: methods, priors, sources."""
    return {"methods": METHODS.names(), "priors": PRIORS.names(), "sources": SOURCES.names()}


def known(name: str) -> bool:
    """Whether a method, prior or source has this name."""
    return name in METHODS or name in PRIORS or name in SOURCES


def defaults(name: str) -> dict[str, Any]:
    """The settings of a method or prior as they are by default, in their order; none of a name that is not known."""
    found = METHODS.get(name) if name in METHODS else PRIORS.get(name) if name in PRIORS else None
    return {} if found is None else config.as_json(found.config())


def described(name: str) -> dict[str, Any]:
    """What there is to know of a method, prior or source; a sentence with the names where there is none of this name."""
    if name in METHODS:
        return _method(METHODS.get(name))
    if name in PRIORS:
        return _prior(PRIORS.get(name))
    if name in SOURCES:
        source = SOURCES.get(name)
        return {
            "source": name, "what": _promise(source.Options.__module__), "options": _settings(source.Options),
        }  # fmt: skip
    every = [n for some in names().values() for n in some]
    raise G3dError(f"there is no method, prior or source '{name}'{closest(name, every)}; known: {', '.join(every)}")


def _method(found: Method[Any, Any]) -> dict[str, Any]:
    can = ["fit-stage1", *(words for part, words in _ABILITIES.items() if getattr(found, part) is not None)]
    about = {
        "method": found.name, "paper": found.paper, "latents": str(found.latent_space(found.config())), "can": can,
        "notes": _notes(found.config.__module__), "presets": _presets(found.presets, found.config()),
        "settings": _settings(found.config, found.needs),
        **({"encode_settings": _settings(found.encode.settings)} if found.encode is not None else {}),
        **({"sample_settings": _settings(found.draw.settings)} if found.draw is not None else {}),
        "decode_settings": _settings(found.decode_settings),
    }  # fmt: skip
    return _without_empty(_explained(about))


def _prior(found: Prior[Any, Any]) -> dict[str, Any]:
    about = {
        "prior": found.kind, "what": _promise(found.load.__module__), "classes": found.classes is not None,
        "notes": _notes(found.config.__module__), "presets": _presets(found.presets, found.config()),
        "settings": _settings(found.config), "sample_settings": _settings(found.sample_settings),
    }  # fmt: skip
    return _without_empty(_explained(about))


def _explained(about: dict[str, Any]) -> dict[str, Any]:
    """The same; its notes also say what the marks in the meanings of its settings stand for."""
    groups = [group for key, group in about.items() if key.endswith("settings")]
    meanings = " ".join(setting.get("meaning", "") for group in groups for setting in group)
    said = [sentence for mark, sentence in _MARKS.items() if re.search(mark, meanings)]
    return {**about, "notes": " ".join([about["notes"], *said]).strip()}


def _without_empty(about: dict[str, Any]) -> dict[str, Any]:
    """Leave out texts and lists that hold nothing."""
    return {name: value for name, value in about.items() if value not in ("", [], {})}


def _presets(presets: Mapping[str, Any], default: Any) -> list[dict[str, Any]]:
    """A row for each setting that differs somewhere: its default, and what each preset has instead."""
    plain = {name: config.as_json(settings) for name, settings in {"default": default, **presets}.items()}
    keys = [key for key, value in plain["default"].items() if any(one[key] != value for one in plain.values())]
    return [{"setting": key, **{name: one[key] for name, one in plain.items()}} for key in keys]


def _settings(cls: type[Any], needs: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
    hints = get_type_hints(cls)
    return [_setting(f, hints[f.name], needs) for f in config.ordered(cls)]


def _setting(field: "dataclasses.Field[Any]", hint: Any, needs: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Name, default, what is allowed and what it means."""
    default = None if field.default is dataclasses.MISSING else field.default
    found = {"name": field.name, "default": list(default) if isinstance(default, tuple) else default}
    allowed = _allowed(field, hint)
    meaning = field.metadata.get("doc", "")
    return {
        **found, **({"allowed": allowed} if allowed else {}), **({"meaning": meaning} if meaning else {}),
        **({"only_with": str(needs[field.name])} if needs and field.name in needs else {}),
    }  # fmt: skip


def _allowed(field: "dataclasses.Field[Any]", hint: Any) -> str:
    """Choices, or a closed range; empty where anything goes."""
    options = [h for h in get_args(hint) if get_origin(h) is Literal] if get_origin(hint) is not Literal else [hint]
    if options:
        return " | ".join(str(choice) for choice in get_args(options[0]))
    if hint is bool:
        return "true | false"
    low, high = field.metadata.get("low"), field.metadata.get("high")
    if low is not None and high is not None:
        return f"{low} to {high}"
    return f"at least {low}" if low is not None else f"at most {high}" if high is not None else ""


def _promise(module: str) -> str:
    """The first line of a module's docstring."""
    return str(sys.modules[module].__doc__ or "").strip().partition("\n")[0]


def _notes(module: str) -> str:
    """What follows it: where the settings come from, and what stands for which paper."""
    return " ".join(str(sys.modules[module].__doc__ or "").strip().partition("\n")[2].split())
