"""Latents: one value and one file for codes, tokens and fields; what does not fit is refused in one sentence."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from commands import unchecked
from g3d import latents
from g3d.errors import G3dError
from g3d.item_choice import chosen_items
from g3d.latents import Latents, LatentSpace, Part
from g3d.storage import artifacts

CODES = LatentSpace.codes("w+", 2, 3)
TOKENS = LatentSpace("tokens", {"tokens": Part((4,), 5)})
ZEROS = {"tokens": torch.zeros(1, 4, dtype=torch.int64)}
FIELDS = LatentSpace("face", {"fields.shape": Part((2,)), "fields.expression": Part((3,))})


def some(space: LatentSpace, count: int = 3) -> Latents:
    """Latents whose numbers count up, with everything that an item may have."""
    found = space.zeros(count)
    tensors = {n: torch.arange(v.numel()).view(v.shape).to(v) % 5 for n, v in found.tensors.items()}
    cameras = torch.arange(count * 25.0).view(count, 25)
    return Latents(
        space, tensors, [f"item {i}" for i in range(count)], torch.arange(count) % 2, None, cameras, {"method": "m"}
    )


@pytest.mark.parametrize("space", [CODES, TOKENS, FIELDS])
def test_what_is_written_is_read(space: LatentSpace, tmp_path: Path) -> None:
    latents.write(tmp_path / "l.safetensors", some(space), seed=3, parents={"model": "x"})
    head = latents.check(tmp_path / "l.safetensors")
    assert head.space == space and head.seed == 3 and list(head.names) == ["item 0", "item 1", "item 2"]
    assert head.has == {"class", "condition_camera"}
    found, wanted = latents.read(head), some(space)
    assert {n: v.tolist() for n, v in found.tensors.items()} == {n: v.tolist() for n, v in wanted.tensors.items()}
    assert torch.equal(found.classes, wanted.classes) and torch.equal(found.condition_camera, wanted.condition_camera)  # type: ignore[arg-type]
    assert found.split is None and found.about == {"method": "m"}
    assert LatentSpace.from_json(space.as_json(), "here") == space


def test_the_metadata_of_codes_are_those_of_before() -> None:
    tensors, about = Latents(
        LatentSpace.codes("phi", 8), {"codes": torch.zeros(1, 8)}, ["a"], about={"method": "mnif"}
    ).packed()
    assert list(tensors) == ["codes"] and about == {"space": "phi", "shape": [8], "method": "mnif", "names": ["a"]}


def test_files_without_a_shape_are_read_by_their_tensors(tmp_path: Path) -> None:
    artifacts.write(
        tmp_path / "l.safetensors", "latents", {"codes": torch.zeros(2, 7).half()}, {"space": "w", "names": ["a", "b"]}
    )
    head = latents.check(tmp_path / "l.safetensors")
    assert head.space == LatentSpace.codes("w", 7)
    assert latents.read(head).codes.dtype == torch.float32


def test_choosing_joining_and_flattening() -> None:
    whole = some(FIELDS)
    few = whole.pick([2, 0])
    assert few.names == ["item 2", "item 0"] and few.classes is not None and few.classes.tolist() == [0, 0]
    assert torch.equal(few.tensors["fields.shape"], whole.tensors["fields.shape"][[2, 0]])
    both = latents.join([few, whole.pick(slice(1, 2))])
    assert both.names == ["item 2", "item 0", "item 1"] and len(both) == 3
    flat = whole.flat()
    assert flat.shape == (3, 5) and torch.equal(flat[:, :3], whole.tensors["fields.expression"])
    assert torch.equal(FIELDS.of_flat(flat, whole.names).tensors["fields.shape"], whole.tensors["fields.shape"])
    apart = latents.join([replace(few, classes=None), whole])
    assert apart.classes is None and apart.condition_camera is not None


@pytest.mark.parametrize(
    ("tensors", "about", "sentence"),
    [
        ({"tokens": torch.full((1, 4), 5)}, {**TOKENS.as_json()}, "no whole numbers below 5"),
        ({"tokens": torch.full((1, 4), -1)}, {**TOKENS.as_json()}, "no whole numbers below 5"),
        ({"tokens": torch.zeros(1, 4, dtype=torch.int64)}, {"space": "tokens"}, "how many different tokens"),
        ({"codes": torch.zeros(1, 2, 4)}, {**CODES.as_json()}, r"holds codes \[2, 4\], but its metadata says w\+ \[2, 3\]"),
        ({"codes": torch.full((1, 2, 3), torch.nan)}, {**CODES.as_json()}, "holds codes that are not finite"),
        ({"class": torch.zeros(1, dtype=torch.int64)}, {"space": "w"}, "neither codes, tokens nor fields"),
        ({"codes": torch.zeros(1, 3)}, {"space": "w", "shape": "3"}, "'latent_space' is"),
        ({"codes": torch.zeros(1, 3)}, {"space": "w", "shape": [-3]}, "'latent_space' is"),
        (ZEROS, {"space": "t", "tensors": {"tokens": {"shape": [4]}}}, "'latent_space' is"),
        (ZEROS, {"space": "t", "tensors": {"tokens": {"shape": [4], "vocabulary": 0}}}, "of tokens how many"),
        (ZEROS, {"space": "t", "tensors": {"tokens": {"shape": [4], "vocabulary": 2**31}}}, "of tokens how many"),
        ({"codes": torch.zeros(1, 3)}, {"space": "w", "tensors": {"codes": {"shape": [3], "vocabulary": 2}}}, "_space' is"),
        ({"codes": torch.zeros(1, 3), "condition_camera": torch.full((1, 25), torch.nan)}, {"space": "w"}, "_camera that are"),
    ],
)  # fmt: skip
def test_files_that_do_not_fit(tensors: dict[str, Any], about: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    with unchecked():
        artifacts.write(tmp_path / "l.safetensors", "latents", tensors, {**about, "names": ["a"]})
    with pytest.raises(G3dError, match=sentence):
        latents.read(latents.check(tmp_path / "l.safetensors"))


def test_items_are_chosen_by_number_range_or_name() -> None:
    names = ["car", "5-7", "red car", "x", "y"]
    assert chosen_items("0,2-4,red car,5-7,0", names, Path("l")) == [0, 2, 3, 4, 2, 1, 0]
    for text, odd in {
        "5": "5",
        "1-9": "5",
        "0-1000000000000": "5",
        "9" * 5000: "9" * 80 + r"\.\.\.",
        f"0-{'9' * 30}": f"0-{'9' * 30}",
        "carr": "carr",
        "4-2": "4-2",
        "": "",
    }.items():
        with pytest.raises(G3dError, match=f"no item '{odd}'.*choose from 0-4"):
            chosen_items(text, names, Path("l"))


def test_a_space_without_a_name_is_refused() -> None:
    with pytest.raises(G3dError, match=r"here: the metadata 'latent_space' is .* with a name"):
        LatentSpace.from_json({"shape": [3]}, "here")


def test_a_padded_number_is_the_name_of_a_sample() -> None:
    """`sample --seeds 3,0 --latents` names its items 000003 and 000000."""
    names = ["000003", "000000"]
    assert chosen_items("000003,000000,0,1,0-1", names, Path("l")) == [0, 1, 0, 1, 0, 1]
    assert chosen_items("00,01", names, Path("l")) == [0, 1]  # no name, so a number
    assert chosen_items("1,0", ["1", "0"], Path("l")) == [1, 0]  # a plain number stays one


@pytest.mark.parametrize("space", [CODES, TOKENS, FIELDS])
def test_parts_of_two_processes_add_up(space: LatentSpace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each process puts in what it has, the sum is the whole: rows of batches 0 and 2 from the first, of 1 from the second."""
    whole, sizes = some(space, 8), [3, 3, 2]
    parts = {0: whole.pick(range(3)), 1: whole.pick(range(3, 6)), 2: whole.pick(range(6, 8))}
    sent: list[list[torch.Tensor]] = [[], []]
    monkeypatch.setattr(latents.distributed, "world", lambda: 2)
    monkeypatch.setattr(latents.distributed, "agree", lambda *flags: [True] * len(flags))
    for rank, mine in enumerate(((0, 2), (1,))):
        monkeypatch.setattr(latents.distributed, "sum_value", sent[rank].append)
        latents.gathered(space, {part: parts[part] for part in mine}, sizes)
    found = [a + b for a, b in zip(*sent, strict=True)]
    wanted = [whole.tensors[name] for name in sorted(whole.tensors)]
    assert all(torch.equal(a, b) for a, b in zip(found, [*wanted, whole.classes, whole.condition_camera], strict=True))
