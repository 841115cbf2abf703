"""What is read from one paragraph, the same for every language. Positions are in characters."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, Protocol

from lafi_story.quotes import Quote

Gender = Literal["female", "male", "unknown"]
Age = Literal["old", "young", ""]
MentionKind = Literal["name", "role", "pronoun", "narrator"]


@dataclass(frozen=True, slots=True)
class Mention:
    """Somebody is named: by name, by what they are (`the old man`), or by a pronoun."""

    start: int
    end: int
    text: str
    kind: MentionKind
    gender: Gender = "unknown"
    plural: bool = False
    subject: bool = False
    quoted: bool = False
    possessive: bool = False
    thought: bool = False
    """Only thought or spoken of: `she remembered Tom`."""
    definite: bool = True
    """`the man` is somebody who was named before, `a man` somebody new."""
    age: Age = ""
    generic: bool = False
    """`the old man` may be anybody who fits; `the captain` is who was called so."""
    person: bool = False
    """Sure to be a person, for its title or the language's model."""


@dataclass(frozen=True, slots=True)
class Deed:
    """Somebody does something. `subject`: start of the mention of who does it; None: not said."""

    verb: str
    start: int
    subject: int | None
    negated: bool = False
    speech: bool = False
    human: bool = False
    """Only people do this."""
    doing: str = ""
    """As a prompt says it, `climbing`; "": it is nothing that is seen."""


@dataclass(frozen=True, slots=True)
class LookSaid:
    """Something of somebody's looks. `owner`: start of the mention of whose."""

    slot: str
    value: str
    said: str
    owner: int


@dataclass(frozen=True, slots=True)
class Found:
    """A word of the vocabulary. kind: `actions`, `places` and so on. start: where it stands."""

    kind: str
    word: str
    start: int
    subject: int | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """One paragraph."""

    text: str
    sentences: tuple[tuple[int, int], ...]
    quotes: tuple[Quote, ...]
    mentions: tuple[Mention, ...] = ()
    deeds: tuple[Deed, ...] = ()
    looks: tuple[LookSaid, ...] = ()
    found: tuple[Found, ...] = ()
    same: tuple[tuple[str, str], ...] = ()
    """Pairs of names or roles that are said to be one: `Eleanor, whom all called Nell`."""
    beat_follows: bool = False
    """Who acts directly after a quote said it, as is usual in Chinese."""
    later: bool = False
    """Begins at another time than the paragraph before ended."""
    opens_at: str = ""
    """A word for a place, of the vocabulary or not, at which the paragraph begins."""
    now_at: str = ""
    """A place of the vocabulary to which somebody comes, or that is named at once; "": none."""


class LanguageReader(Protocol):
    """Reads paragraphs one by one; the same text always gives the same readings."""

    @property
    def identity(self) -> str:
        """Name and version of what reads."""
        ...

    def learn(self, texts: Iterable[str]) -> None:
        """Look through the whole text once for names, before its paragraphs are read."""
        ...

    def read(self, text: str) -> Reading:
        """One paragraph."""
        ...

    def gender_of(self, name: str) -> Gender:
        """What a name or role tells."""
        ...

    def age_of(self, name: str) -> Age:
        """What a name or role tells."""
        ...

    def same_name(self, one: str, other: str) -> bool:
        """Whether two names may be of one person by their form alone, `Eleanor` and `Nell`."""
        ...

    def vague(self, name: str) -> bool:
        """Whether a name that is only in quotes may as well be a relative's, `孙师傅`."""
        ...

    def differ(self, one: str, other: str) -> bool:
        """Whether two names cannot be of one person by their form, `Mrs Hill` and `Mrs Lee`."""
        ...


def inside(start: int, quotes: tuple[Quote, ...]) -> bool:
    """Whether a position is in one of the quotes."""
    return any(quote.start <= start < quote.end for quote in quotes)
