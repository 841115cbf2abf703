"""Every error of the rooms below ends an answer in words that help, or in a number alone."""

import re
import sqlite3

import pytest

from lafi.board.error import StoryboardError
from lafi.serving.admission import RefusedError
from lafi.serving.answers import NotAllowedError, UnknownIdError, fail, refuse
from lafi.serving.job import Status
from lafi.store.journal import JournalFullError
from lafi.store.panels import StoreError, StoreFullError
from lafi.wire.events import Event, Failed
from lafi.wire.failure import tells_nothing

FULL = sqlite3.OperationalError("database or disk is full")
TOLD = [
    (FULL, "the journal cannot be written: database or disk is full"),
    (MemoryError("18 GiB more"), "there was no memory for it"),
    (StoreError("a finished panel could not be kept: No space left on device"), ""),
    (StoreFullError("the store holds 5 of 5 bytes"), ""),
]


class Heard:
    """A sender that keeps what it is given."""

    def __init__(self, gone: bool = False) -> None:
        self.events: list[Event] = []
        self.refused: tuple[Status, str] | None = None
        self.finished, self._gone = False, gone

    def send(self, event: Event) -> None:
        self.events.append(event)

    def refuse(self, status: Status, message: str) -> None:
        if self._gone:
            raise OSError("nobody is there")
        self.refused = (status, message)

    def finish(self) -> None:
        self.finished = True


def inside(text: str) -> bool:
    """Whether the rest of the text is a number for the log."""
    return tells_nothing(text)


@pytest.mark.parametrize(("error", "told"), TOLD)
def test_what_is_full_is_told_and_may_be_tried_again(error: Exception, told: str) -> None:
    told = told or str(error)
    heard = Heard()
    fail(heard, error)
    (event,) = heard.events
    assert isinstance(event, Failed)
    assert event.retryable
    assert event.panel is None
    text = event.error
    assert text.startswith(f"{told}; INTERNAL: ")
    assert inside(text.partition("INTERNAL: ")[2])
    refuse(heard, error)
    assert heard.refused is not None
    assert heard.finished
    status, message = heard.refused
    assert status == "UNAVAILABLE"
    assert message.startswith(f"{told}; ")
    assert inside(message.removeprefix(f"{told}; "))


@pytest.mark.parametrize("error", [KeyError("a secret"), OSError(28, "no")])
def test_of_all_else_only_a_number_is_told(error: Exception) -> None:
    heard = Heard()
    refuse(heard, error)
    fail(heard, error)
    assert heard.refused is not None
    assert heard.refused[0] == "INTERNAL"
    assert inside(heard.refused[1])
    (event,) = heard.events
    assert isinstance(event, Failed)
    assert not event.retryable
    assert re.fullmatch(r"INTERNAL: .*", event.error)
    assert inside(event.error[len("INTERNAL: ") :])


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (NotAllowedError("priority: got 3"), "PERMISSION_DENIED"),
        (StoryboardError(["panels: none"]), "INVALID_ARGUMENT"),
        (UnknownIdError("id: no storyboard has x"), "NOT_FOUND"),
        (RefusedError("no place"), "UNAVAILABLE"),
        (JournalFullError("the journal may hold 5 bytes"), "UNAVAILABLE"),
    ],
)
def test_errors_for_the_client_are_the_answer(error: Exception, status: Status) -> None:
    heard = Heard()
    refuse(heard, error)
    assert heard.refused == (status, str(error))


def test_a_client_that_is_gone_ends_nobodys_thread() -> None:
    heard = Heard(gone=True)
    refuse(heard, RefusedError("no place"))
    assert heard.refused is None
