"""The pages of the papers' methods: a table of what differs, settings and presets that exist, links that lead somewhere."""

import re
from pathlib import Path

import pytest
from g3d import config
from g3d.methods import method, settings_of

DOCS = Path(__file__).parents[1] / "docs"
PAGES = ("mnif", "hypernerfgan", "gsgan")


def page(name: str) -> str:
    return (DOCS / "methods" / f"{name}.md").read_text()


@pytest.mark.parametrize("name", PAGES)
def test_a_page_says_what_differs_and_why(name: str) -> None:
    table = page(name).split("## What differs from the paper, and why")[1]
    rows = [line for line in table.splitlines() if line.startswith("|")]
    assert len(rows) > 14 and {row.count("|") for row in rows} == {rows[0].count("|")}
    assert f"docs/methods/{name}.md" in str(__import__(f"g3d.methods.{name}", fromlist=["x"]).__doc__)


@pytest.mark.parametrize("name", PAGES)
def test_settings_that_a_page_names_exist(name: str) -> None:
    """`--set key=value` and `key=value` in code, of the method's own settings."""
    known = config.names(method(name).config())
    pairs = re.findall(r"`(?:--set )?([a-z_0-9]+)=([a-z_0-9.]+)`", page(name))
    assert len(pairs) >= 2
    for key, value in pairs:
        assert key in known, key
        preset = {"mnif": "celebahq64-l", "hypernerfgan": "carla", "gsgan": "ffhq256"}[name]
        settings_of(name, preset, [f"{key}={value}"])


@pytest.mark.parametrize("place", [*(f"methods/{name}.md" for name in PAGES), "evaluation.md"])
def test_links_lead_somewhere(place: str) -> None:
    text = (DOCS / place).read_text()
    links = re.findall(r"\]\(([^)#]*)(?:#([^)]*))?\)", text)
    assert links
    for path, anchor in links:
        target = (DOCS / place).parent / path if path else DOCS / place
        assert target.exists(), path
        if anchor:
            lines = [line for line in target.read_text().splitlines() if line.startswith("#")]
            headings = [re.sub(r"[^\w -]", "", line.lstrip("# ").lower()).replace(" ", "-") for line in lines]
            assert anchor in headings, (anchor, headings)
