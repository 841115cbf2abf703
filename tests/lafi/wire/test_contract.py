import io
import json
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from lafi.board.error import StoryboardError
from lafi.board.reference_image import ReferenceImage
from lafi.board.stages import Sampling, SamplingStage, StageMask, StageSource
from lafi.board.storyboard import Storyboard
from lafi.wire.contract import (
    event_from_tensors,
    event_to_tensors,
    storyboard_from_tensors,
    storyboard_to_tensors,
)
from lafi.wire.events import (
    EVENT_OF_KIND,
    Accepted,
    Event,
    Failed,
    Finished,
    PanelImage,
    Portrait,
    Preview,
    Progress,
)
from lafi.wire.model_spec import bytes_tensor, storyboard_spec

ONE_PANEL = b'{"panels": [{"prompt": "a dog"}]}'
NO_IMAGE = bytes_tensor(b"")
WITH_MIA = {"panels": [{"prompt": "{mia}"}], "characters": [{"name": "mia", "prompt": "a girl"}]}


def _picture(kind: str) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (16, 16)).save(stream, kind)
    return stream.getvalue()


@settings(deadline=None, max_examples=40)
@given(st.from_type(Storyboard))
def test_a_storyboard_survives_the_wire(board: Storyboard) -> None:
    tensors = storyboard_to_tensors(board)
    back = storyboard_from_tensors(tensors["STORYBOARD"], tensors["REFERENCES"])
    assert back == board
    for panel in board.panels:
        for stage, same in zip(
            board.effective_sampling(panel).stages,
            back.effective_sampling(panel).stages,
            strict=True,
        ):
            injection = back.effective_injection(panel, same)
            assert injection == board.effective_injection(panel, stage)


@settings(deadline=None, max_examples=20)
@given(st.from_type(Storyboard), st.data())
def test_a_panel_that_begins_with_another_survives_the_wire(
    board: Storyboard, data: st.DataObject
) -> None:
    numbers = data.draw(st.lists(st.integers(0, 2), min_size=3, max_size=3))
    panels = [*board.panels, *board.panels[:1]]
    for index, number in enumerate(numbers[1 : len(panels)], 1):
        source = StageSource(panel=min(number, index - 1))
        sampling = Sampling(stages=[SamplingStage(source=source, denoise=0.5)])
        panels[index] = panels[index].model_copy(update={"sampling": sampling})
    whole = Storyboard.model_validate(board.model_dump() | {"panels": panels})
    assert storyboard_from_tensors(*storyboard_to_tensors(whole).values()) == whole


@settings(deadline=None, max_examples=20)
@given(st.from_type(Storyboard))
def test_tensors_are_what_the_spec_says(board: Storyboard) -> None:
    slots: list[Any] = [*board.characters]
    panels = [(each.sampling, (*each.control, *each.picture_prompts)) for each in board.panels]
    for sampling, others in [(board.sampling, ()), *panels]:
        stages = () if sampling is None else sampling.stages
        slots += [slot for stage in stages for slot in (stage.source, stage.mask) if slot]
        slots += others
    pictures = [getattr(slot, "reference", None) or getattr(slot, "image", None) for slot in slots]
    images = list(dict.fromkeys(picture.data for picture in pictures if picture is not None))
    tensors = storyboard_to_tensors(board)
    assert list(tensors) == [spec.name for spec in storyboard_spec().inputs]
    assert {array.dtype for array in tensors.values()} == {np.dtype(object)}
    assert tensors["STORYBOARD"].shape == (1,)
    assert tensors["REFERENCES"].tolist() == (images or [b""])
    assert json.loads(tensors["STORYBOARD"][0])["title"] == board.title


def _wire(document: object, *images: bytes) -> Storyboard:
    text = document if isinstance(document, bytes) else json.dumps(document).encode()
    return storyboard_from_tensors(bytes_tensor(text), bytes_tensor(*(images or (b"",))))


def _with_mia(reference: object) -> dict[str, object]:
    mia = {"name": "mia", "prompt": "a girl", "reference": reference}
    return {"panels": [{"prompt": "{mia}"}], "characters": [mia]}


def test_the_smallest_storyboard() -> None:
    assert _wire(ONE_PANEL).panels[0].prompt == "a dog"


def test_references_may_be_shared_and_out_of_order(png: bytes) -> None:
    other = png + b"\0"
    names = {"mia": 1, "tom": 0, "eva": 1}
    characters = [{"name": n, "prompt": "a", "reference": i} for n, i in names.items()]
    board = _wire({"panels": [{"prompt": "a"}], "characters": characters}, png, other)
    images = [c.reference.data for c in board.characters if c.reference is not None]
    assert images == [other, png, other]


BAD_JSON = [
    (b"", "STORYBOARD: line 1, column 1: got broken JSON (Expecting value), allowed"),
    (b'{"panels": [}', "STORYBOARD: line 1, column 13: got broken JSON (Expecting value)"),
    (b"panels: []", "STORYBOARD: got YAML, allowed: JSON; a file of YAML is read by lafi draw"),
    (b"panels:\n- prompt: a dog\n", "STORYBOARD: got YAML, allowed: JSON"),
    (b'{"panels": \xff}', "STORYBOARD: got byte 0xff at offset 11, allowed: valid UTF-8"),
    (b'{"panels": [], "panels": []}', "STORYBOARD: panels: got the field twice, allowed: each fie"),
    (b"[" * 10**5, "STORYBOARD: got deeply nested JSON, allowed: fewer levels of nesting"),
    (b" " * (2**20 + 1), "STORYBOARD: got 1048577 bytes, allowed: at most 1048576 bytes of JSON"),
    (b"[]", "got [], allowed: a mapping with title, variant, width"),
    (b"null", "got nothing, allowed: a mapping with title, variant, width"),
    (b"{}", "panels: got nothing, allowed: a list of 1 to 64 panels"),
    (b'{"panels": [{"prompt": "\\ud800"}]}', "panels[0].prompt: got '\\ud800', allowed: 1 to 819"),
    (
        b'{"panels": [{"prompt": "a", "sampling": {"guidance": NaN}}]}',
        "panels[0].sampling.guidance: got nan, allowed: 0 to 30",
    ),
    (
        b'{"panels": [{"prompt": "a", "sampling": {"guidance": 1e999}}]}',
        "panels[0].sampling.guidance: got inf, allowed: 0 to 30",
    ),
]


@pytest.mark.parametrize(("text", "line"), BAD_JSON)
def test_bad_json_is_refused(text: bytes, line: str) -> None:
    with pytest.raises(StoryboardError) as refused:
        _wire(text)
    assert refused.value.problems[0].startswith(line)


@pytest.mark.parametrize(
    "reference", [-1, 1, 10**99, True, 0.0, "0", "/etc/passwd", {"data": "AAAA"}, [0]]
)
def test_a_reference_is_a_place_in_references(png: bytes, reference: object) -> None:
    match = r"^characters\[0\].reference: got .*, allowed: a place in REFERENCES, which has 1, or"
    with pytest.raises(StoryboardError, match=match):
        _wire(_with_mia(reference), png)


def test_the_number_of_references_must_fit(png: bytes) -> None:
    with pytest.raises(StoryboardError, match=r"^REFERENCES: got 2 images, allowed: 1, those that"):
        _wire(_with_mia(0), png, png)
    with pytest.raises(StoryboardError, match=r"^REFERENCES: got 1 images, allowed: 0, those that"):
        _wire(ONE_PANEL, png)
    with pytest.raises(
        StoryboardError, match=r"reference: got 0, allowed: a place in REFERENCES, "
    ):
        _wire(_with_mia(0))
    with pytest.raises(
        StoryboardError, match=r"^REFERENCES: got shape \(97,\), allowed: shape \(n"
    ):
        _wire(_with_mia(0), *[png] * 97)


STAGES = {"stages": [{}, {"from": {"image": 0}, "mask": {"image": 1}, "denoise": 0.5}]}


def test_pictures_of_stages_are_places_too(png: bytes) -> None:
    other = png + b"\0"
    first, second = ({"prompt": "a", "sampling": STAGES}, {"prompt": "b"})
    second["sampling"] = {"from": 0, "mask": [0, 0, 1, 0.5]}
    board = _wire({"panels": [first, second], "sampling": {"from": {"image": 1}}}, png, other)
    sources = [board.effective_sampling(panel).stages[-1].source for panel in board.panels]
    assert sources == [StageSource(image=ReferenceImage(data=png)), StageSource(panel=0)]
    masks = [board.effective_sampling(panel).stages[-1].mask for panel in board.panels]
    assert masks == [
        StageMask(image=ReferenceImage(data=other)),
        StageMask(region=(0, 0, 1, 0.5)),
    ]
    sent = json.loads(storyboard_to_tensors(board)["STORYBOARD"][0])
    stage = sent["panels"][0]["sampling"]["stages"][1]
    assert (stage["from"], stage["mask"]) == ({"image": 1}, {"image": 0})


@pytest.mark.parametrize(
    ("key", "value", "line"),
    [
        ("from", {"image": 2}, ".image: got 2, allowed: a place in REFERENCES, which has 2, or"),
        ("mask", {"image": "x.png"}, ".image: got 'x.png', allowed: a place in REFERENCES, which"),
        ("mask", {"image": {"data": "AA"}}, ".image: got a mapping, allowed: a place in REFERENC"),
        ("from", "x.png", ": got 'x.png', allowed: a PNG, JPEG, WebP, AVIF, GIF or TIFF image"),
        ("from", 0, ": got 0, allowed: an earlier panel, nothing: no panel comes before panel 0"),
        ("mask", [0, 0, 2, 1], ": got [0, 0, 2, 1], allowed: [x0, y0, x1, y1] with 0 <= x0 < x1"),
        ("from", {}, ": got image and panel, or neither, allowed: one of the two"),
        ("mask", {"image": 1, "region": [0, 0, 1, 1]}, ": got image and region, or neither, allow"),
    ],
)
def test_a_bad_picture_of_a_stage_is_named(png: bytes, key: str, value: object, line: str) -> None:
    stage = STAGES["stages"][1] | {key: value}
    panel = {"prompt": "a", "sampling": {"stages": [{}, stage]}}
    with pytest.raises(StoryboardError) as refused:
        _wire({"panels": [panel]}, png, png + b"\0")
    problems = [line for line in refused.value.problems if not line.startswith("REFERENCES")]
    assert len(problems) == 1
    assert problems[0].startswith(f"panels[0].sampling.stages[1].{key}{line}")


def test_a_broken_picture_is_told_beside_other_problems(png: bytes) -> None:
    panel = {"prompt": "", "sampling": STAGES}
    with pytest.raises(StoryboardError) as refused:
        _wire({"panels": [panel]}, png, b"text")
    assert [line.split(" got")[0] for line in refused.value.problems] == [
        "panels[0].sampling.stages[1].mask.image:",
        "panels[0].prompt:",
    ]


def test_a_reference_that_is_no_image_names_its_character() -> None:
    with pytest.raises(StoryboardError, match=r"^characters\[0\].reference: got 4 bytes that are"):
        _wire(_with_mia(0), b"text")


@pytest.mark.parametrize(
    ("tensor", "line"),
    [
        (np.zeros(1, np.float32), "STORYBOARD: got dtype float32, allowed: BYTES"),
        (np.array([b"{}"]), "STORYBOARD: got dtype |S2, allowed: BYTES"),
        (np.array(["{}"], dtype=object), "STORYBOARD: got '{}', allowed: bytes"),
        (np.array([b"{}", b"{}"], dtype=object), "STORYBOARD: got shape (2,), allowed: shape (1,)"),
        (np.array([[b"{}"]], dtype=object), "STORYBOARD: got shape (1, 1), allowed: shape (1,)"),
        (np.array([], dtype=object), "STORYBOARD: got shape (0,), allowed: shape (1,)"),
        (None, "STORYBOARD: got shape (), allowed: shape (1,)"),
    ],
)
def test_a_wrong_tensor_is_refused(tensor: Any, line: str) -> None:
    with pytest.raises(StoryboardError) as refused:
        storyboard_from_tensors(tensor, NO_IMAGE)
    assert str(refused.value) == line


TEXTS = st.text(max_size=20)
COUNTS = st.integers(0, 2**40)


@settings(deadline=None, max_examples=60)
@given(
    st.one_of(
        st.builds(
            Accepted, panels=COUNTS, portraits=COUNTS, notes=st.lists(TEXTS, max_size=3).map(tuple)
        ),
        st.builds(
            Progress,
            panel=st.none() | COUNTS,
            character=TEXTS,
            step=COUNTS,
            steps=COUNTS,
            stage=st.integers(1, 9),
            stages=st.integers(1, 9),
        ),
        st.builds(Failed, panel=st.none() | COUNTS, error=TEXTS, retryable=st.booleans()),
        st.builds(Finished, panels=COUNTS, seconds=st.floats(0, 1e9)),
    )
)
def test_an_event_survives_the_wire(event: Event) -> None:
    tensors = event_to_tensors(event)
    assert tensors["IMAGE"].tolist() == [b""]
    assert event_from_tensors(tensors["EVENT"], tensors["IMAGE"]) == event


@settings(deadline=None, max_examples=30)
@given(prompt=TEXTS, seed=st.integers(0, 2**63 - 1), seconds=st.floats(0, 1e9))
def test_pictures_travel_outside_of_the_json(prompt: str, seed: int, seconds: float) -> None:
    png = _picture("PNG")
    panel = PanelImage(panel=3, png=png, seed=seed, prompt=prompt, address="ab", seconds=seconds)
    for event in (
        panel,
        Portrait(character="mia", png=png),
        Preview(panel=3, stage=1, png=png),
    ):
        tensors = event_to_tensors(event)
        assert "png" not in json.loads(tensors["EVENT"][0])
        assert tensors["IMAGE"].tolist() == [png]
        assert event_from_tensors(tensors["EVENT"], tensors["IMAGE"]) == event


def test_every_event_has_its_kind() -> None:
    assert tuple(EVENT_OF_KIND.values()) == get_args(Event)
    for kind, event in EVENT_OF_KIND.items():
        assert event.model_fields["kind"].default == kind


def test_an_error_with_broken_text_can_still_be_sent() -> None:
    failed = Failed(panel=0, error="file \udcff is bad", retryable=False)
    assert failed.error == "file ? is bad"
    assert event_from_tensors(*event_to_tensors(failed).values()) == failed


def test_an_event_of_before_stages_is_still_read() -> None:
    progress = {"kind": "progress", "panel": 0, "character": None, "step": 1, "steps": 2}
    assert _event(progress) == Progress(panel=0, step=1, steps=2, stage=1, stages=1)
    accepted = {"kind": "accepted", "panels": 1, "portraits": 0}
    assert _event(accepted) == Accepted(panels=1, portraits=0, notes=())


@settings(deadline=None, max_examples=30)
@given(st.dictionaries(st.text(max_size=9), st.integers() | st.text(max_size=9)), st.binary())
def test_what_a_newer_server_adds_is_ignored(extra: dict[str, Any], image: bytes) -> None:
    known = Finished(panels=1, seconds=0.5)
    assert _event(extra | known.model_dump(), image) == known
    newer = extra | {"kind": "applause"}
    assert _event(newer, image) is None


def _event(document: object, image: bytes = b"") -> Event | None:
    return event_from_tensors(bytes_tensor(json.dumps(document).encode()), bytes_tensor(image))


FINISHED = {"kind": "finished", "panels": 1, "seconds": 0.5}
PNG = _picture("PNG")
PREVIEW = {"kind": "preview", "panel": 0, "stage": 1}
PANEL = {"kind": "panel", "panel": 0, "seed": 1, "prompt": "", "address": "", "seconds": 1.0}


@pytest.mark.parametrize(
    ("event", "image", "line"),
    [
        ([], b"", "EVENT: got [], allowed: a mapping with kind"),
        (
            {},
            b"",
            "EVENT.kind: got nothing, allowed: accepted, progress, waiting, preview, latents",
        ),
        (
            {"kind": ["panel"]},
            b"",
            "EVENT.kind: got ['panel'], allowed: accepted, progress, waiting, preview",
        ),
        (FINISHED | {"panels": -1}, b"", "EVENT.panels: got -1, allowed: greater than or equal to"),
        (FINISHED | {"panels": "1"}, b"", "EVENT.panels: got '1', allowed: a valid integer"),
        (FINISHED | {"seconds": None}, b"", "EVENT.seconds: got nothing, allowed: a valid number"),
        (
            PREVIEW | {"stage": 0},
            _picture("PNG"),
            "EVENT.stage: got 0, allowed: greater than or equal to 1",
        ),
        (PREVIEW, b"", "IMAGE: got an empty file, allowed: a PNG image"),
        (PANEL, b"", "IMAGE: got an empty file, allowed: a PNG image"),
        (PANEL, b"hello", "IMAGE: got 5 bytes that are no image, allowed: a PNG image"),
        (PANEL, b"\x89PNG\r\n\x1a\n", "IMAGE: got 8 bytes that are no image, allowed: a PNG"),
        (
            PANEL,
            _picture("JPEG"),
            "IMAGE: got a JPEG image, allowed: a PNG image",
        ),
    ],
)
def test_a_bad_event_is_refused(event: object, image: bytes, line: str) -> None:
    with pytest.raises(StoryboardError) as refused:
        _event(event, image)
    assert str(refused.value).startswith(line)


def test_what_is_unset_is_left_out_and_a_short_form_stays_short() -> None:
    panels = [{"prompt": "a"}, {"prompt": "b", "sampling": {"guidance": 2.0}}]
    board = Storyboard.model_validate({"sampling": {"steps": 3}, "panels": panels})
    (text,) = storyboard_to_tensors(board)["STORYBOARD"].tolist()
    assert json.loads(text) == {
        "sampling": {"steps": 3},
        "panels": [
            {"prompt": "a", "seed": 0},
            {"prompt": "b", "seed": 1, "sampling": {"guidance": 2.0}},
        ],
    }


def test_elements_are_plain_bytes_of_whatever_class_they_were_given() -> None:
    class Named(bytes):
        pass

    assert [type(element) for element in bytes_tensor(Named(b"a"), b"b")] == [bytes, bytes]
