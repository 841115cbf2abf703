"""`st.from_type(Storyboard)` draws any valid storyboard, in any language."""

import io
import string
from itertools import chain

import numpy as np
import pytest
from hypothesis import strategies as st
from PIL import Image

from lafi.board.control import Control
from lafi.board.injection import Injection
from lafi.board.limits import folded
from lafi.board.picture_prompt import PicturePrompt
from lafi.board.pose import JOINTS
from lafi.board.reference_image import ReferenceImage
from lafi.board.stages import Sampling, SamplingStage, StageMask, StageSource
from lafi.board.storyboard import Character, Panel, Storyboard
from lafi.model.info import ModelInfo
from model_infos import attention_sites, model_info

_TEXT = st.text(
    st.one_of(
        st.sampled_from("女孩在海边跑步，红头发 \n\téß🐈'\":#"),
        st.characters(exclude_categories=("Cc", "Cs"), exclude_characters="{}"),
    ),
    max_size=40,
)
_SOME_TEXT = st.builds("{}{}".format, st.sampled_from("a女🐈"), _TEXT)
_NAME = st.builds(
    str.__add__,
    st.sampled_from(string.ascii_letters + "小é"),
    st.text(string.ascii_letters + string.digits + "_-美ßक", max_size=31),
).map(folded)
_UNIT = st.floats(0, 1)


def _encoded(side: tuple[int, int], seed: int, kind: str) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (*side, 4), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels if kind != "JPEG" else pixels[..., :3]).save(stream, kind)
    return stream.getvalue()


_PICTURES = st.sampled_from(
    [
        ReferenceImage(data=_encoded(side, seed, kind))
        for seed, (side, kind) in enumerate(
            [((8, 8), "PNG"), ((20, 8), "PNG"), ((9, 20), "JPEG"), ((20, 20), "WEBP")]
        )
    ]
)


@st.composite
def _region(draw: st.DrawFn) -> tuple[float, float, float, float]:
    x0, x1 = sorted(draw(st.lists(_UNIT, min_size=2, max_size=2, unique=True)))
    y0, y1 = sorted(draw(st.lists(_UNIT, min_size=2, max_size=2, unique=True)))
    return (x0, y0, x1, y1)


@st.composite
def _sampling(draw: st.DrawFn) -> Sampling:
    stages = [draw(_stage(first=place == 0)) for place in range(draw(st.integers(1, 3)))]
    for place in range(len(stages) - 1):
        size = draw(st.none() | st.just((64, 32)) | st.floats(0.1, 1))
        stages[place] = stages[place].model_copy(update={"size": size})
    return Sampling(stages=stages)


@st.composite
def _stage(draw: st.DrawFn, *, first: bool) -> SamplingStage:
    """Begins with no panel, so that its own may stand alone."""
    sampler = draw(st.sampled_from(["DDPM", "DDIM", "Euler", "EulerAncestral", "DPM++2M"]))
    sigmas = ["default", "karras", "beta"] if sampler in ("Euler", "DPM++2M") else ["default"]
    source = draw(st.none() | st.builds(StageSource, image=_PICTURES))
    more = {"denoise": 1.0, "mask": None}
    if source is not None or not first:
        masks = st.builds(StageMask, image=_PICTURES) | st.builds(StageMask, region=_region())
        more = {"denoise": draw(st.floats(0.1, 1)), "mask": draw(st.none() | masks)}
    if draw(st.booleans()):
        more["injection"] = Injection(strength=draw(st.floats(-10, 10)))
    return SamplingStage(
        source=source,
        **more,
        seed=draw(st.none() | st.integers(0, 2**63 - 1)),
        prompt=draw(st.none() | _SOME_TEXT),
        steps=draw(st.integers(1, 100)),
        sampler=sampler,
        sigmas=draw(st.sampled_from(sigmas)),
        guidance=draw(st.floats(0, 30)),
        reuse_threshold=draw(_UNIT),
    )


@st.composite
def _injection(draw: st.DrawFn) -> Injection:
    start, end = sorted((draw(_UNIT), draw(_UNIT)))
    return Injection(
        layers=draw(st.one_of(st.sampled_from(["none", "all", "balanced"]), st.integers(0, 99))),
        start=start,
        end=end,
        strength=draw(st.floats(-10, 10)),
        branches=draw(st.sampled_from(["both", "conditional"])),
        reference_noise=draw(st.one_of(st.just("panel"), _UNIT)),
        words=draw(st.sampled_from(["region", "everywhere"])),
    )


@st.composite
def _control(draw: st.DrawFn) -> Control:
    start, end = sorted(draw(st.lists(_UNIT, min_size=2, max_size=2, unique=True)))
    points = st.dictionaries(st.sampled_from(JOINTS), st.tuples(_UNIT, _UNIT), min_size=1)
    seen = {"image": draw(_PICTURES), "prepare": draw(st.sampled_from(["none", "canny"]))}
    if draw(st.booleans()):
        seen = {"pose": draw(st.lists(points, min_size=1, max_size=2))}
    return Control(
        kind=draw(st.sampled_from(["pose", "edges"])),
        strength=draw(st.floats(-10, 10)),
        start=start,
        end=end,
        region=draw(st.none() | _region()),
        **seen,
    )


@st.composite
def _picture_prompt(draw: st.DrawFn, names: list[str]) -> PicturePrompt:
    start, end = sorted(draw(st.lists(_UNIT, min_size=2, max_size=2, unique=True)))
    shown = {"image": draw(_PICTURES)}
    if names and draw(st.booleans()):
        shown = {"character": draw(st.sampled_from(names))}
    return PicturePrompt(
        strength=draw(st.floats(-10, 10)),
        start=start,
        end=end,
        region=draw(st.none() | _region()),
        **shown,
    )


@st.composite
def _panel(draw: st.DrawFn, names: list[str], sampling: Sampling) -> Panel:
    mentioned = draw(st.lists(st.sampled_from(names), max_size=4)) if names else []
    fields = {
        "prompt": draw(_SOME_TEXT) + "".join(f" {{{name}}}" for name in mentioned),
        "negative_prompt": draw(_TEXT),
        "sampling": draw(st.none() | _sampling()),
        "injection": draw(st.none() | _injection()),
    }
    cast = list(dict.fromkeys(mentioned))
    if names and draw(st.booleans()):
        cast = draw(st.lists(st.sampled_from(names), unique=True, max_size=4))
        fields["characters"] = cast
    if draw(st.booleans()):
        fields["retry_below"] = draw(st.none() | st.floats(-1, 1))
        fields["retries"] = draw(st.none() | st.integers(0, 8))
    if draw(st.booleans()):
        fields["upscale"] = draw(st.none() | st.integers(1, 4))
    if draw(st.booleans()):
        fields["seed"] = draw(st.integers(0, 2**63 - 1))
    if draw(st.booleans()):
        fields["control"] = draw(st.lists(_control(), max_size=3))
    if draw(st.booleans()):
        fields["picture_prompts"] = draw(st.lists(_picture_prompt(names), max_size=3))
    stages = [*sampling.stages, *(fields["sampling"].stages if fields["sampling"] else ())]
    if draw(st.booleans()) and all(stage.prompt is None for stage in stages):
        fields |= draw(_placed(fields["prompt"]))
    if cast:
        fields["regions"] = draw(st.dictionaries(st.sampled_from(cast), _region()))
    return Panel(**fields)


@st.composite
def _placed(draw: st.DrawFn, prompt: str) -> dict[str, object]:
    """The prompt with objects at its end, and where they are."""
    words = draw(st.lists(st.sampled_from(["a qxz kite", "五个黄盒子", "zq"]), unique=True))
    objects = [{"words": each, "box": draw(_region())} for each in words]
    return {"prompt": " ".join([prompt, *words]), "objects": objects}


@st.composite
def _storyboard(draw: st.DrawFn) -> Storyboard:
    names = draw(st.lists(_NAME, unique=True, max_size=3))
    characters = [
        Character(
            name=name,
            prompt=draw(_SOME_TEXT),
            trigger=draw(_TEXT),
            reference=draw(st.none() | _PICTURES),
        )
        for name in names
    ]
    sampling = draw(_sampling())
    return Storyboard(
        title=draw(_TEXT),
        width=8 * draw(st.integers(4, 256)),
        height=8 * draw(st.integers(4, 256)),
        negative_prompt=draw(_TEXT),
        sampling=sampling,
        injection=draw(_injection()),
        retry_below=draw(st.none() | st.floats(-1, 1)),
        retries=draw(st.integers(0, 8)),
        upscale=draw(st.integers(1, 4)),
        characters=characters,
        panels=draw(st.lists(_panel(names, sampling), min_size=1, max_size=3)),
    )


st.register_type_strategy(Storyboard, _storyboard())


@pytest.fixture
def png() -> bytes:
    """A PNG of 16 x 24 pixels with an alpha channel."""
    return _encoded((24, 16), 0, "PNG")


@pytest.fixture
def small_model() -> ModelInfo:
    """A model with three self-attention layers and sides in steps of 16 pixels."""
    blocks = (("down.0", 1), ("mid", 2), ("up.0", 1))
    sites = [
        attention_sites(block=block, heads=2, width=16, downscale=scale) for block, scale in blocks
    ]
    return model_info(
        vae_scale=4,
        text_length=48,
        text_width=64,
        layers=(*chain.from_iterable(sites),),
        weights_sha256="ab" * 32,
    )
