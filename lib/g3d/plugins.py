"""What can be chosen by name: methods, priors, sources; our own, and those that other packages add by an entry point.

A package adds one in its pyproject.toml, e.g. `[project.entry-points."g3d.methods"]` with `name = "package.module:METHOD"`.
Nothing is imported before it is asked for by its name, so a plug-in that is broken harms no other.
"""

import dataclasses
import importlib
import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeVar

from g3d.errors import G3dError, closest

T = TypeVar("T")


@dataclass(frozen=True)
class Registry(Generic[T]):
    """Names of one kind of thing, and the thing of a name."""

    what: str  # "method", as sentences call one
    group: str  # of the entry points of other packages
    own: Mapping[str, str]  # name => "module:attribute", or a module
    fits: Callable[[Any], bool]  # whether what a plug-in gives is such a thing
    named: Callable[[T], str] | None = None  # the name that such a thing itself has, which files record
    calls: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Its functions, those that it may leave out among them, and their arguments: `lacks check(config, dataset)`."""

    @cached_property
    def _foreign(self) -> Mapping[str, Sequence[EntryPoint]]:
        """Those of other packages, all of a name; our own names are not theirs to take."""
        found: dict[str, list[EntryPoint]] = {}
        for point in entry_points(group=self.group):
            if point.name not in self.own:
                found.setdefault(point.name, []).append(point)
        return found

    def names(self) -> list[str]:
        """All names, our own first."""
        return [*self.own, *sorted(self._foreign)]

    def __contains__(self, name: str) -> bool:
        return name in self.own or name in self._foreign

    def get(self, name: str) -> T:
        """The thing of this name, or a sentence with the names that there are."""
        if name in self.own:
            module, _, attribute = self.own[name].partition(":")
            loaded: Any = importlib.import_module(module)
            found: T = getattr(loaded, attribute) if attribute else loaded
            return found
        if name not in self._foreign:
            known = ", ".join(self.names())
            raise G3dError(f"there is no {self.what} '{name}'{closest(name, self.names())}; {self.what}s: {known}")
        points = self._foreign[name]
        if len(points) > 1:
            packages = ", ".join(sorted(f"'{_package(point)}'" for point in points))
            raise G3dError(f"the packages {packages} each have a {self.what} '{name}'; uninstall all but one of them")
        return self._loaded(name, points[0])

    def _loaded(self, name: str, point: EntryPoint) -> T:
        """What a plug-in gives under a name, or a sentence about what is wrong with it."""
        which = f"the {self.what} '{name}' of the package '{_package(point)}'"
        try:
            foreign = point.load()
        except (Exception, SystemExit) as error:  # whatever another package's import may raise
            lacking = self._lacking(error)
            if lacking:
                raise G3dError(f"{which} lacks {lacking}; add it, or uninstall the package") from error
            why = " ".join(f"{type(error).__name__}: {error}".split())
            raise G3dError(f"{which} cannot be loaded ({why}); mend the package, or uninstall it") from error
        if not self.fits(foreign):
            raise G3dError(
                f"{which} ({point.value}) does not fulfil the contract of a {self.what}; mend the package, or uninstall it"
            )
        odd = misfit(foreign, self.calls)
        if odd:
            raise G3dError(f"{which} ({point.value}) {odd}; mend the package, or uninstall it")
        checked: T = foreign
        if self.named is not None and self.named(checked) != name:
            raise G3dError(
                f"{which} calls itself '{self.named(checked)}', and files that it makes would not be known again; give its entry "
                "point the same name"
            )
        return checked

    def _lacking(self, error: BaseException) -> str:
        """The functions that the value was made without, where the import ended with that."""
        told = re.search(r"__init__\(\) missing \d+ required positional arguments?: (.*)", str(error))
        names = re.findall(r"'(\w+)'", told[1]) if isinstance(error, TypeError) and told else []
        return ", ".join(_call(name, self.calls[name]) if name in self.calls else name for name in names)


def misfit(found: Any, calls: Mapping[str, Sequence[str]]) -> str:
    """What is wrong with the functions of a value, e.g. `check takes (config)`; empty where nothing is."""
    for name, arguments in calls.items():
        part = getattr(found, name)
        if part is None:  # one that may be left out, or a mistake that its type does not allow
            required = found.__dataclass_fields__[name].default is dataclasses.MISSING
            if required:
                return f"lacks {_call(name, arguments)}"
            continue
        if not callable(part):
            return f"has a {name} that is no function, but {type(part).__name__}; wanted is {_call(name, arguments)}"
        try:
            signature = inspect.signature(part)
        except (TypeError, ValueError):  # of functions that are not written in Python
            continue
        try:
            signature.bind(*arguments)
        except TypeError:
            return f"has {name}{signature}, which cannot be called as {_call(name, arguments)}"
    return ""


def _call(name: str, arguments: Sequence[str]) -> str:
    return f"{name}({', '.join(arguments)})"


def _package(point: EntryPoint) -> str:
    return point.dist.name if point.dist else point.module
