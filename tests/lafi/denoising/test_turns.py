"""A fair queue, as laws."""

from hypothesis import given, settings
from hypothesis import strategies as st

from lafi.denoising.turns import Turns

PARTIES = st.lists(st.tuples(st.integers(1, 6), st.integers(-1, 1)), min_size=1, max_size=6)
ROOMS = st.lists(st.integers(0, 4), min_size=1, max_size=30)


def served(parties: list[tuple[int, int]], rooms: list[int]) -> list[list[tuple[int, int]]]:
    """Parties of (items, priority) and the room of each round -> (party, item) of each round."""
    turns: Turns[tuple[int, int]] = Turns()
    for party, (items, priority) in enumerate(parties):
        turns.join([(party, item) for item in range(items)], priority)
    rounds = []
    for room in rooms:
        places = iter([True] * room)
        rounds.append([item for _, item in turns.take(lambda _, p=places: next(p, False))])
    return rounds


@settings(deadline=None)
@given(PARTIES, ROOMS)
def test_every_item_comes_once_in_its_partys_order_and_room_is_used(
    parties: list[tuple[int, int]], rooms: list[int]
) -> None:
    rounds = served(parties, rooms)
    left = sum(items for items, _ in parties)
    for taken, room in zip(rounds, rooms, strict=True):
        assert len(taken) == min(room, left)
        left -= len(taken)
    for party in range(len(parties)):
        items = [item for taken in rounds for who, item in taken if who == party]
        assert items == list(range(len(items)))


@settings(deadline=None)
@given(PARTIES, ROOMS)
def test_between_two_servings_of_a_party_all_others_that_wait_are_served(
    parties: list[tuple[int, int]], rooms: list[int]
) -> None:
    alike = [(items, 0) for items, _ in parties]
    left = {party: items for party, (items, _) in enumerate(alike)}
    since: dict[int, set[int]] = {}
    for taken in served(alike, rooms):
        for place, (party, _) in enumerate(taken):
            new_serving = place == 0 or taken[place - 1][0] != party
            if new_serving and party in since:
                waited = {other for other, items in left.items() if items and other != party}
                assert waited <= since[party]
            for others in since.values():
                others.add(party)
            since[party] = set()
            left[party] -= 1


@settings(deadline=None)
@given(PARTIES, ROOMS)
def test_a_lower_priority_is_served_only_when_no_higher_one_waits(
    parties: list[tuple[int, int]], rooms: list[int]
) -> None:
    left = {party: items for party, (items, _) in enumerate(parties)}
    for taken in served(parties, rooms):
        for party, _ in taken:
            waiting = [parties[other][1] for other, items in left.items() if items]
            assert parties[party][1] == max(waiting)
            left[party] -= 1


def test_an_item_that_does_not_fit_is_not_overtaken() -> None:
    turns: Turns[int] = Turns()
    turns.join([5])
    turns.join([1])
    assert [item for _, item in turns.take(lambda size: size <= 3)] == []
    assert [item for _, item in turns.take(lambda size: size <= 5)] == [5, 1]
    assert turns.waiting == 0


def test_a_party_that_leaves_is_not_served_and_may_leave_twice() -> None:
    turns: Turns[str] = Turns()
    gone = turns.join(["a", "b"])
    turns.join(["c"])
    assert next(turns.take(lambda _: True))[1] == "a"
    turns.leave(gone)
    turns.leave(gone)
    assert [item for _, item in turns.take(lambda _: True)] == ["c"]


@settings(deadline=None)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=8), st.integers(0, 4))
def test_a_party_that_comes_back_keeps_its_turn(more: list[int], others: int) -> None:
    turns: Turns[int] = Turns()
    turn = turns.join([0])
    given = [0]
    for count in more:
        items = list(range(len(given), len(given) + count))
        turns.extend(turn, items)
        given += items
    for _ in range(others):
        turns.join([-1])
    taken = [item for _, item in turns.take(lambda _: True)]
    assert taken == given + [-1] * others
    turns.extend(turn, [7])
    assert [item for _, item in turns.take(lambda _: True)] == [7]
    assert turns.waiting == 0
