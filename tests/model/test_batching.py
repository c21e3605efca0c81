import random
import threading
from concurrent.futures import wait

import numpy as np
import pytest

from nlp_service.model.batching import Batcher, QueueFullError, _Waiting, choose
from nlp_service.model.encoding import EncodedWindow
from nlp_service.model.runtime import Logits, infer_each

POISON = -1


class Echo:
    """A runtime that answers each window with its own ids, breaks on POISON, and can be held up."""

    description = "echo"

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.batches: list[list[list[int]]] = []

    def infer(self, windows: list[EncodedWindow]) -> list[Logits]:
        self.batches.append([window.input_ids for window in windows])
        assert self.gate.wait(30)
        if any(POISON in window.input_ids for window in windows):
            raise ValueError("poison")
        return [np.array([window.input_ids], np.float32) for window in windows]


def window(*ids: int, length: int = 3) -> EncodedWindow:
    ids = (*ids, *range(length - len(ids)))
    return EncodedWindow(list(ids), [(0, len(ids))], [])


@pytest.fixture
def echo():
    return Echo()


@pytest.fixture
def batcher(echo):
    batcher = Batcher(echo, token_budget=64, waiting_tokens=400)
    yield batcher
    echo.gate.set()
    batcher.close()


def held_up(echo: Echo, batcher: Batcher):
    """The future of a window that the closed gate holds inside the runtime."""
    echo.gate.clear()
    before = len(echo.batches)
    [future] = batcher.submit([window(9)])
    while len(echo.batches) == before:
        pass
    return future


def test_everybody_gets_their_own(echo):
    batcher = Batcher(echo, token_budget=64, waiting_tokens=10**6)
    rng = random.Random(1)
    futures = []

    def ask() -> None:
        windows = [window(rng.randint(0, 600), length=rng.randint(2, 40)) for _ in range(20)]
        futures.extend(zip(batcher.submit(windows), windows, strict=True))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for future, asked in futures:
        np.testing.assert_array_equal(future.result(30)[0], asked.input_ids)
    assert len(futures) == 160
    assert len(echo.batches) < 160  # together
    batcher.close()


def test_what_comes_while_the_engine_is_busy_rides_together_by_length(echo, batcher):
    held = held_up(echo, batcher)
    short, long = [window(i, length=5) for i in range(4)], [window(10 + i, length=30) for i in range(2)]
    futures = batcher.submit([long[0], *short, long[1]])
    echo.gate.set()
    wait([held, *futures], 30)
    assert echo.batches[1:] == [[w.input_ids for w in long], [w.input_ids for w in short]]  # the oldest first, with its like


def test_a_poisoned_window_fails_alone(echo, batcher):
    held = held_up(echo, batcher)
    futures = batcher.submit([window(1), window(POISON), window(2)])
    echo.gate.set()
    assert held.result(30) is not None
    assert futures[0].result(30)[0][0] == 1
    assert futures[2].result(30)[0][0] == 2
    with pytest.raises(ValueError, match="poison"):
        futures[1].result(30)
    assert batcher.submit([window(3)])[0].result(30)[0][0] == 3  # the thread lives


def test_who_left_is_not_inferred(echo):
    batcher = Batcher(echo, token_budget=64, waiting_tokens=10**6)
    held = held_up(echo, batcher)
    *gone, stays = batcher.submit([*(window(7) for _ in range(1000)), window(8)])
    assert all(future.cancel() for future in gone)
    echo.gate.set()
    wait([held, stays], 30)
    assert [ids[0] for batch in echo.batches for ids in batch] == [9, 8]
    batcher.close()


def test_the_queue_is_bounded_and_takes_all_of_a_request_or_nothing(echo, batcher):
    held = held_up(echo, batcher)
    futures = batcher.submit([window(length=64) for _ in range(6)])
    with pytest.raises(QueueFullError):
        batcher.submit([window(length=8), window(length=16)])
    assert batcher.waiting_tokens == 384
    futures += batcher.submit([window(length=16)])
    echo.gate.set()
    assert len(wait([held, *futures], 30).done) == 8
    assert batcher.waiting_tokens == 0
    [alone] = batcher.submit([window(length=900)])  # larger than the queue: who comes first is always taken
    assert alone.result(30) is not None


def test_who_can_wait_gets_in_when_there_is_room(echo, batcher):
    held = held_up(echo, batcher)
    futures = batcher.submit([window(length=64) for _ in range(6)])
    patient = threading.Thread(target=lambda: futures.extend(batcher.submit([window(3, length=64)], patient=True)))
    patient.start()
    patient.join(0.3)
    assert patient.is_alive()
    echo.gate.set()
    patient.join(30)
    assert futures[-1].result(30)[0][0] == 3
    wait([held, *futures], 30)


def test_who_waits_for_room_is_told_when_it_closes(echo):
    batcher = Batcher(echo, token_budget=64, waiting_tokens=64)
    held_up(echo, batcher)
    batcher.submit([window(length=64)])
    refused = []

    def patient() -> None:
        with pytest.raises(RuntimeError, match="closed"):
            batcher.submit([window(length=64)], patient=True)
        refused.append(True)

    threads = [threading.Thread(target=patient), threading.Thread(target=batcher.close)]
    threads[0].start()
    threads[0].join(0.3)
    threads[1].start()
    threads[0].join(30)
    assert refused
    echo.gate.set()
    threads[1].join(30)
    assert not threads[1].is_alive()


def test_closing_works_off_what_waits(echo):
    batcher = Batcher(echo, token_budget=64, waiting_tokens=4000)
    held = held_up(echo, batcher)
    futures = batcher.submit([window(i) for i in range(30)])
    closing = threading.Thread(target=batcher.close)
    closing.start()
    echo.gate.set()
    closing.join(30)
    assert not closing.is_alive()
    assert all(future.done() for future in [held, *futures])
    with pytest.raises(RuntimeError):
        batcher.submit([window(1)])


def test_a_batch_keeps_its_budget_and_never_starves_the_oldest():
    rng = random.Random(2)
    waiting = [_Waiting(window(length=rng.randint(2, 120))) for _ in range(50)]
    while waiting:
        oldest = waiting[0]
        batch = choose(waiting, 256)
        assert batch[0] is oldest
        assert len(batch) == 1 or max(one.tokens for one in batch) * len(batch) <= 256
        waiting = [one for one in waiting if all(one is not other for other in batch)]
    assert choose([], 256) == []


def test_each_has_its_own_outcome(echo):
    good, bad = infer_each(echo, [window(1), window(POISON)])
    assert good[0][0] == 1
    assert isinstance(bad, ValueError)
    assert infer_each(echo, []) == []
