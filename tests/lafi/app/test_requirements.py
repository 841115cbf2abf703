"""Reading our own requirements and comparing versions."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lafi.app.requirements import CLIENT, Requirement, by_extra, parse, problems

releases = st.lists(st.integers(0, 99), min_size=1, max_size=4).map(tuple)


def text(release: tuple[int, ...]) -> str:
    return ".".join(map(str, release))


@settings(deadline=None, max_examples=60)
@given(releases, releases)
def test_exactly_one_of_less_equal_and_greater_holds(have: tuple[int, ...], want: tuple[int, ...]):
    held = [
        not Requirement("serve", "x", ((operator, text(want)),)).problem(text(have))
        for operator in ("<", "==", ">")
    ]
    assert held.count(True) == 1


@settings(deadline=None, max_examples=30)
@given(releases)
def test_trailing_zeros_change_nothing(release: tuple[int, ...]):
    requirement = Requirement(CLIENT, "x", (("==", text(release)),))
    assert requirement.problem(text((*release, 0))) == ""


def test_parse_reads_name_bounds_and_extra():
    line = 'numpy[fast]<2,>=1.26.4; sys_platform == "linux" and extra == "serve"'
    assert parse(line) == Requirement("serve", "numpy", (("<", "2"), (">=", "1.26.4")))


def test_parse_refuses_what_it_cannot_read():
    with pytest.raises(ValueError, match=r"requirement: got '!x', allowed is a line such as"):
        parse("!x")


def test_requirements_without_an_extra_are_the_clients():
    found = by_extra(["numpy>=1.26", 'torch==2.13.0; extra == "serve"'])
    assert list(found) == [CLIENT, "serve"]
    assert [requirement.name for requirement in found[CLIENT]] == ["numpy"]


def test_problems_name_what_is_missing_and_what_is_wrong():
    needed = [parse("numpy>=1.26.4,<2"), parse("torch==2.13.0"), parse("rich>=13")]
    versions = {"numpy": "2.1.0", "rich": "15.0.0"}
    assert problems(needed, versions.get) == (
        "numpy is 2.1.0, needed is >=1.26.4,<2",
        "torch==2.13.0 is missing",
    )


def test_a_local_version_is_the_same_release():
    assert problems([parse("torch==2.13.0")], {"torch": "2.13.0+cpu"}.get) == ()
