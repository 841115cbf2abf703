"""Requests to the served models of identity, without a server."""

import hashlib
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lafi.engine.onnx.recogniser import OnnxRecogniser, load_recogniser
from lafi.identity.enrolments import EnrolmentDatabaseError
from lafi.identity.service import Identity, open_identity
from lafi.serving.batched_engine import Answer, BatchedEngine, InputError, image_rows
from lafi.serving.identity_engine import IdentityEngine, answer_enrolment
from lafi.wire.identity import Enrolment, enrolment_to_tensors
from lafi.wire.model_spec import bytes_tensor, identity_spec


def png(seed: int) -> bytes:
    squares = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(squares).resize((16, 16)).save(buffer, format="PNG")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def recogniser(recogniser_folder: Path) -> OnnxRecogniser:
    return load_recogniser(recogniser_folder, threads=1)


@pytest.fixture
def identity(recogniser: OnnxRecogniser, tmp_path: Path) -> Identity:
    return open_identity(recogniser, tmp_path / "state")


def enrol(identity: Identity, name: str, *images: bytes) -> Answer:
    return answer_enrolment(identity, enrolment_to_tensors(Enrolment("enrol", name, images)))


def column(*images: bytes) -> np.ndarray:
    return bytes_tensor(*images).reshape(-1, 1)


def test_a_bad_image_fails_its_own_request_in_a_batch(
    recogniser: OnnxRecogniser, identity: Identity
) -> None:
    assert enrol(identity, "mia", png(1), png(2)) == (np.array([2]),)
    spec = identity_spec(recogniser.info)
    engine = BatchedEngine(
        spec, IdentityEngine(recogniser, identity), prepare=image_rows(recogniser.info.side)
    )
    requests = [column(png(1)), column(b"text"), column(png(3), png(2)), column(png(1), b"")]
    first, second, third, fourth = engine.answer(requests)
    assert isinstance(first, tuple)
    assert isinstance(third, tuple)
    assert [output.shape for output in third] == [(2, *each.shape) for each in spec.outputs]
    assert first[1].tolist() == [[b"mia"]]
    assert third[1].tolist() == [[b""], [b"mia"]]
    assert third[2].dtype == np.float32
    for refused, got in ((second, "4 bytes that are no image"), (fourth, "an empty file")):
        assert isinstance(refused, InputError)
        assert str(refused).startswith(f"IMAGE: got {got}, allowed: ")


def test_an_enrolment_is_answered_or_refused(identity: Identity) -> None:
    assert enrol(identity, "mia", png(1)) == (np.array([1]),)
    for answer in (enrol(identity, "Mia!", png(1)), enrol(identity, "mia", b"text")):
        assert isinstance(answer, InputError)
    forget = enrolment_to_tensors(Enrolment("forget", "mia", ()))
    assert answer_enrolment(identity, forget) == (np.array([1]),)
    assert answer_enrolment(identity, forget) == (np.array([0]),)


def test_what_was_made_of_a_characters_pictures_is_erased_before_it_is_forgotten(
    identity: Identity,
) -> None:
    for name, picture in (("mia", png(1)), ("mia", png(2)), ("tom", png(3))):
        enrol(identity, name, picture)
    forget = enrolment_to_tensors(Enrolment("forget", "mia", ()))
    erased: list[str] = []

    def fails(pictures: Sequence[str]) -> None:
        raise OSError("the store cannot be reached")

    assert isinstance(answer_enrolment(identity, forget, fails), OSError)
    assert answer_enrolment(identity, forget, erased.extend) == (np.array([2]),)
    assert sorted(erased) == sorted(hashlib.sha256(png(n)).hexdigest() for n in (1, 2))


def test_a_damaged_file_is_the_servers_fault_and_refused_at_load(
    recogniser: OnnxRecogniser, identity: Identity, tmp_path: Path
) -> None:
    enrol(identity, "mia", png(1))
    (path,) = (tmp_path / "state").glob("*.sqlite")
    path.write_bytes(b"something else")
    assert isinstance(enrol(identity, "tom", png(2)), EnrolmentDatabaseError)
    with pytest.raises(EnrolmentDatabaseError, match="none of enrolments"):
        IdentityEngine(recogniser, identity)


def test_enrolments_of_another_recogniser_are_named_in_the_log(
    recogniser: OnnxRecogniser, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other = OnnxRecogniser(lambda feed: (), recogniser.info, "ab" * 32)
    open_identity(recogniser, tmp_path).enrol("mia", [png(1)])
    assert caplog.text == ""
    assert open_identity(other, tmp_path).characters() == ()
    assert "got enrolments of another recogniser, allowed: of this one" in caplog.text
    assert "enrol each character again: lafi enrol NAME PICTURES" in caplog.text
