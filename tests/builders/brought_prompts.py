"""Prompts as people bring them, each with what diffusers has to be given, or its refusal."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

Piece = tuple[str, float]
"""Words and their weight."""


@dataclass(frozen=True)
class Prompt:
    """One prompt.

    windows  the pieces of each window, as diffusers' encoder gets them alone
    board    further fields of the storyboard
    negative what stands for the negative prompt, one window
    error    a regular expression that the refusal matches
    note     a regular expression that a note of the answer matches; "" for no note
    """

    name: str
    text: str
    windows: tuple[tuple[Piece, ...], ...] = ()
    board: Mapping[str, Any] = field(default_factory=dict)
    negative: tuple[Piece, ...] = (("", 1.0),)
    error: str = ""
    note: str = ""

    def __str__(self) -> str:
        return self.name


def plain(*windows: str) -> tuple[tuple[Piece, ...], ...]:
    return tuple(((text, 1.0),) for text in windows)


def cast(**captions: str) -> Mapping[str, Any]:
    characters = [{"name": name, "prompt": text} for name, text in captions.items()]
    return {"characters": characters, "injection": {"layers": "none"}}


WORDS: Final = "a child is running on the beach at night"
"""Nine words of a token each, in the tests' vocabulary."""
FIVE: Final = " ".join([WORDS] * 5)
"""45 tokens; a window holds 46."""
WEIGHED: Final = "give words a weight and are not read as letters"
FOREIGN: Final = "in other programs and has no such effect here"
WIDE: Final = "only with narrow signs and is read as letters; allowed here: "
FOUR: Final = dict.fromkeys(("mia", "bo", "eva", "tom"), WORDS)

PROMPTS: Final = (
    Prompt("short", WORDS, plain(WORDS)),
    Prompt("a full window", f"{FIVE} night", plain(f"{FIVE} night")),
    Prompt(
        "a word more than a window",
        f"{FIVE} night beach",
        plain(f"{FIVE} night", "beach"),
        note="47 tokens, read in 2 windows",
    ),
    Prompt(
        "three windows",
        " ".join([FIVE] * 3),
        plain(f"{FIVE} a", f"{FIVE[2:]} a child", f"{FIVE[8:]}"),
        note="135 tokens, read in 3 windows",
    ),
    Prompt("BREAK", f"{WORDS} BREAK night", plain(WORDS, "night"), note="read in 2 windows"),
    Prompt("BREAK after a comma", f"{WORDS},BREAK,night", plain(f"{WORDS},", ",night"), note="2 w"),
    Prompt("break is a word", f"{WORDS} break night", plain(f"{WORDS} break night")),
    Prompt("BREAK at both ends", f"BREAK {WORDS} BREAK", plain(WORDS)),
    Prompt(
        "a long negative prompt",
        f"{FIVE} night beach",
        plain(f"{FIVE} night", "beach"),
        {"negative_prompt": "a night on the beach"},
        (("a night on the beach", 1.0),),
        note="2 windows",
    ),
    Prompt("a weight", f"{WORDS} (beach:1.5)", (((WORDS, 1.0), ("beach", 1.5)),), note=WEIGHED),
    Prompt(
        "parentheses",
        "a (child) running",
        ((("a", 1.0), ("child", 1.1), ("running", 1.0)),),
        note=WEIGHED,
    ),
    Prompt(
        "brackets",
        "a [child] running",
        ((("a", 1.0), ("child", 1 / 1.1), ("running", 1.0)),),
        note=WEIGHED,
    ),
    Prompt("nested", "((a child:0.7) night)", ((("a child", 0.77), ("night", 1.1)),), note=WEIGHED),
    Prompt("escapes", r"a child \(night\)", plain("a child (night)"), note=WEIGHED),
    Prompt("a smile", "a child :) at night", plain("a child :) at night")),
    Prompt("weights are off", "a (child:1.5)", plain("a (child:1.5)"), {"prompt_weights": False}),
    Prompt(
        "a weight in a second window",
        f"{FIVE} night (beach:1.5)",
        (((f"{FIVE} night", 1.0),), (("beach", 1.5),)),
        note=WEIGHED,
    ),
    Prompt(
        "a weighted negative prompt",
        WORDS,
        plain(WORDS),
        {"negative_prompt": "(night:1.4)"},
        (("night", 1.4),),
        note=WEIGHED,
    ),
    Prompt("clip_skip", WORDS, plain(WORDS), {"clip_skip": 1}),
    Prompt(
        "clip_skip skips nothing of a negative prompt",
        WORDS,
        plain(WORDS),
        {"clip_skip": 1, "negative_prompt": "a night on the beach"},
        (("a night on the beach", 1.0),),
    ),
    Prompt(
        "clip_skip of a long weighted text",
        f"{FIVE} night (beach:1.5)",
        (((f"{FIVE} night", 1.0),), (("beach", 1.5),)),
        {"clip_skip": 1},
        note=WEIGHED,
    ),
    Prompt(
        "more layers than there are",
        WORDS,
        board={"clip_skip": 40},
        error="clip_skip: got 40, allowed: 0 to",
    ),
    Prompt("a trigger", WORDS, plain(f"a night, {WORDS}"), {"trigger": "a night"}),
    Prompt("a name in capitals", "{Mia} at night", plain("a child at night"), cast(mia="a child")),
    Prompt("a Chinese name", "{小美} at night", plain("a child at night"), cast(小美="a child")),
    Prompt("wide letters", "{ｍｉａ} at night", plain("a child at night"), cast(Mia="a child")),
    Prompt("a hyphen", "{anna-lena} runs", plain("a child runs"), cast(**{"Anna-Lena": "a child"})),
    Prompt("a name in a word", "amiable {mia}s", plain("amiable a childs"), cast(mia="a child")),
    Prompt(
        "four described characters",
        "{mia} {bo} {eva} {tom} beach",
        plain(f"{' '.join([WORDS] * 4)} beach"),
        cast(**FOUR),
    ),
    Prompt(
        "five characters",
        "{mia} {bo} {eva} {tom} {uma}",
        board=cast(**FOUR, uma=WORDS),
        error=r"panels\[0\].prompt: got 5 of them: mia, bo, eva, tom, uma, allowed: at most 4",
    ),
    Prompt(
        "a LoRA in a prompt",
        "a child <lora:ink:0.8>",
        error="panels.0..prompt: got '<lora:ink:0.8>', allowed: no LoRA .* variant: NAME",
    ),
    Prompt(
        "a LoRA in a negative prompt",
        WORDS,
        board={"negative_prompt": "<LoRA:bad:1>"},
        error="negative_prompt: got '<LoRA:bad:1>'",
    ),
    Prompt("AND", "a child AND night", plain("a child AND night"), note=FOREIGN),
    Prompt(
        "a word of ComfyUI", "embedding:night child", plain("embedding:night child"), note=FOREIGN
    ),
    Prompt("a wildcard", "a __night__ child", plain("a __night__ child"), note=FOREIGN),
    Prompt("pluses", "night+++ child", plain("night+++ child"), note=FOREIGN),
    Prompt("dashes of Midjourney", "a child --ar 3:2", plain("a child --ar 3:2"), note=FOREIGN),
    Prompt("a number behind", "(night)1.3", ((("night", 1.1), ("1.3", 1.0)),), note=FOREIGN),
    Prompt("a comma in a weight", "(child:1,3)", ((("child:1,3", 1.1),),), note=FOREIGN),
    Prompt(
        "words that change", "[child:night:0.5]", ((("child:night:0.5", 1 / 1.1),),), note=FOREIGN
    ),
    Prompt("a choice", "[child|night]", ((("child|night", 1 / 1.1),),), note=FOREIGN),
    Prompt(
        "wide braces", "｛小美｝ child", plain("｛小美｝ child"), cast(小美="a child"), note=WIDE
    ),
    Prompt("a wide colon", "(child：1.3)", ((("child：1.3", 1.1),),), note=WIDE),
    Prompt("wide parentheses", "（child:1.3）", plain("（child:1.3）"), note=WIDE),
    Prompt("a LoRA in wide brackets", "＜lora:ink:1＞", plain("＜lora:ink:1＞"), note=WIDE),
    Prompt("a weight of Chinese words", "(红:1.3)", ((("红", 1.3),),), note=WEIGHED),
    Prompt("a score in wide signs", "a child（3：2）", plain("a child（3：2）")),
    Prompt("wide signs of a sentence", "a child（night）：beach", plain("a child（night）：beach")),
    Prompt("and is a word", "a child and a night--beach", plain("a child and a night--beach")),
    Prompt(
        "sixteen full windows",
        " ".join(["night"] * 46 * 16),
        plain(*[" ".join(["night"] * 46)] * 16),
        note="736 tokens, read in 16 windows",
    ),
    Prompt(
        "one token more",
        " ".join(["night"] * 737),
        error="allowed: at most 16 windows of 48 tokens",
    ),
    Prompt("a time", "a child (at 12:30)", error=r"got '\(at 12:30\)', allowed: weights of 0"),
    Prompt(
        "too long", " BREAK ".join(["night"] * 17), error="allowed: at most 16 windows of 48 tokens"
    ),
    Prompt(
        "an unknown name", "{Mai} runs", board=cast(mia="a child"), error="got '{mai}'.*mean mia"
    ),
)
