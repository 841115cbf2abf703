"""Put looks into words: "a slim girl with long red hair, in a striped blue top and a scarf"."""

from collections.abc import Collection

import numpy as np

from lafi_tiny.hand.attributes import IDENTITY_NAMES, Identity
from lafi_tiny.hand.words import (
    COLOURS_ZH,
    LOOKS_EN,
    LOOKS_ZH,
    NOUNS,
    TOP_NOUNS,
    Language,
)

Rng = np.random.Generator | None
"""Wording is drawn with it, or is the first one without."""


def describe(
    identity: Identity,
    names: Collection[str] = IDENTITY_NAMES,
    language: Language = "en",
    *,
    rng: Rng = None,
    mood: str = "",
) -> str:
    """The named attributes of somebody in words; `mood` is an adjective that comes first.

    Without `rng`: "a slim child with pale skin and long red hair, in a plain blue top".
    """
    words = {name: getattr(identity, name) for name in IDENTITY_NAMES if name in names}
    has, wears = (_parts_zh if language == "zh" else _parts_en)(words, rng)
    noun = _noun(identity, language, rng)
    build = words.get("build")
    if language == "zh":
        slim = word(rng, LOOKS_ZH["build"][build]) if build else ""
        return _who_zh(noun, slim, mood, has, wears, rng)
    slim = word(rng, LOOKS_EN["build"][build]) if build else ""
    adjectives = [a for a in (mood, slim) if a]
    if rng is not None and rng.random() < 0.5:
        adjectives.reverse()
    who = " ".join((*adjectives, noun))
    article = "an" if who[0] in "aeiou" else "a"
    return f"{article} {who}" + _listed_en(has, wears, rng)


def _noun(identity: Identity, language: Language, rng: Rng) -> str:
    nouns = NOUNS[language]
    return word(rng, nouns[:-1] if identity.garment == "skirt" else nouns)


def _parts_en(words: dict[str, str], rng: Rng) -> tuple[list[str], list[str]]:
    """What somebody has, and what they wear."""
    has, wears = [], []
    if "skin" in words:
        has.append(word(rng, LOOKS_EN["skin"][words["skin"]]))
    colour = words.get("hair", "")
    if "hairstyle" in words:
        phrase = word(rng, LOOKS_EN["hairstyle"][words["hairstyle"]])
        has.append(" ".join(phrase.format(colour).split()))
    elif colour:
        has.append(f"{colour} hair")
    if "top" in words or "pattern" in words:
        cloth = word(rng, LOOKS_EN["pattern"].get(words.get("pattern", ""), ("{}",)))
        cloth = " ".join(cloth.format(words.get("top", "")).split())
        wears.append(f"a {cloth} {word(rng, TOP_NOUNS['en'])}")
    if "garment" in words or "bottom" in words:
        kind = words.get("garment")
        noun = word(rng, LOOKS_EN["garment"][kind]) if kind else "bottoms"
        phrase = " ".join((words.get("bottom", ""), noun)).strip()
        wears.append(f"a {phrase}" if kind == "skirt" else phrase)
    if "accessory" in words:
        wears.append(word(rng, LOOKS_EN["accessory"][words["accessory"]]))
    return shuffled(rng, has), shuffled(rng, wears)


def _listed_en(has: list[str], wears: list[str], rng: Rng) -> str:
    if rng is not None and rng.random() < 0.3:
        return f" with {joined(shuffled(rng, has + wears))}" if has + wears else ""
    text = f" with {joined(has)}" if has else ""
    if wears:
        how = word(rng, ("in", "wearing", "dressed in"))
        text += f"{',' if has else ''} {how} {joined(wears)}"
    return text


def _parts_zh(words: dict[str, str], rng: Rng) -> tuple[list[str], list[str]]:
    has, wears = [], []
    if "skin" in words:
        has.append(word(rng, LOOKS_ZH["skin"][words["skin"]]))
    if "hair" in words or "hairstyle" in words:
        colour = COLOURS_ZH[words["hair"]] if "hair" in words else ""
        style = words.get("hairstyle")
        has.append(colour + (word(rng, LOOKS_ZH["hairstyle"][style]) if style else "头发"))
    if "top" in words or "pattern" in words:
        cloth = COLOURS_ZH[words["top"]] if "top" in words else ""
        if "pattern" in words:
            cloth += word(rng, LOOKS_ZH["pattern"][words["pattern"]])
        wears.append("穿" + cloth + word(rng, TOP_NOUNS["zh"]))
    if "garment" in words or "bottom" in words:
        colour = COLOURS_ZH[words["bottom"]] if "bottom" in words else ""
        kind = words.get("garment")
        wears.append("穿" + colour + (word(rng, LOOKS_ZH["garment"][kind]) if kind else "下装"))
    if "accessory" in words:
        wears.append(word(rng, LOOKS_ZH["accessory"][words["accessory"]]))
    return shuffled(rng, has), shuffled(rng, wears)


def _who_zh(noun: str, build: str, mood: str, has: list[str], wears: list[str], rng: Rng) -> str:
    looks = shuffled(rng, has + wears)
    adjectives = (f"{mood}的" if mood else "") + build
    if not looks:
        return f"一个{adjectives}{noun}"
    if rng is not None and rng.random() < 0.3:
        return f"一个{adjectives}{noun}({'、'.join(looks)})"
    return f"一个{adjectives}{'、'.join(looks)}的{noun}"


def joined(parts: list[str]) -> str:
    """ "a", "a and b", "a, b and c"."""
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]


def word(rng: Rng, words: tuple[str, ...]) -> str:
    """One of the words, the first one without `rng`."""
    return words[0] if rng is None else words[int(rng.integers(len(words)))]


def shuffled(rng: Rng, parts: list[str]) -> list[str]:
    """The parts in any order, in the given one without `rng`."""
    return parts if rng is None else [parts[i] for i in rng.permutation(len(parts))]
