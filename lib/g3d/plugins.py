"""What can be chosen by name: methods, priors, sources; our own, and those that other packages add by an entry point.

A package adds one in its pyproject.toml, e.g. `[project.entry-points."g3d.methods"]` with `name = "package.module:METHOD"`.
Nothing is imported before it is asked for by its name, so a plug-in that is broken harms no other.
"""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeVar

from g3d.errors import G3dError, did_you_mean

T = TypeVar("T")


@dataclass(frozen=True)
class Registry(Generic[T]):
    """Names of one kind of thing, and the thing of a name."""

    what: str  # "method", as sentences call one
    group: str  # of the entry points of other packages
    own: Mapping[str, str]  # name => "module:attribute", or a module
    fits: Callable[[Any], bool]  # whether what a plug-in gives is such a thing

    @cached_property
    def _foreign(self) -> Mapping[str, EntryPoint]:
        """Those of other packages; our own names are not theirs to take."""
        return {point.name: point for point in entry_points(group=self.group) if point.name not in self.own}

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
            raise G3dError(f"there is no {self.what} '{name}'{did_you_mean(name, self.names())}; {self.what}s: {known}")
        point = self._foreign[name]
        package = point.dist.name if point.dist else point.module
        try:
            foreign = point.load()
        except Exception as error:  # whatever another package's import may raise
            raise G3dError(
                f"the {self.what} '{name}' of the package '{package}' cannot be loaded ({type(error).__name__}: {error}); "
                "mend the package, or uninstall it"
            ) from error
        if not self.fits(foreign):
            raise G3dError(
                f"the {self.what} '{name}' of the package '{package}' ({point.value}) does not fulfil the contract of a "
                f"{self.what}; mend the package, or uninstall it"
            )
        checked: T = foreign
        return checked
