"""The limits of a storyboard, as numbers and as pydantic types with clear errors."""

import re
import unicodedata
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import AfterValidator, Field, GetCoreSchemaHandler, ValidationError
from pydantic_core import CoreSchema, core_schema

from lafi.board.error import not_allowed

MAX_PANELS = 64
MAX_CHARACTERS = 8
MAX_CHARACTERS_PER_PANEL = 4
MIN_SIDE, MAX_SIDE, SIDE_MULTIPLE = 32, 2048, 8
"""Pixels; a model may need a larger multiple."""
OWN_SIDE = 512
"""Pixels; of a model that does not say at which size it was trained."""
MAX_TITLE_BYTES = 2048
MAX_PROMPT_BYTES = 8192
"""More than 16 windows of 75 tokens have in nearly any language: the windows are the limit."""
MAX_EXPANDED_PROMPT_BYTES = 16_384
"""A panel's prompt including its characters' descriptions."""
MAX_STEPS = 100
MAX_STAGES = 4
MAX_SCHEDULE = 1000
"""Steps of a whole schedule; a stage computes a part of it."""
MAX_SHIFT = 100.0
MAX_NOISE_SCALE = 2.0
MAX_GUIDANCE = 30.0
MAX_STRENGTH = 10.0
UPSCALES = (2, 3, 4)
"""How many times as wide and as high a finished panel may be made; 1 leaves it as it is."""
MAX_RETRIES = 8
MAX_CLIP_SKIP = 48
"""More layers than the text encoder of any model has; the model's own number counts."""
MAX_SEED = 2**63 - 1
MAX_PRIORITY = 9
MAX_DEADLINE = 86_400
MAX_PROGRESS_SECONDS = 30
"""Half of what a client waits by itself for any event (`idle_timeout`)."""
MAX_LAYER = 1023
MIN_REFERENCE_SIDE, MAX_REFERENCE_SIDE = 8, 4096
MAX_REFERENCE_BYTES = 16 * 2**20
MAX_PICTURES = 32
"""Distinct pictures in a storyboard: references, sources and masks."""
MAX_FILE_BYTES = 2**20
"""A storyboard as text, without its images."""

NAME_PATTERN = "[a-z][a-z0-9_]{0,31}"
"""Names of variants, which are folders."""
MAX_NAME, MAX_NAME_BYTES = 64, 192
"""Of a character's name: characters, and bytes of UTF-8, as it is part of a file's name."""
NAME_ALLOWED = f"a name of 1 to {MAX_NAME} letters, digits, _ and -, such as mia, 小美 or anna-lena"


@dataclass(frozen=True, slots=True)
class Allowed:
    """Annotation: for any wrong value, there is one error and it says `allowed: TEXT`."""

    text: str

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        def check(value: Any, inner: core_schema.ValidatorFunctionWrapHandler) -> Any:
            try:
                return inner(value)
            except ValidationError as error:
                raise not_allowed(self.text) from error

        return core_schema.no_info_wrap_validator_function(check, handler(source))


def _line(text: str) -> str:
    """One line of valid text; runs of blanks, tabs and line breaks become one blank."""
    text = re.sub(r"[ \t\r\n]+", " ", text).strip(" ")
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in text):
        raise ValueError("control characters")
    if len(text.encode("utf-8")) > MAX_PROMPT_BYTES:
        raise ValueError("too long")
    return text


def _short(title: str) -> str:
    if len(title.encode("utf-8")) > MAX_TITLE_BYTES:
        raise ValueError("too long")
    return title


def folded(name: str) -> str:
    """The spelling under which a name is known: NFKC, without case, and that normalised again."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())


def character_name(name: str) -> str:
    """`Mia` as `mia`. Raises ValueError for what is no name, see NAME_ALLOWED."""
    known = folded(name)
    short = 1 <= len(known) <= MAX_NAME and len(known.encode("utf-8")) <= MAX_NAME_BYTES
    fits = all(unicodedata.category(c)[0] in "LMN" or c in "_-" for c in known)
    # A mark at the beginning has no letter to stand on.
    if not (short and fits and unicodedata.category(known[0])[0] != "M"):
        raise ValueError("no name")
    return known


def _some(text: str) -> str:
    if not text:
        raise ValueError("empty")
    return text


def _without_braces(text: str) -> str:
    if "{" in text or "}" in text:
        raise ValueError("braces")
    return text


_TEXT = f"{MAX_PROMPT_BYTES} bytes of UTF-8 text without control characters"
_TITLE = Field(strict=True, json_schema_extra={"maxLength": MAX_TITLE_BYTES})
_BRACES = " or braces (only the prompt of a panel may name a {character})"

_ANY = Field(strict=True, json_schema_extra={"maxLength": MAX_PROMPT_BYTES})
_SOME = Field(strict=True, json_schema_extra={"minLength": 1, "maxLength": MAX_PROMPT_BYTES})

Title = Annotated[
    str,
    _TITLE,
    AfterValidator(_line),
    AfterValidator(_short),
    Allowed(f"at most {MAX_TITLE_BYTES} bytes of UTF-8 text without control characters"),
]
PanelPrompt = Annotated[
    str, _SOME, AfterValidator(_line), AfterValidator(_some), Allowed(f"1 to {_TEXT}")
]
Description = Annotated[
    str,
    _SOME,
    AfterValidator(_line),
    AfterValidator(_some),
    AfterValidator(_without_braces),
    Allowed(f"1 to {_TEXT}{_BRACES}"),
]
OptionalText = Annotated[
    str,
    _ANY,
    AfterValidator(_line),
    AfterValidator(_without_braces),
    Allowed(f"at most {_TEXT}{_BRACES}"),
]
Name = Annotated[
    str,
    Field(
        strict=True,
        json_schema_extra={"pattern": rf"^[\p{{L}}\p{{M}}\p{{N}}_-]{{1,{MAX_NAME}}}$"},
    ),
    AfterValidator(character_name),
    Allowed(NAME_ALLOWED),
]
VariantName = Annotated[
    str,
    Field(strict=True, pattern=f"^({NAME_PATTERN})?$"),
    Allowed("the name of a variant of the model, or of a model beside it, such as ink, or nothing"),
]
Side = Annotated[
    int,
    Field(strict=True, ge=MIN_SIDE, le=MAX_SIDE, multiple_of=SIDE_MULTIPLE),
    Allowed(f"{MIN_SIDE} to {MAX_SIDE} pixels, a multiple of {SIDE_MULTIPLE}"),
]
StageSize = Annotated[
    tuple[Side, Side] | Annotated[float, Field(strict=True, gt=0, le=1, allow_inf_nan=False)],
    Allowed(
        f"[width, height], each {MIN_SIDE} to {MAX_SIDE} pixels and a multiple of {SIDE_MULTIPLE}, "
        "or a scale, more than 0 and at most 1"
    ),
]
Seed = Annotated[
    int, Field(strict=True, ge=0, le=MAX_SEED), Allowed("a whole number, 0 to 2**63 - 1")
]
Priority = Annotated[
    int,
    Field(strict=True, ge=-MAX_PRIORITY, le=MAX_PRIORITY),
    Allowed(f"a whole number, -{MAX_PRIORITY} to {MAX_PRIORITY}"),
]
DeadlineSeconds = Annotated[
    float,
    Field(strict=True, gt=0, le=MAX_DEADLINE, allow_inf_nan=False),
    Allowed(f"more than 0 seconds, at most {MAX_DEADLINE}"),
]
ProgressSeconds = Annotated[
    float,
    Field(strict=True, ge=0, le=MAX_PROGRESS_SECONDS, allow_inf_nan=False),
    Allowed(f"0 to {MAX_PROGRESS_SECONDS} seconds"),
]
Steps = Annotated[
    int, Field(strict=True, ge=1, le=MAX_STEPS), Allowed(f"a whole number, 1 to {MAX_STEPS}")
]
Guidance = Annotated[
    float,
    Field(strict=True, ge=0, le=MAX_GUIDANCE, allow_inf_nan=False),
    Allowed(f"0 to {MAX_GUIDANCE:g}"),
]
Shift = Annotated[
    float,
    Field(strict=True, gt=0, le=MAX_SHIFT, allow_inf_nan=False),
    Allowed(f"more than 0, at most {MAX_SHIFT:g}"),
]
NoiseScale = Annotated[
    float,
    Field(strict=True, ge=0, le=MAX_NOISE_SCALE, allow_inf_nan=False),
    Allowed(f"0 to {MAX_NOISE_SCALE:g}"),
]
Denoise = Annotated[
    float,
    Field(strict=True, gt=0, le=1, allow_inf_nan=False),
    Allowed("more than 0, at most 1"),
]
Strength = Annotated[
    float,
    Field(strict=True, ge=-MAX_STRENGTH, le=MAX_STRENGTH, allow_inf_nan=False),
    Allowed(f"-{MAX_STRENGTH:g} to {MAX_STRENGTH:g}"),
]
UpscaleFactor = Annotated[
    int, Field(strict=True, ge=1, le=max(UPSCALES)), Allowed("2, 3 or 4, or 1 for none")
]
Score = Annotated[float, Field(strict=True, ge=-1, le=1, allow_inf_nan=False), Allowed("-1 to 1")]
ClipSkip = Annotated[
    int,
    Field(strict=True, ge=0, le=MAX_CLIP_SKIP),
    Allowed("a whole number, 0 to the layers of the model's text encoder"),
]
Retries = Annotated[
    int, Field(strict=True, ge=0, le=MAX_RETRIES), Allowed(f"a whole number, 0 to {MAX_RETRIES}")
]
UnitNumber = Annotated[float, Field(strict=True, ge=0, le=1, allow_inf_nan=False)]
Fraction = Annotated[UnitNumber, Allowed("0 to 1")]


def _ordered(box: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
    x0, y0, x1, y1 = box
    if not (x0 < x1 and y0 < y1):
        raise ValueError("empty")
    return box


Region = Annotated[
    tuple[UnitNumber, UnitNumber, UnitNumber, UnitNumber],
    AfterValidator(_ordered),
    Allowed("[x0, y0, x1, y1] with 0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1"),
]
