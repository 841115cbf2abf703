"""`Plan`: how a storyboard is to be made of a story, as `lafi story` and `lafi comic` take it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lafi_story.llm.options import LlmOptions

_BY_RULES: Final = LlmOptions()


@dataclass(frozen=True, slots=True)
class Plan:
    """What is not given is as the story, or the vocabulary's model, has it.

    panels      the most of them; 0: as many as the text has passages, up to 24
    vocabulary  the file of a drawing model's words; None: the bundled model's
    llm         who plans in place of the rules, if anybody
    protected   a file of names that are refused or renamed
    places      whether places of several panels are drawn once for all; None: if the model can
    props       the same for things
    poses       the control that gets figures' poses; "": none; None: the vocabulary's, if any
    """

    panels: int = 0
    title: str = ""
    encoding: str = ""
    vocabulary: Path | None = None
    llm: LlmOptions = _BY_RULES
    protected: Path | None = None
    places: bool | None = None
    props: bool | None = None
    poses: str | None = None
