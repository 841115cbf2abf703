"""Ids say which pod of a set gave them out, and nothing else can be read from them."""

import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from lafi.wire.control import Command
from lafi.wire.pods import MAX_PODS, Pod, elsewhere, is_elsewhere, new_identifier, pod_of

STEMS = st.from_regex("[a-z0-9]([a-z0-9-]{0,40}[a-z0-9])?", fullmatch=True)
PODS = st.builds(Pod, STEMS, st.integers(0, MAX_PODS - 1))


@given(PODS)
def test_a_pod_is_known_by_its_name(pod: Pod) -> None:
    assert pod_of(str(pod)) == pod


@given(PODS, st.integers(0, MAX_PODS - 1))
def test_every_pod_of_a_set_knows_whose_an_id_is(pod: Pod, other: int) -> None:
    identifier = pod.new_identifier()
    assert Pod(pod.stem, other).owner(identifier) == pod
    assert Command(action="attach", id=identifier).id == identifier, "as clients know ids"
    assert pod.new_identifier() != identifier


@given(PODS, STEMS)
def test_a_pod_of_another_set_does_not(pod: Pod, stem: str) -> None:
    ids = (pod.new_identifier(), Pod(stem, pod.ordinal).new_identifier())
    assume(ids[0][24:29] != ids[1][24:29])  # once in a million stems have the same mark
    assert Pod(stem, 0).owner(ids[0]) is None


@given(PODS, st.text() | st.from_regex("[0-9a-f]{32}"))
def test_whatever_is_sent_as_an_id_gives_a_number_of_the_own_set_or_nothing(
    pod: Pod, text: str
) -> None:
    owner = pod.owner(text)
    assert owner is None or (owner.stem == pod.stem and 0 <= owner.ordinal < MAX_PODS)


@given(PODS)
def test_the_beginning_of_an_id_is_shown_and_says_nothing_of_the_pod(pod: Pod) -> None:
    assert len({pod.new_identifier()[:8] for _ in range(20)}) == 20


def test_a_server_without_a_name_gives_ids_of_nobody() -> None:
    assert re.fullmatch("[0-9a-f]{32}", new_identifier(None))
    # A fixed one, since one in a million looks as if it were of a pod.
    assert Pod("lafi-main", 0).owner("0123456789abcdef" * 2) is None


@pytest.mark.parametrize(
    "name",
    [
        *("", "lafi", "lafi-", "-1", "1", "lafi-01", "lafi-4096", "Lafi-1", "lafi.main-1", "a-1\n"),
        *("../x-1", "evil.example.org:443/-1", "a" * 62 + "-1", "lafi-１"),
    ],
)
def test_another_name_is_refused_with_what_is_allowed(name: str) -> None:
    with pytest.raises(ValueError, match=r"got .*, allowed: small letters, .* such as lafi-main-0"):
        pod_of(name)


@given(PODS)
def test_what_is_said_of_another_pods_storyboard_is_known_again(pod: Pod) -> None:
    text = elsewhere(pod.new_identifier(), pod, "does not answer")
    assert is_elsewhere(text)
    assert str(pod) in text
    assert not is_elsewhere(f"16 are in flight; {text}")
