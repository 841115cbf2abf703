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
def test_between_two_places_of_a_party_all_others_that_wait_get_one(
    parties: list[tuple[int, int]], rooms: list[int]
) -> None:
    alike = [(items, 0) for items, _ in parties]
    left = {party: items for party, (items, _) in enumerate(alike)}
    since: dict[int, set[int]] = {}
    for party in [party for taken in served(alike, rooms) for party, _ in taken]:
        if party in since:
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


def test_who_gives_a_place_back_is_served_as_one_that_holds_fewer() -> None:
    turns: Turns[str] = Turns()
    first, second = turns.join(["a1", "a2", "a3"]), turns.join(["b1", "b2"])
    places = iter([True] * 4)
    taken = [item for _, item in turns.take(lambda _: next(places, False))]
    assert taken == ["a1", "b1", "a2", "b2"]
    turns.give_back(second, ["b2"])
    assert [item for _, item in turns.take(lambda _: True)] == ["b2", "a3"]
    turns.give_back(first)
    assert (first.held, second.held, turns.waiting) == (2, 2, 0)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(-1, 1)), min_size=1, max_size=5))
def test_who_should_give_a_place_to_the_next(held: list[tuple[int, int]]) -> None:
    """The one with most, if it keeps no less than the next then has; any of lower priority."""
    turns: Turns[int] = Turns()
    parties = [turns.join(range(count), priority) for count, priority in held if count]
    for _ in turns.take(lambda _: True):
        pass
    poor = turns.join([0])
    rich = turns.richer([party for party in parties for _ in range(party.held)])
    lower = [party for party in parties if party.priority < 0]
    alike = [party.held for party in parties if party.priority == 0]
    if lower:
        assert rich in lower
    elif max(alike, default=0) > 1:
        assert rich is not None
        assert (rich.priority, rich.held) == (0, max(alike))
    else:
        assert rich is None
    assert poor.held == 0


@settings(deadline=None)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=8))
def test_a_party_that_comes_back_is_in_the_order_of_its_items(more: list[int]) -> None:
    turns: Turns[int] = Turns()
    turn = turns.join([0])
    given = [0]
    for count in more:
        items = list(range(len(given), len(given) + count))
        turns.extend(turn, items)
        given += items
    assert [item for _, item in turns.take(lambda _: True)] == given
    turns.extend(turn, [7])
    assert [item for _, item in turns.take(lambda _: True)] == [7]
    assert turns.waiting == 0
