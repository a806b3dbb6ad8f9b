"""The pages of the papers' methods: a table of what differs, settings and presets that exist."""

import importlib
import re
from pathlib import Path

import pytest
from g3d import config
from g3d.methods import method, settings_of

DOCS = Path(__file__).parents[1] / "docs"
PAGES = {
    "mnif": "celebahq64-l", "hypernerfgan": "carla", "gsgan": "ffhq256", "vq3d": "imagenet256", "infamous-nerf": "facescape512"
}  # fmt: skip
"""Method => a preset of the paper's, on which the settings that its page names can be set."""


def page(name: str) -> str:
    return (DOCS / "methods" / f"{name}.md").read_text()


@pytest.mark.parametrize("name", PAGES)
def test_a_page_says_what_differs_and_why(name: str) -> None:
    table = page(name).split("## What differs from the paper, and why")[1]
    rows = [line for line in table.splitlines() if line.startswith("|")]
    assert len(rows) > 14 and {row.count("|") for row in rows} == {rows[0].count("|")}
    package = importlib.import_module(f"g3d.methods.{name.replace('-', '_')}")
    assert f"docs/methods/{name}.md" in str(package.__doc__)


@pytest.mark.parametrize("name", PAGES)
def test_settings_that_a_page_names_exist(name: str) -> None:
    """`--set key=value` and `key=value` in code, of the method's own settings."""
    known = config.names(method(name).config())
    table = page(name).split("## What differs from the paper, and why")[1]
    pairs = re.findall(r"`(?:--set )?([a-z_0-9]+)=([a-z_0-9.]+)`", table)
    assert len(pairs) >= 2
    for key, value in pairs:
        assert key in known, key
        settings_of(name, PAGES[name], [f"{key}={value}"])
