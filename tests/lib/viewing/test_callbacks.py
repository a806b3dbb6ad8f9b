"""Callbacks of one browser: one at a time, those that only draw again at once or never, none lost."""

import threading
import time
from collections.abc import Callable

from g3d.viewing.callbacks import Callbacks


def until(true: Callable[[], object]) -> None:
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_none_waits_for_a_slow_one_and_what_came_meanwhile_is_done_once() -> None:
    done: list[str] = []
    begun, go_on = threading.Event(), threading.Event()
    calls = Callbacks(lambda: done.append("load"), lambda: done.append("draw"), lambda e: done.append(str(e)))

    def slow(_: object) -> None:
        begun.set()
        go_on.wait(60)
        done.append("slow")

    thread = threading.Thread(target=calls.heeded(slow), args=(None,))
    thread.start()
    assert begun.wait(60)
    for _ in range(100):
        calls.soon()(None)
    assert done == []
    go_on.set()
    thread.join(60)
    assert done == ["slow", "draw"]
    calls.soon()(None)
    assert done == ["slow", "draw", "draw"]  # at once, where nothing else is done


def test_a_load_is_not_lost_behind_a_picture() -> None:
    done: list[str] = []
    calls = Callbacks(lambda: done.append("load"), lambda: done.append("draw"), lambda e: done.append(str(e)))

    def meanwhile(_: object) -> None:
        for load in (False, True, False):
            other = threading.Thread(target=calls.soon(load), args=(None,))
            other.start()
            other.join(60)
        done.append("action")

    calls.heeded(meanwhile)(None)
    assert done == ["action", "load"]


def test_many_threads_lose_nothing() -> None:
    """Whatever the order, what was asked for last is seen by a load or picture that begins afterwards."""
    wanted, seen = [0], [0]
    calls = Callbacks(lambda: seen.__setitem__(0, wanted[0]), lambda: seen.__setitem__(0, wanted[0]), lambda _: None)

    def ask() -> None:
        for _ in range(300):
            wanted[0] += 1
            calls.soon(load=True)(None)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    until(lambda: seen[0] == wanted[0])


def test_a_failure_is_told_and_what_follows_goes_on() -> None:
    told: list[str] = []

    def fails(*_: object) -> None:
        raise ValueError(f"{len(told)}")

    calls = Callbacks(fails, lambda: told.append("drawn"), lambda error: told.append(f"told {error}"))
    calls.heeded(fails)(None)
    calls.soon(load=True)(None)
    calls.soon()(None)
    assert told == ["told 0", "told 1", "drawn"]


def test_what_a_callback_sets_has_its_own_callback_within() -> None:
    done: list[str] = []
    calls = Callbacks(lambda: done.append("load"), lambda: done.append("draw"), lambda e: done.append(str(e)))
    calls.heeded(lambda _: (calls.soon(load=True)(None), done.append("after")))(None)
    assert done == ["load", "after"]
