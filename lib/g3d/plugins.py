"""What can be chosen by name: methods, priors, sources; our own, and those that other packages add by an entry point.

A package adds one in its pyproject.toml, e.g. `[project.entry-points."g3d.methods"]` with `name = "package.module:METHOD"`.
Nothing is imported before it is asked for by its name, so a plug-in that is broken harms no other.
"""

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
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
            why = " ".join(f"{type(error).__name__}: {error}".split())
            raise G3dError(f"{which} cannot be loaded ({why}); mend the package, or uninstall it") from error
        if not self.fits(foreign):
            raise G3dError(
                f"{which} ({point.value}) does not fulfil the contract of a {self.what}; mend the package, or uninstall it"
            )
        checked: T = foreign
        if self.named is not None and self.named(checked) != name:
            raise G3dError(
                f"{which} calls itself '{self.named(checked)}', and files that it makes would not be known again; give its entry "
                "point the same name"
            )
        return checked


def _package(point: EntryPoint) -> str:
    return point.dist.name if point.dist else point.module
