"""The client of the served models `identity` and `identity_enrolment`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

import grpc
import numpy.typing as npt
from tritonclient.grpc import service_pb2_grpc

from lafi.wire.identity import (
    ENROLMENT,
    IDENTITY,
    Enrolment,
    Identified,
    enrolment_to_tensors,
    identified_from_tensors,
    image_to_tensors,
    pictures_from_tensors,
)
from lafi_client.access import key_metadata
from lafi_client.channel import credentials_for, open_channel, parse_target
from lafi_client.errors import IdentityRefused, StoryboardRefused, error_from_status
from lafi_client.wire import bytes_request, tensors_in


class IdentityClient:
    """Enrols and identifies characters on the server at `url` (host:port of its gRPC port).

    timeout      seconds for one call
    credentials  for TLS; default: none, or the usual authorities for a url with grpcs://
    api_key      of a server with keys; it is sent with every call and written nowhere

    Use it as a context manager. Threads may share one client; the server batches their requests
    into one call of its network. Every call raises IdentityRefused if the server refuses the
    input, ServerUnavailable if no server answers or it has no recogniser, and DrawTimeout.
    Enrolling the same pictures again changes nothing, so `enrol` is safe to repeat.
    """

    def __init__(
        self,
        url: str = "127.0.0.1:8001",
        *,
        timeout: float = 60.0,
        credentials: grpc.ChannelCredentials | None = None,
        api_key: str = "",
    ) -> None:
        self._target = parse_target(url)
        self._timeout = timeout
        self._channel = open_channel(self._target, credentials_for(url, credentials))
        self._metadata = key_metadata(api_key)
        self._stub = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)

    def __enter__(self) -> IdentityClient:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the channel."""
        self._channel.close()

    def identify(self, image: bytes) -> Identified:
        """The character in a picture ("" if unknown), with its score and embedding.

        image: a file as a storyboard's reference, of 8 to 4096 pixels a side.
        """
        return identified_from_tensors(self._infer(IDENTITY, image_to_tensors(image)))

    def enrol(self, character: str, images: Sequence[bytes], description: str = "") -> int:
        """Add 1 to 16 pictures of a new or known character; returns how many it has now.

        description: its looks; refused if the server's recogniser has no text tower. It replaces
        an earlier description; "" keeps that.
        """
        request = Enrolment("enrol", character, tuple(images), description)
        return pictures_from_tensors(self._infer(ENROLMENT, enrolment_to_tensors(request)))

    def forget(self, character: str) -> int:
        """Remove a character; returns how many pictures it had."""
        request = Enrolment("forget", character)
        return pictures_from_tensors(self._infer(ENROLMENT, enrolment_to_tensors(request)))

    def _infer(
        self, model: str, tensors: Mapping[str, npt.NDArray[Any]]
    ) -> dict[str, npt.NDArray[Any]]:
        request = bytes_request(model, tensors)
        try:
            response = self._stub.ModelInfer(
                request, timeout=self._timeout, metadata=self._metadata
            )
        except grpc.RpcError as error:
            details = error.details()
            if error.code() is grpc.StatusCode.NOT_FOUND:
                details = f"{details} (was the server's model exported with --recogniser?)"
            raised = error_from_status(error.code(), details, self._target)
            if isinstance(raised, StoryboardRefused):
                text = str(raised).removeprefix("INVALID_ARGUMENT: ")
                raise IdentityRefused(text) from error
            raise raised from error
        return tensors_in(response)
