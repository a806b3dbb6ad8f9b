"""Batches made ahead are those that the loop would make, in order; few at a time; mistakes arrive in the loop."""

import threading
import time

import pytest
from g3d.training.prefetch import prefetch


@pytest.mark.parametrize("threads", [0, 1, 3])
def test_every_step_gets_its_batch(threads: int) -> None:
    def make(step: int) -> int:
        time.sleep(0.001 * (step % 3))  # they end in another order than they began
        return step * step

    with prefetch(make, 40, threads=threads) as batches:
        assert [batches(step) for step in range(5, 40)] == [step * step for step in range(5, 40)]  # a resumed loop


def test_only_a_few_are_under_way_and_none_beyond_the_end() -> None:
    made: list[int] = []
    with prefetch(lambda step: made.append(step), 10, threads=2, ahead=3) as batches:
        batches(0)
        time.sleep(0.05)
        assert sorted(made) == [0, 1, 2, 3]
        for step in range(1, 10):
            batches(step)
    assert sorted(made) == list(range(10))


def test_a_mistake_is_raised_where_the_batch_is_used() -> None:
    def make(step: int) -> int:
        if step == 2:
            raise ValueError("a damaged picture")
        return step

    with pytest.raises(ValueError, match="a damaged picture"), prefetch(make, 9, threads=2) as batches:
        assert [batches(step) for step in range(2)] == [0, 1]
        batches(2)
    assert not [t for t in threading.enumerate() if t.name.startswith("prefetch")]


def test_work_goes_on_while_the_loop_is_busy() -> None:
    made = [threading.Event() for _ in range(20)]

    def make(step: int) -> int:
        made[step].set()
        return step

    with prefetch(make, 20, threads=2) as batches:
        for step in range(19):
            assert batches(step) == step
            assert made[step + 1].wait(60), "the next one is made only when it is asked for"
