"""Answers for the served models `identity` and `identity_enrolment`.

Knows tensors and an `Identity`, not Triton Server.
"""

from collections.abc import Callable, Sequence

import numpy as np

from lafi.board.error import StoryboardError
from lafi.engine.onnx.recogniser import OnnxRecogniser
from lafi.identity.enrolments import EnrolmentDatabaseError, EnrolmentError
from lafi.identity.service import Identity
from lafi.serving.batched_engine import Answer, Array, InputError
from lafi.wire.identity import Tensors, enrolment_from_tensors, pictures_to_tensors
from lafi.wire.model_spec import bytes_tensor


class IdentityEngine:
    """An engine for `BatchedEngine`: the network's input -> EMBEDDING, CHARACTER and SCORE."""

    def __init__(self, recogniser: OnnxRecogniser, identity: Identity) -> None:
        """Reads the enrolments now, so that a damaged file fails when the model is loaded."""
        self._recogniser = recogniser
        self._identity = identity
        identity.characters()

    def __call__(self, rows: Array) -> tuple[Array, ...]:
        """(B, 3, S, S) float32 -> (B, D) and (B, 1) float32, BYTES (B, 1) between them."""
        embeddings = self._recogniser.embed(rows)
        matches = self._identity.matches(embeddings)
        names = bytes_tensor(*(match.character.encode() for match in matches))
        scores = np.array([match.score for match in matches], dtype=np.float32)
        return embeddings, names.reshape(-1, 1), scores.reshape(-1, 1)


def answer_enrolment(
    identity: Identity, inputs: Tensors, erase: Callable[[Sequence[str]], None] = lambda _: None
) -> Answer:
    """The outputs of `enrolment_spec`, or an error: InputError if the request is at fault.

    erase: what was made of pictures with these SHA-256, wherever it is kept. It comes before the
    character is forgotten, so that it can be tried again if it fails.
    """
    try:
        request = enrolment_from_tensors(inputs)
        if request.action == "forget":
            erase(identity.pictures(request.character))
            return pictures_to_tensors(identity.forget(request.character))
        pictures = identity.enrol(request.character, request.images, request.description)
        return pictures_to_tensors(pictures)
    except EnrolmentDatabaseError as error:
        return error
    except (StoryboardError, EnrolmentError) as error:
        return InputError(str(error))
    except Exception as error:
        return error
