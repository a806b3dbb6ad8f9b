"""The interpolation prior (eq. 11) against brute force: neighbours, segments, weights, streams."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from commands import Pipeline, g3d, refused
from g3d.errors import G3dError
from g3d.priors import interpolation
from g3d.steps import fit_prior
from g3d.storage import artifacts
from torch import Tensor

CPU = torch.device("cpu")


def fitted(path: Path, codes: Tensor, *settings: str) -> artifacts.Artifact:
    names = [str(i) for i in range(len(codes))]
    path.mkdir(exist_ok=True)
    artifacts.write(path / "l.safetensors", "latents", {"codes": codes}, {"space": "phi", "names": names})
    fit_prior.run(fit_prior.Options(path / "l.safetensors", path / "p", "interpolation", settings, device="cpu"))
    return artifacts.read(path / "p" / "prior.safetensors", "prior")


def random_codes(count: int, size: int) -> Tensor:
    return torch.randn(count, size, generator=torch.Generator().manual_seed(0)) * torch.logspace(-2, 1, size) + 7


def slow_neighbours(codes: Tensor, count: int) -> list[list[int]]:
    rows = codes.double().tolist()
    found = []
    for i, a in enumerate(rows):
        distance = {j: sum((x - y) ** 2 for x, y in zip(a, b, strict=True)) for j, b in enumerate(rows) if j != i}
        found.append(sorted(distance, key=lambda j: (distance[j], j))[:count])
    return found


@pytest.mark.parametrize("rows", [7, 256])
def test_the_neighbours_are_those_of_a_loop(rows: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interpolation, "ROWS", rows)
    codes = random_codes(40, 5)
    file = fitted(tmp_path / "a", codes, "neighbours=6")
    assert file.values["neighbours"].tolist() == slow_neighbours(codes, 6)
    assert torch.equal(file.values["codes"], codes)
    scaled = fitted(tmp_path / "b", codes, "neighbours=6", "normalise=true").values["neighbours"]
    assert scaled.tolist() == slow_neighbours(codes / codes.std(dim=0), 6) != file.values["neighbours"].tolist()


def test_equal_codes_are_neighbours_in_their_order_and_few_codes_have_few() -> None:
    codes = torch.tensor([[0.0], [1], [1], [1], [5]])
    assert interpolation.nearest(codes, 2).tolist() == [[1, 2], [2, 3], [1, 3], [1, 2], [1, 2]]


def test_a_sample_lies_between_a_code_and_one_of_its_neighbours(tmp_path: Path) -> None:
    """Every pair and every share comes up, as often as it should: rows evenly, alpha evenly in [0, 1]."""
    codes = random_codes(12, 4)
    loaded = interpolation.load(fitted(tmp_path, codes, "neighbours=3"), CPU)
    found = interpolation.sample(loaded, range(600), 5, interpolation.SampleSettings()).flat().double()
    allowed = {(i, j) for i, row in enumerate(slow_neighbours(codes, 3)) for j in row}
    pairs = {(i, j) for i, j in allowed if i < j or (j, i) not in allowed}
    seen, shares = set(), []
    for x in found:
        hits = []
        for i, j in pairs:
            a, b = codes[i].double(), codes[j].double()
            share = float((x - b) @ (a - b) / (a - b).square().sum())
            if 0 <= share <= 1:
                hits.append((float((x - b - share * (a - b)).norm()), (i, j), share))
        off, pair, share = min(hits)
        assert off < 1e-5, "on no segment"
        seen.add(pair)
        shares.append(share)
    assert seen == pairs
    spread = torch.tensor(shares).sort().values
    even = torch.linspace(0, 1, len(spread))
    assert (spread - even).abs().max() < 1.63 / len(spread) ** 0.5  # Kolmogorov-Smirnov at 1 %


def test_the_nearest_neighbour_alone(tmp_path: Path) -> None:
    """One neighbour, asked for at sampling: samples lie on fewer segments, which a smaller fit gives, too."""
    codes = random_codes(12, 4)
    wide = interpolation.load(fitted(tmp_path / "a", codes, "neighbours=5"), CPU)
    narrow = interpolation.load(fitted(tmp_path / "b", codes, "neighbours=1"), CPU)
    found = interpolation.sample(wide, range(50), 0, interpolation.SampleSettings(neighbours=1)).flat()
    assert torch.equal(found, interpolation.sample(narrow, range(50), 0, interpolation.SampleSettings()).flat())
    assert not torch.equal(found, interpolation.sample(wide, range(50), 0, interpolation.SampleSettings()).flat())
    with pytest.raises(G3dError, match="keeps 5 neighbours of a code, not 6"):
        interpolation.sample(wide, [0], 0, interpolation.SampleSettings(neighbours=6)).flat()


def test_a_sample_depends_on_seed_and_number_alone(tmp_path: Path) -> None:
    loaded = interpolation.load(fitted(tmp_path, random_codes(30, 33)), CPU)
    how = interpolation.SampleSettings()
    together = interpolation.sample(loaded, range(20), 3, how).flat()
    shards = [interpolation.sample(loaded, list(range(20))[part::3], 3, how).flat() for part in range(3)]
    for part in range(3):
        assert torch.equal(together[part::3], shards[part])
    assert torch.equal(together, interpolation.sample(loaded, range(20), 3, how).flat())
    assert (together - interpolation.sample(loaded, range(20), 4, how).flat()).abs().amax(dim=1).min() > 0


def test_by_the_command_line(pipeline: Pipeline, tmp_path: Path) -> None:
    for name in "ab":
        result = g3d(
            "fit-prior", pipeline.model, "--kind", "interpolation", "--set", "neighbours=2", "--out", tmp_path / name
        )
        assert result.code == 0, result.err
    assert (tmp_path / "a/prior.safetensors").read_bytes() == (tmp_path / "b/prior.safetensors").read_bytes()
    base = ["sample", pipeline.model, "--prior", tmp_path / "a", "--num", 2, "--device", "cpu", "--out", tmp_path / "s"]
    refused(g3d(*base, "--set", "neighbours=3"), "keeps 2 neighbours")
    assert not (tmp_path / "s").exists()
    assert g3d(*base, "--set", "neighbours=1").code == 0
    assert len(list((tmp_path / "s").glob("[!.]*"))) == 2


def test_wrong_codes_and_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(G3dError, match="at least 2 latents"):
        fitted(tmp_path / "one", random_codes(1, 4))
    file = fitted(tmp_path / "many", random_codes(6, 4))
    rows = file.values["neighbours"]
    assert rows.shape == (6, 5)  # eight were asked for, there are five others
    for wrong in (rows[:5], rows.float(), rows + 6, rows - 6, rows[:, :0], rows[0]):
        with pytest.raises(G3dError, match="'neighbours'"):
            interpolation.load(replace(file, values={**file.values, "neighbours": wrong}), CPU)
    for gone in ("neighbours", "codes"):
        values = {k: v for k, v in file.values.items() if k != gone}
        with pytest.raises(G3dError, match=f"'{gone}'"):
            interpolation.load(replace(file, values=values), CPU)
