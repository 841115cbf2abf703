"""Storyboards belong to the key that sent them, and a key has a budget."""

from collections.abc import Callable

import pytest
from desk_server import Client, Server, board
from hypothesis import given, settings
from hypothesis import strategies as st

from lafi.board.cost import Cost
from lafi.board.error import StoryboardError
from lafi.serving.admission import Admission, Budget, Charge, RefusedError
from lafi.wire.caller import Caller
from lafi.wire.control import Acknowledged, Cancelled

MIA, TOM = Caller(name="mia", rights=("draw",)), Caller(name="tom", rights=("draw", "priority"))


@pytest.mark.parametrize("drawing", [True, False], ids=["while drawn", "afterwards"])
@pytest.mark.parametrize("action", ["attach", "cancel", "acknowledge"])
def test_a_storyboard_is_there_for_its_own_key_alone(
    serve: Callable[..., Server], action: str, drawing: bool
) -> None:
    server = serve(open_gate=not drawing)
    client = server.draw(board(1), MIA)
    client.until(lambda each: bool(each.sent) and (drawing or each.done.is_set()))
    foreign = server.ask(action, client.id, caller=TOM).answer()
    unknown = server.ask(action, "f" * 32, caller=TOM).answer()
    assert [text.replace(client.id, "f" * 32) for text in foreign] == unknown, (
        "nothing is given away"
    )
    assert foreign[0].startswith("NOT_FOUND: ")
    server.gate.release(5)
    own = server.ask(action, client.id, caller=MIA).answer()
    assert not isinstance(own[0], str)
    if action == "acknowledge":
        assert own == [Acknowledged(id=client.id, left=1)]
    if action == "cancel":
        assert own == [Cancelled(id=client.id)]


def test_the_queue_shows_only_ones_own_and_the_true_place(serve: Callable[..., Server]) -> None:
    server = serve(open_gate=False)
    first = server.draw(board(1), MIA)
    first.until(lambda each: bool(each.sent))
    second = server.draw(board(2), TOM)
    second.until(lambda each: bool(each.sent))
    for caller, ids, places in (
        (MIA, [first.id], [1]),
        (TOM, [second.id], [2]),
        (None, [first.id, second.id], [1, 2]),
    ):
        (answer,) = server.ask("queue", caller=caller).answer()
        assert [entry.id for entry in answer.storyboards] == [each[:8] for each in ids]
        assert [entry.place for entry in answer.storyboards] == places
    server.gate.release(5)


def test_what_a_server_without_keys_accepted_is_nobodys(serve: Callable[..., Server]) -> None:
    server = serve()
    client = server.draw(board(1))
    client.answer()
    (told,) = server.ask("attach", client.id, caller=MIA).answer()
    assert told.startswith("NOT_FOUND")


def test_the_owner_is_known_after_a_restart_and_when_it_is_attached_to(
    serve: Callable[..., Server],
) -> None:
    server = serve()
    client = server.draw(board(1), MIA)
    client.answer()
    server.end()
    again = serve()
    assert again.service.owner(client.id) == "mia"
    assert again.ask("attach", client.id, caller=TOM).answer()[0].startswith("NOT_FOUND")
    assert again.ask("attach", client.id, caller=MIA).panels() in ([], [0])
    assert again.service.owner("0" * 32) is None


@pytest.mark.parametrize(
    ("caller", "priority", "allowed"),
    [(MIA, 0, True), (MIA, -1, True), (MIA, 1, False), (TOM, 1, True), (None, 1, True)],
)
def test_to_go_first_needs_a_right(
    serve: Callable[..., Server], caller: Caller | None, priority: int, allowed: bool
) -> None:
    server = serve()
    client = server.draw(board(1).model_copy(update={"priority": priority}), caller)
    answers = client.answer()
    if allowed:
        assert client.panels() == [0]
        return
    (told,) = answers
    assert told.startswith("PERMISSION_DENIED: priority: got 1, allowed: at most 0")
    assert 'the key mia lacks the right "priority"' in told
    assert server.drawn == []


BUDGETS = {"mia": 5.0, "tom": 8.0, "": None}
MOVES = st.lists(
    st.tuples(st.sampled_from([*BUDGETS]), st.integers(1, 10), st.booleans()), max_size=40
)


@settings(deadline=None, max_examples=100)
@given(MOVES)
def test_no_key_ever_has_more_in_flight_than_its_budget(
    moves: list[tuple[str, int, bool]],
) -> None:
    admission = Admission(100, Budget(9.0, 20.0))
    inside: list[Charge] = []

    def of(owner: str) -> float:
        return sum(each.megapixel_steps for each in inside if each.owner == owner)

    for owner, cost, leaves in moves:
        if leaves and inside:
            admission.give_back(inside.pop(0), whole=True)
            continue
        most = BUDGETS[owner]
        fits_ever = cost <= min(9.0, most or 9.0)
        whole = sum(each.megapixel_steps for each in inside)
        fits = whole + cost <= 20 and (most is None or of(owner) + cost <= most)
        if fits_ever and fits:
            inside.append(admission.charge(Cost(cost, 1, 1), None, owner, most))
        else:
            with pytest.raises(RefusedError if fits_ever else StoryboardError):
                admission.charge(Cost(cost, 1, 1), None, owner, most)
        assert admission.megapixel_steps == sum(each.megapixel_steps for each in inside)


def test_a_refusal_names_the_key_and_the_numbers() -> None:
    admission = Admission(9)
    admission.charge(Cost(3.0, 1, 1), None, "mia", 5.0)
    text = "the key mia may have at most 5 megapixel steps in flight; 3 are, and this .* has 4"
    with pytest.raises(RefusedError, match=text):
        admission.charge(Cost(4.0, 1, 1), None, "mia", 5.0)
    with pytest.raises(StoryboardError, match="allowed: 5 for the key mia"):
        admission.charge(Cost(6.0, 1, 1), None, "mia", 5.0)
    admission.charge(Cost(4.0, 1, 1), None, "tom", 5.0)


def test_a_client_is_told_of_its_budget(serve: Callable[..., Server]) -> None:
    server = serve()
    poor = Caller(name="poor", rights=("draw",), megapixel_steps=0.001)
    client: Client = server.draw(board(1), poor)
    (told,) = client.answer()
    assert told.startswith("INVALID_ARGUMENT: panels: got ")
    assert "0.001 for the key poor" in told
