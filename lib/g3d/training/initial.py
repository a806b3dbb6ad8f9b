"""`--init`: a run that starts from the weights of a fitted model, and says so in its config.json."""

from collections.abc import Sequence
from pathlib import Path

from torch import nn

from g3d.errors import G3dError
from g3d.storage import artifacts, files
from g3d.training import checkpoint
from g3d.training.folder import settings_of


def opened(path: Path, method: str) -> artifacts.Header:
    """The model file `path`, or that of the run `path`; refuses a model of another method."""
    head = artifacts.check(files.inside(path, "model.safetensors"), "model", role="the model of --init")
    if head.config["method"] != method:
        raise G3dError(
            f"the model of --init '{head.path}' is one of {head.config['method']}, whose weights {method} cannot start from; "
            f"give a model of {method}"
        )
    if not isinstance(head.config["settings"], dict):
        raise G3dError(f"the model of --init '{head.path}': its metadata 'settings' is no table; fit the model again")
    return head


def parents(folder: Path, resume: bool, head: artifacts.Header | None) -> dict[str, str]:
    """What config.json names as the model that a run starts from: its digest.

    A resumed run has its weights in its state, so it needs the model no more; one that is given must be the one of before,
    since another would have no effect."""
    given = {} if head is None else {"init": head.digest}
    if not resume or not (folder / "config.json").is_file():
        return given
    recorded = settings_of(folder).get("parents", {})
    found = {"init": str(recorded["init"])} if "init" in recorded else {}
    if head is not None and given != found:
        before = "from another model" if found else "without --init"
        raise G3dError(
            f"'{folder}' was started {before}, and --resume takes its weights from its state, not from '{head.path}'; resume it "
            "without --init, or start a new run"
        )
    if head is None and found and not (folder / "state.safetensors").is_file():
        raise G3dError(
            f"'{folder}' was started from a model and stopped before its first save; resume it with the --init of before"
        )
    return found


def load(head: artifacts.Header, modules: Sequence[nn.Module]) -> None:
    """Put the weights of the model into each of `modules`, or refuse them and say what does not fit."""
    file = artifacts.read(head.path, "model", role="the model of --init")
    for module in modules:
        bad = checkpoint.misfits(file.values, module.state_dict())
        if bad:
            raise G3dError(
                f"the model of --init '{file.path}' does not fit these settings, {len(bad)} of its tensors differ "
                f"({checkpoint.listed(bad)}); give the settings that it was fitted with (g3d info shows them)"
            )
        module.load_state_dict(dict(file.values))
