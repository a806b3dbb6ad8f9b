"""Settings from JSON and from `--set`: typed, in range, nothing unknown."""

import json
from dataclasses import dataclass, replace
from typing import Any, Literal

import pytest
from g3d.config import as_json, before, describe, differences, from_json, names, override, preset, setting
from g3d.errors import G3dError
from g3d.methods import METHODS


@dataclass(frozen=True)
class Settings:
    depth: int = setting(4, "layers", low=1, high=32)
    r1_gamma: float = setting(10.0, "R1 weight", low=0)
    mirror: bool = setting(False, "mirrored pictures")
    space: Literal["z", "w", "w+"] = setting("w", "latent space")
    levels: Literal[1, 2, 4] = setting(2, "levels")
    widths: tuple[int, ...] = setting((64, 32), "widths", low=1, high=1024)
    limit: float | None = setting(None, "cut-off", low=0, high=1)
    label: str = setting("a", "a name")

    def __post_init__(self) -> None:
        if self.depth == 13:
            raise ValueError("depth 13 is not built")


@pytest.mark.parametrize(
    ("pair", "name", "wanted"),
    [
        ("depth=7", "depth", 7),
        (" depth = 7 ", "depth", 7),
        ("depth=1e1", "depth", 10),
        ("depth=+3", "depth", 3),
        ("r1_gamma=2.5e-3", "r1_gamma", 0.0025),
        ("r1_gamma=3", "r1_gamma", 3.0),
        ("mirror=true", "mirror", True),
        ("mirror=Off", "mirror", False),
        ("mirror=1", "mirror", True),
        ("space=w+", "space", "w+"),
        ("levels=4", "levels", 4),
        ("widths=1,2, 3", "widths", (1, 2, 3)),
        ("widths=5", "widths", (5,)),
        ("limit=0.25", "limit", 0.25),
        ("limit=none", "limit", None),
        ("limit=1", "limit", 1.0),
        ("label=a=b", "label", "a=b"),
    ],
)
def test_set_is_typed(pair: str, name: str, wanted: Any) -> None:
    found = getattr(override(Settings(limit=0.5), [pair], "mnif"), name)
    assert found == wanted and type(found) is type(wanted)


def test_set_changes_only_what_it_names_and_the_last_wins() -> None:
    before = Settings(depth=5, widths=(3,), limit=0.5)
    assert override(before, [], "mnif") == before
    assert override(before, ["depth=6", "depth=7"], "mnif") == replace(before, depth=7)
    assert before.depth == 5


@pytest.mark.parametrize(
    ("pair", "words"),
    [
        ("D_kwarg.r1_gamma=1", ["mnif has no setting 'D_kwarg.r1_gamma'", "did you mean 'r1_gamma'?"]),
        ("dept=1", ["'dept'", "did you mean 'depth'?"]),
        ("zzzz=1", ["'zzzz'", "allowed:", "depth", "widths"]),
        ("depth", ["'depth'", "key=value"]),
        ("depth=2.5", ["mnif setting 'depth'", "'2.5'", "whole number"]),
        ("depth=nan", ["'nan'", "whole number"]),
        ("depth=inf", ["'inf'", "whole number"]),
        ("depth=", ["''", "whole number"]),
        ("depth=none", ["'none'", "whole number"]),
        ("depth=0", ["'depth' is 0", "at least 1"]),
        ("depth=33", ["'depth' is 33", "at most 32"]),
        ("depth=13", ["mnif", "depth 13 is not built"]),
        ("r1_gamma=-0.5", ["'r1_gamma' is -0.5", "at least 0"]),
        ("r1_gamma=inf", ["'inf'", "not a number"]),
        ("r1_gamma=nan", ["'nan'", "not a number"]),
        ("mirror=maybe", ["'maybe'", "true or false"]),
        ("space=ww", ["'ww'", "did you mean", "allowed: z, w, w+"]),
        ("levels=3", ["'3'", "allowed: 1, 2, 4"]),
        ("widths=4,0", ["'widths' is 0", "at least 1"]),
        ("widths=4,x", ["'widths' is 'x'", "whole number"]),
        ("limit=2", ["'limit' is 2.0", "at most 1"]),
    ],
)
def test_what_set_refuses(pair: str, words: list[str]) -> None:
    with pytest.raises(G3dError) as caught:
        override(Settings(), [pair], "mnif")
    assert caught.value.exit_code == 2
    for word in words:
        assert word in str(caught.value)


def test_json_round_trip() -> None:
    for config in (Settings(), Settings(9, 0.1, True, "w+", 4, (7, 8, 9), 0.125, "x"), Settings(widths=())):
        assert from_json(Settings, json.loads(json.dumps(as_json(config))), "file") == config
    assert from_json(Settings, {"depth": 3}, "file") == Settings(depth=3)  # what is absent keeps its default


@pytest.mark.parametrize(
    "data",
    [{"widths": 5.5}, {"widths": None}, {"widths": {"a": 1}}, {"depth": None}, {"depth": [1]}, {"depth": True},
     {"mirror": 2}, {"space": ["w"]}, {"limit": "x"}, {"limit": []}, {"colour": 1}],
)  # fmt: skip
def test_json_of_a_wrong_type_is_refused_by_name(data: dict[str, Any]) -> None:
    with pytest.raises(G3dError, match=f"'{next(iter(data))}'"):
        from_json(Settings, data, "file")


@pytest.mark.parametrize("data", [[0.5], "depth", None, 3])
def test_json_that_is_no_table_is_refused(data: Any) -> None:
    with pytest.raises(G3dError, match=r"the model 'a': its settings are .* not a table of values by name"):
        from_json(Settings, data, "the model 'a'")


def test_one_number_from_json_is_a_tuple_of_one() -> None:
    assert from_json(Settings, {"widths": 5}, "file").widths == (5,)


def test_presets_differences_and_descriptions() -> None:
    presets = {"cars": Settings(depth=2), "faces": Settings()}
    assert preset(presets, "cars", "mnif").depth == 2
    with pytest.raises(G3dError, match=r"mnif has no preset 'car'.*did you mean 'cars'.*cars, faces"):
        preset(presets, "car", "mnif")
    assert differences({"a": 1, "b": 2}, {"a": 1, "b": 3, "c": 4}) == ["b: 2 -> 3", "c: None -> 4"]
    assert describe(Settings())[1] == ("r1_gamma", 10.0, "R1 weight")


def test_what_is_allowed_is_said_once() -> None:
    """Where no word is close, too: a sentence that lists what there is does not list it twice."""
    presets = {"paper": 1, "smoke": 2}
    with pytest.raises(G3dError) as far:
        preset(presets, "zzzz", "mnif")
    assert str(far.value) == "mnif has no preset 'zzzz'; presets: paper, smoke"
    with pytest.raises(G3dError) as near:
        preset(presets, "smok", "mnif")
    assert str(near.value) == "mnif has no preset 'smok' (did you mean 'smoke'?); presets: paper, smoke"
    with pytest.raises(G3dError) as method:
        METHODS.get("zzzz")
    assert str(method.value).count("hypernerfgan") == 1


def test_own_settings_come_before_shared_ones() -> None:
    @dataclass(frozen=True)
    class Own(Settings):
        width: int = setting(8, "W")
        mirror: bool = setting(True, "as the paper")

    assert names(Own)[0] == "width" and names(Own())[1:] == names(Settings)
    assert list(as_json(Own())) == names(Own) and as_json(Own())["mirror"] is True


@dataclass(frozen=True)
class Grown:
    old: int = setting(1, "from the beginning")
    sizes: tuple[int, ...] = setting((2, 3), "came later and changed nothing")
    mean: bool = setting(True, "came later, and runs had done otherwise", before=False)
    limit: float | None = setting(1.0, "came later, and there was none", before=None)


def test_what_runs_did_before_there_was_a_setting() -> None:
    assert before(Grown(old=5, mean=True)) == {"old": 1, "sizes": [2, 3], "mean": False, "limit": None}
    assert {name: before(METHODS.get("gsgan").config())[name] for name in ("anchor_losses", "swap_fade_kimg", "deviation")} == {
        "anchor_losses": "sum", "swap_fade_kimg": 0.0, "deviation": "part",
    }  # fmt: skip
