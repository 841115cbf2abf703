"""Captions in English and Chinese that say what happens and leave most of the identity out."""

import numpy as np

from lafi_tiny.attributes import IDENTITY_CHOICES, Identity, Scene
from lafi_tiny.picture import Figure, Picture

IDENTITY_NAMES = tuple(IDENTITY_CHOICES)
Language = str
"""Either "en" or "zh"."""

ACTION_WORDS = {
    "en": {
        "standing": ("standing", "standing still"),
        "waving": ("waving", "waving hello"),
        "cheering": ("cheering", "cheering with both arms up"),
        "running": ("running", "running fast"),
        "sitting": ("sitting", "sitting down"),
        "kicking": ("kicking", "kicking high"),
        "jumping": ("jumping", "jumping in the air"),
        "pointing": ("pointing", "pointing ahead"),
    },
    "zh": {
        "standing": ("站着", "站立"),
        "waving": ("挥手", "招手"),
        "cheering": ("欢呼", "举起双手欢呼"),
        "running": ("奔跑", "跑步"),
        "sitting": ("坐着", "坐下"),
        "kicking": ("踢腿", "高踢腿"),
        "jumping": ("跳跃", "跳起来"),
        "pointing": ("指向前方", "伸手指着"),
    },
}
PLACE_WORDS = {
    "en": {
        "meadow": ("on a meadow", "in a green meadow"),
        "beach": ("on the beach", "at the beach"),
        "city": ("in the city", "on a city street"),
        "snow": ("in the snow", "on a snowy field"),
        "forest": ("in the forest", "in a forest"),
        "room": ("in a room", "inside a room"),
    },
    "zh": {
        "meadow": ("在草地上", "在绿色的草地上"),
        "beach": ("在海滩上", "在沙滩上"),
        "city": ("在城市里", "在城市街道上"),
        "snow": ("在雪地里", "在雪地上"),
        "forest": ("在森林里", "在树林里"),
        "room": ("在房间里", "在屋里"),
    },
}
TIME_WORDS = {
    "en": {
        "day": ("by day", "in daylight"),
        "sunset": ("at sunset", "at dusk"),
        "night": ("at night", "by night"),
    },
    "zh": {"day": ("白天", "日光下"), "sunset": ("日落时", "黄昏"), "night": ("夜晚", "晚上")},
}
IDENTITY_ZH = {
    "pale": "白皙皮肤",
    "tan": "棕色皮肤",
    "dark": "深色皮肤",
    "short": "短发",
    "long": "长发",
    "bun": "发髻",
    "spiky": "刺猬头",
    "plain": "纯色",
    "striped": "条纹",
    "dotted": "圆点",
    "cap": "帽子",
    "scarf": "围巾",
    "glasses": "眼镜",
    "slim": "瘦",
    "stout": "胖",
    "black": "黑色",
    "blond": "金色",
    "red": "红色",
    "white": "白色",
    "blue": "蓝色",
    "green": "绿色",
    "yellow": "黄色",
    "purple": "紫色",
    "navy": "深蓝",
    "brown": "棕色",
    "crimson": "深红",
    "cream": "米色",
}
PEOPLE = {"en": ("a child", "a kid", "someone", "a character"), "zh": ("一个孩子", "一个人")}

# Half of the pictures that show a character twice do not say so: the same one is the rule.
TWICE = {
    "en": ("the same child twice", "a child twice", "a child", "a kid"),
    "zh": ("同一个孩子出现两次", "一个孩子"),
}
DIFFERENT = {"en": ("two different children", "two different kids"), "zh": ("两个不同的孩子",)}
ONE_CHILD = {"en": ("the same child", "a child"), "zh": ("同一个孩子", "一个孩子")}


def random_caption(rng: np.random.Generator, picture: Picture) -> str:
    """A caption for a picture; two in three are English. Only single figures are ever described."""
    language = random_language(rng)
    if picture.kind == "strip":
        return _strip(rng, picture, language)
    if len(picture.figures) == 2:
        return _two(rng, picture, language)
    figure = picture.figures[0]
    if rng.random() < 0.08:
        return describe(figure.identity, IDENTITY_NAMES, language)
    return plain_caption(
        figure.action,
        picture.scenes[0],
        who=_who(rng, figure, language),
        language=language,
        rng=rng,
    )


def random_language(rng: np.random.Generator) -> Language:
    """Two in three are English."""
    return "en" if rng.random() < 0.67 else "zh"


def some_attributes(rng: np.random.Generator, fewest: int, most: int) -> tuple[str, ...]:
    """From `fewest` to `most` names of identity attributes, by chance, none twice."""
    count = int(rng.integers(fewest, most + 1))
    return tuple(str(name) for name in rng.choice(IDENTITY_NAMES, size=count, replace=False))


def plain_caption(
    action: str,
    scene: Scene,
    *,
    who: str,
    language: Language = "en",
    rng: np.random.Generator | None = None,
) -> str:
    """One figure's caption; wording is drawn with `rng`, or is the first one without."""
    doing = _word(rng, ACTION_WORDS[language][action])
    where = _word(rng, PLACE_WORDS[language][scene.background])
    when = _word(rng, TIME_WORDS[language][scene.time])
    if language == "zh":
        return f"{when},{who}{where}{doing}"
    if rng is not None and rng.random() < 0.3:
        return f"{when}, {who} is {doing} {where}"
    return f"{who} {doing} {where} {when}"


def describe(identity: Identity, attributes: tuple[str, ...], language: Language = "en") -> str:
    """The named attributes in words: "a slim child with long red hair and a plain blue top"."""
    has = set(attributes)
    words = {k: getattr(identity, k) for k in has}
    return _describe_zh(words) if language == "zh" else _describe_en(words)


def _describe_en(words: dict[str, str]) -> str:
    def phrase(names: tuple[str, ...], noun: str, article: str = "") -> str:
        picked = [words[n] for n in names if n in words]
        return f"{article}{' '.join(picked)} {noun}" if picked else ""

    accessory = words.get("accessory", "none")
    parts = [
        phrase(("skin",), "skin"),
        phrase(("hairstyle", "hair"), "hair"),
        phrase(("pattern", "top"), "top", "a "),
        phrase(("trousers",), "trousers"),
        "" if accessory == "none" else (accessory if accessory == "glasses" else f"a {accessory}"),
    ]
    parts = [p for p in parts if p]
    who = f"a {words['build']} child" if "build" in words else "a child"
    if not parts:
        return who
    listed = parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]
    return f"{who} with {listed}"


def _describe_zh(words: dict[str, str]) -> str:
    zh = {k: IDENTITY_ZH.get(v, "") for k, v in words.items()}
    parts = [
        zh.get("skin", ""),
        zh.get("hair", "") + (zh.get("hairstyle") or ("头发" if "hair" in zh else "")),
        zh.get("pattern", "")
        + zh.get("top", "")
        + ("上衣" if "top" in zh or "pattern" in zh else ""),
        zh["trousers"] + "裤子" if "trousers" in zh else "",
        zh.get("accessory", ""),
    ]
    listed = "、".join(p for p in parts if p)
    build = zh["build"] + "的" if "build" in zh else ""
    return f"一个{build}孩子({listed})" if listed else f"一个{build}孩子"


def _who(rng: np.random.Generator, figure: Figure, language: Language) -> str:
    roll = rng.random()
    if roll < 0.10:
        return describe(figure.identity, IDENTITY_NAMES, language)
    if roll < 0.25:
        some = tuple(str(n) for n in rng.choice(IDENTITY_NAMES, size=2, replace=False))
        return describe(figure.identity, some, language)
    return _word(rng, PEOPLE[language])


def _two(rng: np.random.Generator, picture: Picture, language: Language) -> str:
    left, right = picture.figures
    doing = [_word(rng, ACTION_WORDS[language][f.action]) for f in (left, right)]
    where = _word(rng, PLACE_WORDS[language][picture.scenes[0].background])
    when = _word(rng, TIME_WORDS[language][picture.scenes[0].time])
    who = _word(rng, (TWICE if picture.kind == "twins" else DIFFERENT)[language])
    if language == "zh":
        return f"{when},{where},{who},左边{doing[0]},右边{doing[1]}"
    return f"{who} {where} {when}, left {doing[0]}, right {doing[1]}"


def _strip(rng: np.random.Generator, picture: Picture, language: Language) -> str:
    people = _word(rng, ONE_CHILD[language])
    panels = [
        plain_caption(f.action, s, who="", language=language, rng=None).strip()
        for f, s in zip(picture.figures, picture.scenes, strict=True)
    ]
    if language == "zh":
        return f"两格漫画,{people},左边:{panels[0]},右边:{panels[1]}"
    return f"a strip of two panels, {people}, left {panels[0]}, right {panels[1]}"


def _word(rng: np.random.Generator | None, words: tuple[str, ...]) -> str:
    return words[0] if rng is None else str(rng.choice(words))
