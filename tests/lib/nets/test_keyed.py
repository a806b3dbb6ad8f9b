"""Random numbers of keys: by hand, uniform, independent of their company; dropout that keeps the mean."""

import torch
from g3d.nets.keyed import bits, draw_keys, dropout, uniform


def keys(count: int, seed: int = 0) -> torch.Tensor:
    return draw_keys(count, generator=torch.Generator().manual_seed(seed))


def by_hand(first: int, second: int, counter: int) -> int:
    """The same in whole numbers of Python, unsigned."""

    def mixed(x: int) -> int:
        x = ((x ^ (x >> 16)) * 0x7FEB352D) % 2**32
        x = ((x ^ (x >> 15)) * 0x846CA68B) % 2**32
        return x ^ (x >> 16)

    return mixed(mixed((counter * 0x9E3779B9 + first) % 2**32) ^ (second % 2**32))


def test_the_hash_by_hand() -> None:
    pairs = torch.tensor([[0, 0], [5, -7], [-(2**31), 2**31 - 1]], dtype=torch.int32)
    for (first, second), found in zip(pairs.tolist(), bits(pairs, 40).tolist(), strict=True):
        assert [n % 2**32 for n in found] == [by_hand(first, second, counter) for counter in range(40)]


def test_every_value_is_as_likely_and_the_next_one_free() -> None:
    """Chi-square of 256 classes of one number, and of 16 x 16 of neighbours: in a key, and from sample to sample."""
    x = uniform(keys(64), 4096)
    assert float(x.min()) > 0 and float(x.max()) < 1
    expected = x.numel() / 256
    for a, b in ((x, None), (x[:, :-1], x[:, 1:]), (x[:-1], x[1:])):
        cell = (a * 256).long() if b is None else (a * 16).long() * 16 + (b * 16).long()
        count = torch.bincount(cell.flatten(), minlength=256).double()
        chi = float(((count - count.mean()).square() / count.mean()).sum())
        assert 170 < chi < 350 and count.mean() > 0.9 * expected  # 255 degrees of freedom: 255 +- 23


def test_a_sample_does_not_depend_on_its_company() -> None:
    some = keys(5)
    assert torch.equal(uniform(some, 7)[3:4], uniform(some[3:4], 7))
    assert torch.equal(uniform(some, 7)[:, :3], uniform(some, 3))


def test_dropout() -> None:
    x = torch.full((8, 50, 40), 3.0, requires_grad=True)
    y = dropout(x, keys(8), 0.25)
    assert set(y.unique().tolist()) == {0.0, 4.0}  # 3 / 0.75
    assert abs(float((y == 0).float().mean()) - 0.25) < 0.02
    (slope,) = torch.autograd.grad(y.sum(), x)
    torch.testing.assert_close(slope, y.detach() / 3)
    assert torch.equal(dropout(x, keys(8), 0.25), y) and not torch.equal(dropout(x, keys(8, 1), 0.25), y)
    assert dropout(x, keys(8), 0.0) is x
