"""A drawing model's words, and the words of novels that mean them: a file that can be replaced.

Knows no grammar: readers of a language say which words stand where.
"""

import importlib.resources
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import Field

from lafi.board.checked_model import CheckedModel
from lafi.board.error import StoryboardError, problem
from lafi.board.file import parse, read_text
from lafi.board.limits import MAX_CHARACTERS_PER_PANEL, Allowed, OptionalText
from lafi_story.steps import Language

BUNDLED: Final = "bundled"
_FOLDER: Final = importlib.resources.files("lafi_story") / "words"


SearchWord = Annotated[str, Field(min_length=1, strict=True), Allowed("a word")]


class Term(CheckedModel):
    """What is drawn, and the words of each language that mean it."""

    prompt: OptionalText = ""
    en: tuple[SearchWord, ...] = ()
    zh: tuple[SearchWord, ...] = ()

    def words(self, language: Language) -> tuple[str, ...]:
        """English: lemmas. Chinese: parts of a text."""
        return self.en if language == "en" else self.zh


class Action(Term):
    """pose: the name of its pose in `words/poses.yaml`; "": the one of its own name, if any."""

    pose: OptionalText = ""


class Look(Term):
    """form: a phrase for the description, with slots in braces, instead of the usual one."""

    form: str = ""


class Thing(Term):
    """alone: what is drawn of it without anybody; "": its prompt."""

    alone: OptionalText = ""


class LookSlot(CheckedModel):
    """One thing that may be said of somebody's looks, such as the colour of the hair."""

    of: dict[Language, tuple[SearchWord, ...]] = Field(default={})
    """Things of which one must stand beside the word; none: the word alone says it."""
    values: dict[str, Look]


class CaptionForm(CheckedModel):
    """How a description is put together from slots in braces."""

    start: str
    with_: tuple[str, ...] = Field(default=(), alias="with")
    in_: tuple[str, ...] = Field(default=(), alias="in")


class Framings(CheckedModel):
    """How near one is; "": the model's usual one."""

    near: OptionalText = ""
    medium: OptionalText = ""
    far: OptionalText = ""


class Vocabulary(CheckedModel):
    """What a model can draw."""

    name: str
    token_length: Annotated[int, Field(ge=16, le=4096), Allowed("16 to 4096 tokens")] = 77
    tokenizer: str = ""
    """A tokenizer.json, beside the vocabulary's file."""
    free: bool = False
    """Whether the model draws words that are not in here: deeds are then the text's own verbs."""
    most_figures: Annotated[
        int,
        Field(ge=1, le=MAX_CHARACTERS_PER_PANEL),
        Allowed(f"1 to {MAX_CHARACTERS_PER_PANEL}"),
    ] = MAX_CHARACTERS_PER_PANEL
    person: OptionalText = "person"
    nobody: OptionalText = "an empty scene"
    empty_scenes: bool = True
    """Whether the model draws a place or a thing without anybody; those that recur are drawn once
    then."""
    unknown_action: str = ""
    pose_control: OptionalText = ""
    """The model's network for poses, a control that sees skeletons; "": it has none."""
    actions: dict[str, Action] = Field(default={})
    places: dict[str, Term] = Field(default={})
    lights: dict[str, Term] = Field(default={})
    moods: dict[str, Term] = Field(default={})
    props: dict[str, Thing] = Field(default={})
    framings: Framings = Framings()
    looks: dict[str, LookSlot] = Field(default={})
    caption: CaptionForm = CaptionForm(start="a {person}")
    folder: Path | None = Field(default=None, exclude=True)

    def drawn(self, kind: str, word: str) -> str:
        """The prompt of a word of this vocabulary; any other word as it is."""
        terms: Mapping[str, Term] = getattr(self, kind)
        return terms[word].prompt if word in terms else plain(word)


def load_vocabulary(path: Path | None = None) -> Vocabulary:
    """The bundled vocabulary, or a file's. Raises StoryboardError."""
    if path is None:
        with importlib.resources.as_file(_FOLDER) as folder:
            return load_vocabulary(folder / f"{BUNDLED}.yaml")
    data = parse(read_text(path, "a vocabulary"))
    if not isinstance(data, Mapping):
        raise StoryboardError([problem(str(path), data, "a mapping, see the bundled vocabulary")])
    vocabulary = Vocabulary.model_validate({**data, "folder": path.parent})
    known = vocabulary.unknown_action
    if known and known not in vocabulary.actions:
        raise StoryboardError([problem("unknown_action", known, "one of actions")])
    return vocabulary


def load_lexicon(language: Language) -> dict[str, Any]:
    """The words with which the rules read a language."""
    return load_words({"en": "english", "zh": "chinese"}[language])


def load_words(name: str) -> dict[str, Any]:
    """A list of words that is shipped with this package, `words/NAME.yaml`."""
    data: dict[str, Any] = parse((_FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
    return data


def plain(words: str) -> str:
    """Words of a text without anything that a prompt's grammar knows: braces, weights, marks."""
    kept = "".join(c if c.isalnum() or c in " -'’，、" else " " for c in words)
    return " ".join(kept.split())
