"""The `lafi` command: serve, compare, export, doctor, and those of other files here.

Defines options only. Each subcommand imports its code when it runs, so that `lafi draw` works
without torch and without the server.
"""

from __future__ import annotations

import importlib.metadata
from pathlib import Path
from typing import Annotated

import typer

from lafi.app.access_options import ApiKey, TlsCa, TlsCertificate, TlsKey, access_of
from lafi.app.client_commands import app as client_app
from lafi.app.comic_command import app as comic_app
from lafi.app.draw_command import app as draw_app
from lafi.app.drawing_options import (
    DEFAULT_URL,
    IdleTimeout,
    NegativeFile,
    Panels,
    Recipe,
    Recipes,
    Retries,
    Settings,
    Timeout,
    Trigger,
    Url,
)
from lafi.app.edit_command import app as edit_app
from lafi.app.export_commands import app as export_app
from lafi.app.key_commands import app as keys_app
from lafi.app.missing import needs
from lafi.app.page_command import app as page_app
from lafi.app.probe_command import app as probe_app
from lafi.app.refine_command import app as refine_app
from lafi.app.serving_options import (
    CanarySeconds,
    ClientCa,
    Grace,
    HealthPort,
    Host,
    Insecure,
    Keys,
    LogFile,
    OpenHttp,
    OpenParts,
    PeerCa,
    PeerTemplate,
    PodName,
    Port,
    Repository,
    RequestMib,
    RequestsMib,
    RetentionDays,
    SafetyChoice,
    SafetyFile,
    ServedRecipe,
    ServerCertificate,
    ServerKey,
    StartupSeconds,
    StoreMib,
    StorePlace,
    Threads,
    TritonServer,
    UnreadSeconds,
    UseEnvoy,
    Verbose,
)
from lafi.app.store_commands import app as store_app
from lafi.app.story_command import app as story_app

app = typer.Typer(
    name="lafi",
    help="Draws storyboards whose characters look the same in every panel.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.add_typer(draw_app)
app.add_typer(export_app)
app.add_typer(probe_app)
app.add_typer(store_app)
app.add_typer(keys_app)
app.add_typer(client_app)
app.add_typer(story_app)
app.add_typer(edit_app)
app.add_typer(refine_app)
app.add_typer(page_app)
app.add_typer(comic_app)


def main() -> None:
    """Entry point of the `lafi` script."""
    app()


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"lafi {importlib.metadata.version('lafi')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Say it and end."),
    ] = False,
) -> None:
    """Draws storyboards whose characters look the same in every panel."""


@app.command()
def serve(
    repository: Repository,
    host: Host = "127.0.0.1",
    grpc_port: Port = 8001,
    health_port: HealthPort = 8002,
    http: OpenHttp = False,
    http_port: Port = 8000,
    grace: Grace = 25.0,
    request_mib: RequestMib = 128,
    requests_mib: RequestsMib = 512,
    unread_seconds: UnreadSeconds = 30.0,
    canary_seconds: CanarySeconds = 60.0,
    startup_seconds: StartupSeconds = 300,
    threads: Threads = None,
    log_file: LogFile = None,
    default_recipe: ServedRecipe = None,
    safety: SafetyChoice = None,
    safety_words: SafetyFile = None,
    store: StorePlace = "state",
    store_mib: StoreMib = 4096,
    retention_days: RetentionDays = 7,
    verbose: Verbose = False,
    keys: Keys = None,
    tls_certificate: ServerCertificate = None,
    tls_key: ServerKey = None,
    tls_client_ca: ClientCa = None,
    insecure: Insecure = False,
    open_parts: OpenParts = False,
    envoy: UseEnvoy = False,
    pod: PodName = "",
    peers: PeerTemplate = "",
    peer_ca: PeerCa = None,
    triton_server: TritonServer = None,
) -> None:
    """Serve a model repository until Ctrl-C; what dies is started again."""
    with needs("serve"):
        from lafi.app.serve_options import exposure_of, models_environment, peers_of
        from lafi.server.command import serve_command
        from lafi.server.serve_settings import ServeSettings
    tls, kept = (tls_certificate, tls_key, tls_client_ca), (store, store_mib, retention_days)
    settings = ServeSettings(
        host=host,
        grpc_port=grpc_port,
        health_port=health_port,
        http_port=http_port if http else None,
        threads=threads,
        log_file=log_file,
        environment=models_environment(repository, default_recipe, kept, safety, safety_words),
        verbose=verbose,
        grace=grace,
        request_mib=request_mib,
        requests_mib=requests_mib,
        unread_seconds=unread_seconds,
        canary_seconds=canary_seconds,
        startup_seconds=startup_seconds,
        exposure=exposure_of(keys, tls, insecure=insecure, open_parts=open_parts, envoy=envoy),
        peers=peers_of(pod, peers, peer_ca, encrypted=tls_certificate is not None),
        triton_server=triton_server,
    )
    raise typer.Exit(serve_command(repository, settings))


@app.command()
def compare(
    story: Annotated[Path, typer.Argument(help="A storyboard, YAML or JSON.", show_default=False)],
    vary: Annotated[
        list[str],
        typer.Option(
            metavar="FIELD=VALUE,VALUE",
            help="What differs between rows, such as sampling.stages.0.guidance=2,4,6; may be "
            "given again for every combination.",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for compare.png.")] = Path(
        "out/compare"
    ),
    url: Url = DEFAULT_URL,
    panel: Panels = None,
    recipe: Recipe = None,
    recipes: Recipes = None,
    settings: Settings = None,
    trigger: Trigger = "",
    negative_file: NegativeFile = None,
    timeout: Timeout = 3600.0,
    idle_timeout: IdleTimeout = 60.0,
    retries: Retries = 30,
    api_key: ApiKey = "",
    tls_ca: TlsCa = None,
    tls_certificate: TlsCertificate = None,
    tls_key: TlsKey = None,
) -> None:
    """Draw a storyboard with different settings, side by side in one labelled picture."""
    with needs(""):
        from lafi_client.comparison import compare as compare_command
        from lafi_client.story_file import Overrides
    code = compare_command(
        story,
        out=out,
        url=url,
        variations=vary,
        overrides=Overrides(recipe, recipes, tuple(settings or ()), trigger, negative_file),
        panels=panel or None,
        timeout=timeout,
        idle_timeout=idle_timeout,
        retries=retries,
        access=access_of(api_key, tls_ca, tls_certificate, tls_key),
    )
    raise typer.Exit(code)


@app.command()
def doctor(
    repository: Annotated[
        Path | None, typer.Option(help="Also look at this model repository.")
    ] = None,
    grpc_port: Port = 8001,
    health_port: Port = 8002,
) -> None:
    """Say what this machine can do and what is missing (exit 1: it cannot draw)."""
    from lafi.app.doctor import doctor_command

    ports = {"grpc": grpc_port, "health": health_port}
    raise typer.Exit(doctor_command(repository=repository, ports=ports))


if __name__ == "__main__":
    main()
