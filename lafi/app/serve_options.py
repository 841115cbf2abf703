"""The options of `lafi serve` that the served models read."""

from collections.abc import Mapping
from pathlib import Path

import typer

from lafi.board.default_recipe import load_default_recipe
from lafi.board.error import StoryboardError
from lafi.board.safety_words import SAFETY, SAFETY_WORDS, load_safety
from lafi.front.control import PeerSettings, TlsFiles
from lafi.front.peers import check_template
from lafi.model.artifacts import ARTIFACTS, ArtifactsError
from lafi.model.classifier_files import PUT_IN, read_classifier_info
from lafi.model.info import MODEL_INFO_FILE
from lafi.server.exposure import Exposure
from lafi.server.triton_server import DEFAULT_RECIPE
from lafi.store.settings import BESIDE_STATE, RETENTION_DAYS, STORE, STORE_MEGABYTES
from lafi.wire.pods import pod_of


def models_environment(
    repository: Path,
    default_recipe: str | None,
    store: tuple[str, int, int],
    safety: str | None,
    safety_words: Path | None,
) -> Mapping[str, str]:
    """All that the models are told. store: place, MiB, days. Raises typer.BadParameter.

    Says so where words in prompts are looked at and the repository has nothing to look at pictures.
    A folder that is no repository is refused later, by `serve_command`.
    """
    found = {
        **recipe_environment(default_recipe),
        **store_environment(*store),
        **safety_environment(safety, safety_words),
    }
    artifacts = repository / ARTIFACTS
    if found.get(SAFETY, "off") != "off" and (artifacts / MODEL_INFO_FILE).is_file():
        try:
            classifier = read_classifier_info(artifacts)
        except ArtifactsError as error:
            raise typer.BadParameter(str(error), param_hint="--safety") from None
        if classifier is None:
            typer.echo(f"note: --safety looks at prompts, not at pictures: {PUT_IN}", err=True)
    return found


def safety_environment(setting: str | None, file: Path | None) -> Mapping[str, str]:
    """The environment that tells the models what to do about words in prompts.

    setting None: as the repository has it. Raises typer.BadParameter for another setting than
    off, flag and refuse, for a file that is none, and for a file without a setting.
    """
    if setting is None:
        if file is not None:
            raise typer.BadParameter(
                "only with --safety flag or refuse", param_hint="--safety-words"
            )
        return {}
    try:
        load_safety(setting, file)
    except StoryboardError as error:
        raise typer.BadParameter(str(error), param_hint="--safety") from None
    more = {} if file is None else {SAFETY_WORDS: str(file.absolute())}
    return {SAFETY: setting, **more}


def recipe_environment(default_recipe: str | None) -> Mapping[str, str]:
    """The environment that gives the models a default recipe: a recipe's name, or a file.

    Raises typer.BadParameter for one that is neither.
    """
    if default_recipe is None:
        return {}
    try:
        load_default_recipe(default_recipe, Path.cwd())
    except StoryboardError as error:
        raise typer.BadParameter(str(error), param_hint="--default-recipe") from None
    file = Path.cwd() / default_recipe
    return {DEFAULT_RECIPE: str(file) if file.is_file() else default_recipe}


def store_environment(store: str, mib: int, days: int) -> Mapping[str, str]:
    """The environment that tells the models where finished panels are kept.

    store: a folder or URL, `state` for the repository's own, `none` for nowhere. mib: the most.
    days: for how long, and for how long accepted storyboards.
    """
    if store == "none":
        return {}
    beside = store == BESIDE_STATE or "://" in store
    place = store if beside else str(Path.cwd() / store)
    return {STORE: place, STORE_MEGABYTES: str(mib), RETENTION_DAYS: str(days)}


def exposure_of(
    keys: Path | None,
    tls: tuple[Path | None, Path | None, Path | None],
    *,
    insecure: bool,
    open_parts: bool,
    envoy: bool,
) -> Exposure:
    """What protects the server. tls: certificate, key and the clients' CA.

    Raises typer.BadParameter for half of a pair.
    """
    certificate, key, client_ca = tls
    if (certificate is None) != (key is None):
        raise typer.BadParameter("--tls-certificate and --tls-key: give both or neither")
    if certificate is None or key is None:
        if client_ca is not None:
            raise typer.BadParameter("--tls-client-ca needs --tls-certificate and --tls-key")
        return Exposure(keys, None, insecure, open_parts, envoy)
    files = TlsFiles(
        certificate=str(certificate.absolute()),
        key=str(key.absolute()),
        client_ca=str(client_ca.absolute()) if client_ca else "",
    )
    return Exposure(keys, files, insecure, open_parts, envoy)


def peers_of(pod: str, template: str, ca: Path | None, *, encrypted: bool) -> PeerSettings | None:
    """How this server finds the others behind its address; None for one that is alone.

    pod: its name. template: where the others are. ca: who signed their certificates. encrypted:
    whether this server has TLS, as they have then. Raises typer.BadParameter.
    """
    if not pod:
        if template or ca is not None:
            raise typer.BadParameter("needs --pod, the name of this one", param_hint="--peers")
        return None
    if ca is not None and not (encrypted and template):
        raise typer.BadParameter("needs --peers and --tls-certificate", param_hint="--peer-ca")
    if ca is not None and not ca.is_file():
        raise typer.BadParameter(f"{ca}: there is no such file", param_hint="--peer-ca")
    for option, check, text in (("--pod", pod_of, pod), ("--peers", check_template, template)):
        try:
            if text:
                check(text)
        except ValueError as error:
            raise typer.BadParameter(str(error), param_hint=option) from None
    return PeerSettings(pod=pod, template=template, ca=str(ca.absolute()) if ca else "")
