"""Characters enrolled by pictures and found again."""

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from lafi.board.image_file import ImageFileError
from lafi.engine.onnx.describer import Describer, load_describer
from lafi.engine.onnx.recogniser import OnnxRecogniser, load_recogniser
from lafi.identity.enrolments import EnrolmentError
from lafi.identity.service import MAX_IMAGES, Identity, open_identity


def png(seed: int, size: tuple[int, int] = (16, 16)) -> bytes:
    """A picture of 16 coloured squares."""
    squares = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(squares).resize(size, Image.Resampling.NEAREST).save(buffer, format="PNG")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def recogniser(recogniser_folder: Path) -> OnnxRecogniser:
    return load_recogniser(recogniser_folder, threads=1)


@pytest.fixture
def identity(recogniser: OnnxRecogniser, tmp_path: Path) -> Identity:
    return open_identity(recogniser, tmp_path / "state")


@settings(deadline=None, max_examples=20)
@given(
    st.dictionaries(
        st.sampled_from(("mia", "tom", "ann", "zoe")),
        st.sets(st.integers(0, 40), min_size=1, max_size=4),
        min_size=1,
    )
)
def test_who_was_enrolled_is_identified_with_score_1(
    recogniser: OnnxRecogniser,
    tmp_path_factory: pytest.TempPathFactory,
    cast: dict[str, set[int]],
) -> None:
    identity = open_identity(recogniser, tmp_path_factory.mktemp("cast"))
    for place, (name, seeds) in enumerate(cast.items()):
        # Pictures that no other has.
        images = [png(100 * place + seed) for seed in seeds]
        assert identity.enrol(name, images) == len(images)
    assert identity.characters() == tuple(sorted(cast))
    for place, (name, seeds) in enumerate(cast.items()):
        for seed in seeds:
            match = identity.identify(png(100 * place + seed))
            assert match.character == name
            assert match.score == pytest.approx(1.0, abs=1e-5)


def test_somebody_below_the_threshold_is_unknown(identity: Identity) -> None:
    assert identity.identify(png(1)) == ("", -1.0)
    identity.enrol("mia", [png(1)])
    match = identity.identify(png(2))
    assert match.character == ""
    assert -1 <= match.score < identity.recogniser.info.threshold
    assert identity.forget("mia") == 1
    assert identity.identify(png(1)).character == ""


def test_a_picture_of_any_size_is_the_same_picture(identity: Identity) -> None:
    identity.enrol("mia", [png(1, (64, 64))])
    assert identity.identify(png(1, (16, 16))).character == "mia"


@pytest.mark.parametrize("name", ["", "m.ia", "../mia", "mia\n", "m" * 65, "mia tom"])
def test_a_name_that_is_not_allowed_is_refused(identity: Identity, name: str) -> None:
    with pytest.raises(EnrolmentError, match=r"character: got .*, allowed: a name of 1 to 64"):
        identity.enrol(name, [png(1)])
    with pytest.raises(EnrolmentError, match="character: got"):
        identity.forget(name)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ([], "images: got 0, allowed: 1 to 16"),
        (
            [b""],
            r"images\[0\]: got an empty file, allowed: a PNG, JPEG",
        ),
        ([png(1), b"text"], r"images\[1\]: got 4 bytes that are no image"),
        ([png(1, (4, 4))], r"images\[0\]: got a PNG image of 4 x 4 pixels, allowed: 8 to 4096"),
        ([png(1)[:60]], r"images\[0\]: got a file that ends too early"),
        ([png(1)] * (MAX_IMAGES + 1), "images: got 17"),
    ],
)
def test_one_bad_image_leaves_all_as_it_was(
    identity: Identity, images: list[bytes], message: str
) -> None:
    with pytest.raises(EnrolmentError, match=message):
        identity.enrol("mia", images)
    assert identity.characters() == ()


def test_a_bad_image_cannot_be_identified(identity: Identity) -> None:
    with pytest.raises(ImageFileError, match="got an empty file"):
        identity.identify(b"")


@pytest.fixture
def described(describer_folder: Path, tmp_path: Path) -> Identity:
    seeing = load_recogniser(describer_folder, threads=1)
    describer: Describer = load_describer(describer_folder, seeing.info, threads=1)
    return open_identity(seeing, tmp_path / "state", describer)


def test_descriptions_count_beside_pictures_and_lines_are_joined(described: Identity) -> None:
    described.enrol("mia", [png(1)])
    alone = described.identify(png(2)).score
    assert described.enrol("mia", [png(1)], "a child\n with  red hair") == 1
    fused = described.identify(png(2)).score
    described.enrol("mia", [png(1)], "a child with red hair")
    assert described.identify(png(2)).score == fused
    described.enrol("mia", [png(3)])
    assert described.forget("mia") == 2
    described.enrol("mia", [png(1)])
    assert described.identify(png(2)).score == alone != fused


@pytest.mark.parametrize(
    ("text", "got"), [("a\0b", "got "), ("{mia}", "got '{mia}'"), ("x" * 8193, "got ")]
)
def test_a_description_that_is_not_allowed_changes_nothing(
    described: Identity, text: str, got: str
) -> None:
    with pytest.raises(EnrolmentError, match="description: ") as refused:
        described.enrol("mia", [png(1)], text)
    assert got in str(refused.value)
    assert "at most 8192 bytes of text without control characters or braces" in str(refused.value)
    assert described.characters() == ()


def test_a_description_without_a_text_tower_is_refused(identity: Identity) -> None:
    with pytest.raises(EnrolmentError, match="description: got 'red hair', allowed: none: the"):
        identity.enrol("mia", [png(1)], "red hair")
    assert identity.characters() == ()
