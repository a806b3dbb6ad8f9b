"""`g3d`: the table of commands. A command's file is imported only when the command is asked for."""

import importlib
import os
import re
import sys
from typing import Any

import typer
from g3d import __version__
from g3d.errors import G3dError, did_you_mean
from g3d.threads import bound_spin
from typer.core import TyperGroup

COMMANDS = {
    "prepare-data": "Make a dataset: from meshes, posed or plain pictures, a face model, a seed.",
    "fit-stage1": "Fit the first stage of a method to a dataset.",
    "encode": "Find the latents of a dataset's items.",
    "fit-prior": "Fit a prior to latents.",
    "sample": "Draw scenes from a model, and its prior where it needs one.",
    "decode": "Turn latents into scenes.",
    "edit": "Change latents: paths and grids between items.",
    "render": "Draw scenes as images, depth and video.",
    "export-html": "Write one page that turns scenes in any browser, without a network.",
    "view": "Look at scenes, a model, splats or posed pictures in a browser.",
    "fit-refiner": "Fit a refiner of pictures to pairs, coarse and true.",
    "refine": "Make pictures better by a refiner.",
    "export-ply": "Write scenes as PLY meshes, points or splats.",
    "convert": "Fit 3D Gaussians to scenes of another kind, so that splat viewers open them.",
    "import-ply": "Read a PLY of 3D Gaussians as a scene.",
    "import-checkpoint": "Make a model from a checkpoint of a method's public code, without executing it.",
    "eval-fid": "Compare two sets of images by their features: FID, KID, precision, recall, diversity.",
    "eval-recon": "Compare pictures with the true ones: PSNR, SSIM, MS-SSIM, LPIPS, depth.",
    "eval-transfer": "Say whether drawn faces take on expressions as the true ones do.",
    "eval-geometry": "Say how solid rendered objects are, and how right their depth is.",
    "eval-consistency": "Say whether the views of scenes agree, by a surface fitted to some of them.",
    "eval-identity": "Say whether faces are still the same person's, by a face network.",
    "eval-shapes": "Compare two sets of shapes by Chamfer distance, or occupancy grids by name.",
    "sheet": "Lay pictures of several folders out in rows, to be looked at.",
    "report": "Write one page about a run: curves, pictures, settings, figures.",
    "compare": "Show runs side by side: settings that differ, figures, over seeds.",
    "profile": "Count parameters and multiply-adds, time a view, measure memory.",
    "info": "Say what a file or folder is.",
}


class _LazyGroup(TyperGroup):
    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"g3d_cli.{cmd_name.replace('-', '_')}")
        app: typer.Typer = module.app
        command = typer.main.get_command(app)
        command.name, command.short_help = cmd_name, COMMANDS[cmd_name]
        return command


app = typer.Typer(
    cls=_LazyGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help: it appears sooner, and reads the same in a pipe
    help="Small commands for generative models of 3D. Files on disk are all that passes between them.",
    epilog="\b\nExample: g3d info demo/model/model.safetensors",
)


def _version(show: bool) -> None:
    if show:
        typer.echo(f"g3d {__version__}")
        raise typer.Exit()


@app.callback()
def _root(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    pass


def main() -> None:
    """Entry point of the `g3d` program: one sentence and the exit code for whatever is wrong with the words typed."""
    bound_spin()  # before a command imports torch
    try:
        code = app(standalone_mode=False)
    except G3dError as error:
        print(f"g3d: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except BrokenPipeError:  # `g3d … | head` closed our stdout
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:  # the parser's own errors, which know how to say what is wrong
        if not hasattr(error, "format_message"):
            raise
        context = getattr(error, "ctx", None)
        if type(error).__name__ == "NoArgsIsHelpError":  # bare `g3d`: its sentence is the whole help
            print(error.format_message(), file=sys.stderr)
            sys.exit(2)
        command = context.command_path if context is not None else "g3d"
        print(f"g3d: {_sentence(error)}; see {command} --help", file=sys.stderr)
        sys.exit(2)
    sys.exit(code if isinstance(code, int) else 0)


def _sentence(error: Any) -> str:
    text = " ".join(str(error.format_message()).split()).rstrip(".")
    words = re.match(r"No such command '(.*)'", text)
    return text[:1].lower() + text[1:] + (did_you_mean(words[1], COMMANDS) if words else "")


if __name__ == "__main__":
    main()
