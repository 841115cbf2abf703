"""An address has one drawer at a time."""

import threading

from lafi.store.claims import Claims


def test_the_first_who_asks_draws_and_the_next_one_after_it_gave_up() -> None:
    claims, first, second = Claims(), object(), object()
    assert claims.claim(["a", "b"], first) == {"a", "b"}
    assert claims.claim(["b", "c"], second) == {"c"}
    assert claims.claim(["a"], first) == {"a"}
    claims.release(["a", "b", "c"], first)
    assert claims.claim(["b", "c"], second) == {"b", "c"}


def test_who_waits_is_woken_when_one_of_its_addresses_is_free() -> None:
    claims, owner = Claims(), object()
    claims.claim(["a", "b"], owner)
    assert not claims.wait(["a", "b"], 0.01)
    timer = threading.Timer(0.02, claims.release, (["b"], owner))
    timer.start()
    assert claims.wait(["a", "b"], 30.0)
    assert claims.claim(["a", "b"], object()) == {"b"}
    timer.join()


def test_many_threads_never_draw_one_address_at_once() -> None:
    claims, drawing, twice = Claims(), set[str](), list[str]()

    def draw() -> None:
        me = object()
        for _ in range(200):
            mine = claims.claim(["a", "b"], me)
            for address in mine:
                if address in drawing:
                    twice.append(address)
                drawing.add(address)
            drawing.difference_update(mine)
            claims.release(mine, me)

    threads = [threading.Thread(target=draw) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert twice == []
