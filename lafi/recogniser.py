"""The recogniser: pictures of characters as vectors, near each other where the character is one.

Knows pictures, not who is in them. Imports no torch, so that the served models start at once.
"""

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image
from pydantic import ValidationError

from lafi import image_file
from lafi.engine.session import ArtifactsError, Session, check_file, file_sha256, open_session
from lafi.letterbox import Pixels, fit, fit_pixels
from lafi.model_info import ModelInfo, RecogniserInfo
from lafi.model_spec import IMAGE, identity_spec

Infer = Callable[[str, Mapping[str, npt.NDArray[Any]]], Mapping[str, npt.NDArray[Any]]]
"""(served model, inputs by name) -> outputs by name, as `lafi.remote_engine.Infer`."""
Embeddings = npt.NDArray[np.float32]
"""(n, D), each row of unit length, so that the product of two rows is their cosine."""

RECOGNISER: Final = "recogniser"
"""The folder of an exported model that holds it."""
STUDENT: Final = "student.onnx"
INFO: Final = "recogniser.json"
DESCRIBER: Final = "describer.onnx"
"""Its text tower, if it has one."""
FILES: Final = (STUDENT, INFO)
"""What is served: the student. Its teacher has the same interface and is larger."""
MAX_BATCH: Final = 16
"""Pictures in one call of the network."""

_UNIT_TOLERANCE = 1e-3


class Recogniser(Protocol):
    """What turns pictures into embeddings, here or in a served model."""

    @property
    def info(self) -> RecogniserInfo:
        """Its sizes and threshold."""

    @property
    def sha256(self) -> str:
        """Of the network's file: embeddings of one recogniser mean nothing to another."""

    def __call__(self, pictures: Sequence[Pixels], /) -> Embeddings:
        """RGB uint8 (H, W, 3) of any sizes, one or more -> (n, D)."""


class OnnxRecogniser:
    """`Recogniser` on an ONNX file: `image` (B, 3, S, S) in [-1, 1] -> `embedding` (B, D)."""

    def __init__(self, run: Session, info: RecogniserInfo, sha256: str) -> None:
        self._run = run
        self.info = info
        self.sha256 = sha256

    def __call__(self, pictures: Sequence[Pixels]) -> Embeddings:
        """As `Recogniser`; pictures are letterboxed to S x S."""
        side = self.info.side
        return self.embed(np.stack([_row(fit_pixels(each, side, side)) for each in pictures]))

    def embed(self, rows: npt.NDArray[np.float32]) -> Embeddings:
        """(B, 3, S, S) float32 in [-1, 1] -> (B, D); ArtifactsError for anything else than that."""
        chunks = (rows[start : start + MAX_BATCH] for start in range(0, len(rows), MAX_BATCH))
        given, width = f"{STUDENT}: embedding", self.info.width
        return np.concatenate(
            [unit_rows(self._run({"image": chunk})[0], width, given) for chunk in chunks]
        )


def unit_rows(embeddings: Embeddings, width: int, given: str) -> Embeddings:
    """What a network gave, if it is (B, width) and each row of unit length.

    given: of whom, for the error. Raises ArtifactsError.
    """
    if embeddings.ndim != 2 or embeddings.shape[1] != width:
        raise ArtifactsError(f"{given}: got shape {embeddings.shape}, allowed (B, {width})")
    lengths = np.linalg.norm(embeddings, axis=1)
    if not bool((np.abs(lengths - 1) <= _UNIT_TOLERANCE).all()):
        raise ArtifactsError(f"{given}: got lengths {lengths[:4]}, allowed 1")
    return embeddings.astype(np.float32, copy=False)


def letterboxed_row(data: bytes, side: int) -> npt.NDArray[np.float32]:
    """An image file as the network sees it, (3, S, S) float32 in [-1, 1].

    Raises `image_file.ImageFileError` for a file that is no allowed reference image.
    """
    image_file.check_header(data)
    return _row(fit(image_file.decode(data), side, side).pixels)


def _row(pixels: Pixels) -> npt.NDArray[np.float32]:
    return np.ascontiguousarray(pixels.transpose(2, 0, 1)).astype(np.float32) / 127.5 - 1.0


class RemoteRecogniser:
    """`Recogniser` by calls of the served model `identity`, whose batching joins them with others.

    Pictures travel as small PNG files, letterboxed already, which changes no pixel that the
    network sees.
    """

    def __init__(self, model: ModelInfo, infer: Infer) -> None:
        """model: one that was exported with a recogniser. Raises ArtifactsError for others."""
        self.info = facts_of(model)
        self.sha256 = self.info.sha256[STUDENT]
        self._spec = identity_spec(self.info)
        self._infer = infer

    def __call__(self, pictures: Sequence[Pixels]) -> Embeddings:
        """As `Recogniser`."""
        return np.concatenate([*self._calls([self._file(picture) for picture in pictures])])

    def _calls(self, files: Sequence[bytes]) -> Iterator[Embeddings]:
        for start in range(0, len(files), self._spec.max_batch_size):
            rows = files[start : start + self._spec.max_batch_size]
            column = np.array(rows, dtype=object).reshape(-1, 1)
            answer = self._infer(self._spec.name, {IMAGE: column})[self._spec.outputs[0].name]
            # A copy: the array may lie in memory that is given back when the response goes.
            yield np.array(answer, dtype=np.float32)

    def _file(self, pixels: Pixels) -> bytes:
        buffer = io.BytesIO()
        fitted = fit_pixels(pixels, self.info.side, self.info.side)
        Image.fromarray(fitted, mode="RGB").save(buffer, format="PNG", compress_level=1)
        return buffer.getvalue()


def load_recogniser(folder: Path, threads: int = 0) -> OnnxRecogniser:
    """A recogniser's folder, ready to run in ONNX Runtime.

    threads: CPU threads, 0 for all cores.
    Raises ArtifactsError for a folder that lacks a file, or a network with another interface.
    """
    info = _with_its_describer(read_recogniser_info(folder), Path(folder) / DESCRIBER)
    path = Path(folder) / STUDENT
    if not path.is_file():
        raise ArtifactsError(f"{path}: no such file; allowed: a folder with {STUDENT} and {INFO}")
    recogniser = OnnxRecogniser(
        open_session(path, "onnxruntime", "f32", threads), info, file_sha256(path)
    )
    _try_once(recogniser, path)
    return recogniser


def _with_its_describer(info: RecogniserInfo, path: Path) -> RecogniserInfo:
    """Naming the text tower's hash, as an exported model does: enrolled words belong to it."""
    if info.describer is None or not path.is_file():
        return info
    return info.model_copy(update={"sha256": {**info.sha256, DESCRIBER: file_sha256(path)}})


def _try_once(recogniser: OnnxRecogniser, path: Path) -> None:
    side = recogniser.info.side
    ramp = np.linspace(-1, 1, 2 * 3 * side * side, dtype=np.float32).reshape(2, 3, side, side)
    try:
        recogniser.embed(ramp)
    except ArtifactsError:
        raise
    except Exception as error:
        # ONNX Runtime has a type of its own for every failure, and names inputs and shapes in it.
        wanted = f"image (B, 3, {side}, {side}) -> embedding (B, {recogniser.info.width})"
        raise ArtifactsError(f"{path}: got a network that fails ({error}), allowed {wanted}") from (
            error
        )


def read_recogniser_info(folder: Path) -> RecogniserInfo:
    """What `recogniser.json` says. Raises ArtifactsError."""
    path = Path(folder) / INFO
    try:
        return RecogniserInfo.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise ArtifactsError(
            f"{path}: no such file; allowed: a folder with {STUDENT} and {INFO}"
        ) from None
    except (OSError, ValidationError) as error:
        raise ArtifactsError(f"{path}: {error}") from error


def exported_recogniser(artifacts: Path, info: ModelInfo, threads: int = 0) -> OnnxRecogniser:
    """The recogniser in an exported folder, whose facts are `info`.

    Raises ArtifactsError for a missing or changed file, and where there is no recogniser.
    """
    facts = facts_of(info)
    folder = Path(artifacts) / RECOGNISER
    for name in FILES:
        check_file(folder / name, facts.sha256.get(name))
    return load_recogniser(folder, threads=threads)


def facts_of(info: ModelInfo) -> RecogniserInfo:
    """What an exported model says of its recogniser; ArtifactsError if it has none."""
    if info.recogniser is None:
        again = "export it with: lafi export CHECKPOINT --recogniser FOLDER"
        raise ArtifactsError(f"{info.name}: got no recogniser, allowed one; {again}")
    return info.recogniser
