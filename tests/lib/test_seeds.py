"""Random streams that do not depend on the batch, and the list of seeds."""

import pytest
import torch
from g3d.seeds import BLOCK, MOST, Noise, parse_seeds, rng


def test_a_stream_is_a_function_of_seed_index_and_name() -> None:
    draws = {
        key: tuple(torch.rand(4, generator=rng(*key)).tolist())
        for key in [(0, 0, "a"), (0, 1, "a"), (1, 0, "a"), (0, 0, "b"), (1, 10, "a"), (11, 0, "a")]
    }
    assert len(set(draws.values())) == len(draws)
    assert tuple(torch.rand(4, generator=rng(0, 1, "a")).tolist()) == draws[0, 1, "a"]


def test_streams_stay_the_same_between_versions() -> None:
    """sha256("0|0|a") starts with these 8 bytes, little-endian and halved: a recorded seed keeps its meaning."""
    assert rng(0, 0, "a").initial_seed() == int.from_bytes(bytes.fromhex("8f3282b49f387e55"), "little") >> 1


def test_noise_does_not_depend_on_the_batch() -> None:
    together, alone = Noise(3, [5, 9, 2], "z", (2, 3)), Noise(3, [9], "z", (2, 3))
    for _ in range(BLOCK + 3):  # past the end of a block
        a, b = together.draw(), alone.draw()
        assert a.shape == (3, 2, 3)
        assert torch.equal(a[1], b[0])
        assert not torch.equal(a[0], a[1])


def test_noise_is_the_stream_itself_block_after_block() -> None:
    noise, source = Noise(3, [9], "z", (2, 3)), rng(3, 9, "z")
    wanted = torch.cat([torch.randn(BLOCK, 2, 3, generator=source) for _ in range(2)])
    assert torch.equal(torch.cat([noise.draw() for _ in range(2 * BLOCK)]), wanted)


def test_noise_is_standard_normal_and_fresh_with_each_draw() -> None:
    noise = Noise(0, range(50), "z", (20,))
    draws = torch.stack([noise.draw() for _ in range(BLOCK * 2)])
    count = draws.numel()  # 128,000: five standard errors
    assert abs(float(draws.mean())) < 5 / count**0.5
    assert abs(float(draws.var()) - 1) < 5 * (2 / count) ** 0.5
    assert len({float(v) for v in draws[:, 0, 0]}) == 2 * BLOCK


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("3", [3]), ("0-3", [0, 1, 2, 3]), ("0-1, 7,2", [0, 1, 7, 2]), ("5-5", [5]), ("1,1,0-2", [1, 0, 2])],
)
def test_lists_of_seeds(text: str, wanted: list[int]) -> None:
    assert parse_seeds(text) == wanted


@pytest.mark.parametrize("text", ["", "a", "3-", "-3", "3-1", "1,,2", "1.5", "1-2-3", "²", "1-²"])
def test_what_is_no_list_of_seeds(text: str) -> None:
    with pytest.raises(ValueError, match="is not a list of seeds"):
        parse_seeds(text)


def test_a_list_of_seeds_has_an_end() -> None:
    """What is longer is refused before it is written out; overlaps count once, and large numbers are no long list."""
    whole = f"0-{MOST - 1}"
    assert parse_seeds(whole) == parse_seeds(f"{whole},5,{whole}") == list(range(MOST))
    assert parse_seeds(f"{10**17}-{10**17 + 1}") == [10**17, 10**17 + 1]
    for text in (f"0-{MOST}", f"{whole},{MOST}", f"3,0-{10**17}"):
        with pytest.raises(ValueError, match=f"lists more than {MOST} seeds; take them in parts"):
            parse_seeds(text)
    with pytest.raises(ValueError, match="at most 18 digits, not 19"):
        parse_seeds("1" * 19)
