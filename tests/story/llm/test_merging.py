"""Laws of joining people of several parts of a text."""

from hypothesis import given
from hypothesis import strategies as st

from lafi_story.llm.merging import Someone, merged, without_shared

NAMES = st.lists(
    st.sampled_from(["Mia", "mia", "Brown", "Mia Brown", "Tim", "Nell", "方晓琳", "方老师"]),
    min_size=1, max_size=3, unique=True,
).map(tuple)  # fmt: skip
LOOKS = st.lists(
    st.tuples(
        st.sampled_from(["hair", "top"]), st.sampled_from(["red", "black"]), st.just("x"),
        st.integers(0, 5),
    ),
    max_size=2,
).map(tuple)  # fmt: skip
PEOPLE = st.lists(
    st.builds(Someone, NAMES, st.lists(st.sampled_from(["female", "male"])).map(tuple), LOOKS),
    max_size=12,
)


def folded(one: Someone) -> frozenset[str]:
    return frozenset(name.casefold() for name in one.names)


@given(people=PEOPLE)
def test_nobody_and_nothing_is_lost_and_no_name_is_in_two(people: list[Someone]):
    found = merged(people)
    owners = [name for one in found for name in folded(one)]
    assert sorted(owners) == sorted({name for one in people for name in folded(one)})
    for one in people:
        (owner,) = (other for other in found if folded(one) & folded(other))
        assert folded(one) <= folded(owner)
        assert set(one.looks) <= set(owner.looks)
    genders = [gender for one in found for gender in one.genders]
    assert sorted(genders) == sorted(g for one in people for g in one.genders)


@given(people=PEOPLE)
def test_those_who_are_joined_share_names_step_by_step(people: list[Someone]):
    """Two stay apart where no chain of shared names leads from one to the other."""
    near = {n: {m for m, o in enumerate(people) if folded(o) & folded(one)} for n, one in
            enumerate(people)}  # fmt: skip
    for _ in people:
        near = {n: {far for m in reached for far in near[m]} for n, reached in near.items()}
    apart = {frozenset(name for m in reached for name in folded(people[m])) for reached in
             near.values()}  # fmt: skip
    assert {folded(one) for one in merged(people)} == apart


@given(people=PEOPLE)
def test_they_come_in_the_order_of_the_text(people: list[Someone]):
    first = [
        min(place for place, other in enumerate(people) if folded(other) & folded(one))
        for one in merged(people)
    ]
    assert first == sorted(first)


@given(people=PEOPLE, more=PEOPLE)
def test_merging_twice_or_in_parts_is_merging_once(people: list[Someone], more: list[Someone]):
    once = merged(people)
    assert merged(once) == once
    in_parts, whole = merged([*once, *more]), merged([*people, *more])
    assert [folded(one) for one in in_parts] == [folded(one) for one in whole]


@given(people=PEOPLE)
def test_people_of_one_answer_are_joined_by_no_name_that_is_ambiguous(people: list[Someone]):
    own, shared = without_shared(people)
    assert len(own) == len(people)
    assert all(one.names for one in own)
    for one, before in zip(own, people, strict=True):
        assert set(one.names) <= set(before.names)
        assert (one.genders, one.looks) == (before.genders, before.looks)
    unique = [one for one in people if folded(one) - set(shared)]
    kept = [one for one, before in zip(own, people, strict=True) if before in unique]
    assert len(merged(kept)) == len(kept)


def test_mr_and_mrs_brown_stay_two():
    people = [Someone(("Mr Brown", "Brown")), Someone(("Mrs Brown", "Brown"))]
    own, shared = without_shared(people)
    assert shared == ("brown",)
    assert [one.names for one in merged(own)] == [("Mr Brown",), ("Mrs Brown",)]
