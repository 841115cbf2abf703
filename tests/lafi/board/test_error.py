import pickle
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lafi.board.error import MAX_LINES, StoryboardError, field_path, problem, shown
from lafi.board.storyboard import Storyboard

ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.binary(max_size=5)
    | st.text(st.characters(), max_size=5)
    | st.sampled_from(["\ud800", "a\nb", "{mia}", "panels", "prompt", "\u2028"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(), max_size=5), inner, max_size=3)
        | st.fixed_dictionaries({"prompt": inner, "regions": inner})
        | st.fixed_dictionaries({"panels": st.lists(inner, min_size=1, max_size=3)})
        | st.fixed_dictionaries({"sampling": inner, "injection": inner})
    ),
    max_leaves=8,
)


@settings(deadline=None, max_examples=300)
@given(ANYTHING)
def test_anything_is_a_storyboard_or_a_printable_error(data: object) -> None:
    error: StoryboardError | None = None
    try:
        panels = Storyboard.model_validate(data).panels
    except StoryboardError as refused:
        error, panels = refused, ()
    assert bool(panels) != bool(error)
    if error:
        assert error.problems
        assert len(str(error).splitlines()) == min(len(error.problems), MAX_LINES + 1)
        assert all(line.isprintable() for line in error.problems)
        assert str(error).encode("utf-8")


def test_checking_ends_soon_after_the_problems_that_are_told() -> None:
    found = []

    def check() -> Iterator[str]:
        for number in range(10**9):
            found.append(number)
            yield f"field{number}: got 1, allowed: 2"

    error = StoryboardError(check())
    assert str(error).splitlines()[-1] == f"and more: checking ended after {MAX_LINES} problems"
    assert len(error.problems) == len(found) == MAX_LINES + 1


def test_seventy_thousand_unknown_fields_cost_no_more_than_twenty(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compared: list[object] = []
    monkeypatch.setattr("lafi.board.error.closest", lambda word, known: compared.append(word) or "")
    with pytest.raises(StoryboardError):
        Storyboard.model_validate({f"key{number}": 1 for number in range(70_000)})
    assert len(compared) <= MAX_LINES + 1


def test_it_survives_pickling() -> None:
    error = pickle.loads(pickle.dumps(StoryboardError(["a: got 1, allowed: 2"])))
    assert error.problems == ("a: got 1, allowed: 2",)


def test_values_are_short() -> None:
    assert shown(10**5000) == "a whole number of 16610 bits"
    assert shown([10**5000, 10**999]).startswith("[a whole number of")
    assert shown(["ab", {"a": "y" * 500}, None]) == "['ab', a mapping, nothing]"
    assert shown([[1], 2]) == "a list of 2"
    assert len(shown(["x" * 500] * 4)) < 500
    assert shown(b"\0" * 99) == "99 bytes"
    assert problem("", 3, "4") == "got 3, allowed: 4"


def test_paths_are_written_as_the_file_writes_them() -> None:
    loc = ("panels", 2, "sampling", "stages", 0, "guidance")
    flat = {"panels": [{}, {}, {"sampling": {"guidance": 99}}]}
    assert field_path(loc, flat) == "panels[2].sampling.guidance"
    assert field_path(loc) == "panels[2].sampling.stages[0].guidance"
    assert field_path(("a b",)) == "'a b'"
