"""How the supervisor and the front talk: one JSON object a line, over the front's pipes.

The supervisor sends orders, the front tells its state, at once when it changes and otherwise
every half second, so that its silence says something too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from lafi.wire.pods import POD

TELL_SECONDS = 0.5
"""How often the front tells its state."""


class _Line(BaseModel):
    model_config = ConfigDict(frozen=True)

    def line(self) -> bytes:
        """The message as it is sent."""
        return self.model_dump_json().encode() + b"\n"


class Connect(_Line):
    """A run of Triton Server has begun: pass requests to it once its models are ready."""

    do: Literal["connect"] = "connect"
    run: int
    """Number of the run, which the front repeats in its state."""
    folder: str
    """The run's folder, absolute, or relative to the front's working directory."""
    models: tuple[str, ...]


class Close(_Line):
    """The run is over: end what is under way, and let nothing new pass."""

    do: Literal["close"] = "close"
    why: str
    retry_after: float


class Drain(_Line):
    """Let nothing new pass; what is under way goes on."""

    do: Literal["drain"] = "drain"
    retry_after: float


class State(_Line):
    """What the front knows. run: the last one that it was told of."""

    run: int = 0
    ready: bool = False
    """Whether that run takes requests."""
    draining: bool = False
    """Whether it heard that nothing new may pass."""
    in_flight: int = 0
    """Requests that clients wait for."""
    canary: bool = False
    """Whether the canary is under way."""
    failure: str = ""
    """Why the canary could not be drawn, although an earlier one of this run was."""


class TlsFiles(_Line):
    """PEM files, by their paths."""

    certificate: str
    """The server's, with those between it and its root."""
    key: str
    client_ca: str = ""
    """Whose certificates clients must have; "": clients need none."""

    def paths(self) -> tuple[str, ...]:
        """Those that are given."""
        return tuple(filter(None, (self.certificate, self.key, self.client_ca)))


class PeerSettings(_Line):
    """How a front finds the other servers behind its address."""

    pod: str
    """The name of this one, as `lafi.wire.pods.pod_of` takes it."""
    template: str = ""
    """"host:port" of any of them, with {pod} or {ordinal} once in the host; "": none is reached."""
    ca: str = ""
    """PEM: who signed their certificates; "": the usual authorities."""
    encrypted: bool = False
    """Whether they speak TLS."""
    certificate: str = ""
    """PEM: shown to them where they want one from clients; "": none."""
    key: str = ""

    def like(self, own: TlsFiles | None) -> PeerSettings:
        """They speak as this server does. own: its files; None: it speaks without encryption."""
        if own is None:
            return self
        shown = {"certificate": own.certificate, "key": own.key} if own.client_ca else {}
        return self.model_copy(update={"encrypted": True, **shown})

    def environment(self) -> Mapping[str, str]:
        """What the served models must know."""
        return {POD: self.pod}

    def files(self) -> tuple[str, ...]:
        """Those that are given."""
        return tuple(filter(None, (self.ca, self.certificate, self.key)))


class FrontSettings(_Line):
    """What the front is started with."""

    address: str
    """"host:port" to listen on."""
    artifacts: str
    """The exported model's folder, for the canary."""
    request_bytes: int
    canary_seconds: float
    """After how long without a request the canary is drawn; 0: never."""
    bytes_in_flight: int = 2**29
    """Of the requests of all clients that are under way."""
    unread_seconds: float = 30.0
    """For how long a client may leave an answer unread."""
    keys: str = ""
    """The file of API keys; "": everybody may do everything."""
    open_parts: bool = False
    """Whether clients reach the served parts too."""
    tls: TlsFiles | None = None
    """None: clients speak without encryption."""
    peers: PeerSettings | None = None
    """None: this server is alone behind its address."""


Order = Annotated[Connect | Close | Drain, Field(discriminator="do")]
_ORDERS: TypeAdapter[Connect | Close | Drain] = TypeAdapter(Order)


def order_in(line: bytes) -> Connect | Close | Drain:
    """The order in a line."""
    return _ORDERS.validate_json(line)


def state_in(line: bytes) -> State:
    """The front's state in a line."""
    return State.model_validate_json(line)


def command_of_front(settings: FrontSettings, python: str) -> Sequence[str]:
    """The command that starts the front; its working directory must be that of the runs."""
    return [python, "-P", "-m", "lafi.front", settings.model_dump_json()]
