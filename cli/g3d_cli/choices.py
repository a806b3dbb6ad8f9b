"""What can be chosen by name, for help and completion: methods, kinds of prior and sources, each with its presets and settings.

Names come without an import of torch; presets and settings cost one, so only who names a method or kind waits for it."""

import os
from collections.abc import Mapping, Sequence
from importlib.metadata import entry_points
from typing import Any, ClassVar

from typer.core import TyperCommand

METHODS = {
    "mnif": "pictures, posed pictures or shapes as neural fields (mNIF)",
    "hypernerfgan": "posed or unposed pictures => radiance fields, by a GAN (HyperNeRFGAN)",
    "gsgan": "posed pictures => 3D Gaussians, by a GAN (GSGAN)",
    "vq3d": "photographs with depth => tokens and triplanes (VQ3D)",
    "infamous-nerf": "posed faces with expressions => editable radiance fields (INFAMOUS-NeRF)",
}
KINDS = {
    "gaussian": "mean and covariance; seconds",
    "interpolation": "between neighbours; nothing to fit",
    "diffusion": "DDPM by a residual MLP",
    "autoregressive": "a transformer, of tokens (VQ3D)",
}
REFINERS = ("paper", "laptop", "smoke")


def listed(title: str, table: Mapping[str, str]) -> str:
    """The table as a paragraph of help that keeps its lines."""
    width = max(len(name) for name in table) + 2
    return "\n".join(["\b", title, *(f"  {name:<{width}}{what}" for name, what in table.items())])


def names(own: Mapping[str, Any], group: str) -> list[str]:
    """Ours, and those that other packages add."""
    return list(dict.fromkeys([*own, *(point.name for point in entry_points(group=group))]))


def methods(incomplete: str) -> list[str]:
    """Completion of METHOD."""
    return [name for name in names(METHODS, "g3d.methods") if name.startswith(incomplete)]


def kinds(incomplete: str) -> list[str]:
    """Completion of --kind."""
    return [name for name in names(KINDS, "g3d.priors") if name.startswith(incomplete)]


def presets_of_method(incomplete: str) -> list[str]:
    """Completion of --preset behind a METHOD."""
    return _presets(_named(METHODS, "g3d.methods"), incomplete)


def presets_of_kind(incomplete: str) -> list[str]:
    """Completion of --preset behind a --kind, or none."""
    return _presets(_named(KINDS, "g3d.priors") or "diffusion", incomplete)


def _named(own: Mapping[str, Any], group: str) -> str | None:
    """The one of a table that the words before the cursor name; the parser has not read them, since they end in an option."""
    typed = os.environ.get("COMP_WORDS") or os.environ.get("_TYPER_COMPLETE_ARGS", "")
    words = [word.rpartition("=")[2] for word in typed.split()]
    return next((word for word in words if word in names(own, group)), None)


def _presets(name: str | None, incomplete: str) -> list[str]:
    rows = _described(name).get("presets", []) if name else []
    found = dict.fromkeys(column for row in rows for column in row)
    return [one for one in found if one not in ("setting", "default") and one.startswith(incomplete)]


def refiners(incomplete: str) -> list[str]:
    """Completion of --preset of fit-refiner."""
    return [name for name in REFINERS if name.startswith(incomplete)]


class Described(TyperCommand):
    """A command whose --help, with the name of a method or kind beside it, ends with the presets and settings of that."""

    among: ClassVar[Sequence[str]] = ()
    group: ClassVar[str] = ""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """The words; with --help among them, the one that it is about is remembered."""
        if "--help" in args:
            known = names(dict.fromkeys(self.among), self.group)
            words = [word.rpartition("=")[2] for word in args]
            ctx.meta["about"] = next((word for word in words if word in known), None)
        rest: list[str] = super().parse_args(ctx, args)
        return rest

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """The options, then what --preset and --set choose from."""
        super().format_options(ctx, formatter)
        about = ctx.meta.get("about")
        if about is None:
            return
        from g3d_cli import show

        found = _described(about)
        shown: dict[str, Any] = {key: found[key] for key in ("notes", "presets", "settings") if key in found}
        formatter.write_paragraph()
        formatter.write(f"--preset and --set of {about}:\n")
        for line in show.lines(shown):
            formatter.write(f"{line}\n")


class OfMethod(Described):
    """Help of METHOD."""

    among, group = tuple(METHODS), "g3d.methods"


class OfKind(Described):
    """Help of a kind of prior."""

    among, group = tuple(KINDS), "g3d.priors"


def _described(name: str) -> dict[str, Any]:
    """What `g3d info NAME` says; nothing of a name that there is not, which the command itself will refuse."""
    from g3d.errors import G3dError
    from g3d.steps.info import Options, run

    try:
        return run(Options(name))
    except G3dError:
        return {}
