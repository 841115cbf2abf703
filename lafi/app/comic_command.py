"""`lafi comic`: a story to the pages of a comic, through a running server."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lafi.app.access_options import ApiKey, TlsCa, TlsCertificate, TlsKey, access_of
from lafi.app.critic_options import Candidates, Changes, CriticName, critic_options
from lafi.app.drawing_options import DEFAULT_URL, Upscale
from lafi.app.page_command import Captions, Font, Formats, Layout, Order, Size
from lafi.app.refused import said_why
from lafi.app.signing_options import SignCertificate, SignKey, signing_of
from lafi.app.story_command import (
    Encoding,
    Llm,
    LlmModel,
    LlmPrice,
    LlmTimeout,
    MostPanels,
    Novel,
    Poses,
    Protected,
    Record,
    RecurringPlaces,
    RecurringProps,
    Replay,
    StoryTitle,
    StoryVocabulary,
)

app = typer.Typer()


@app.command()
def comic(
    novel: Novel,
    out: Annotated[
        Path, typer.Option(help="Folder for story.yaml, its steps, the panels and the pages.")
    ],
    server: Annotated[
        str, typer.Option(help="HOST:PORT of the server's gRPC.", envvar="LAFI_URL")
    ] = DEFAULT_URL,
    panels: MostPanels = 0,
    title: StoryTitle = "",
    encoding: Encoding = "",
    vocabulary: StoryVocabulary = None,
    upscale: Upscale = None,
    layout: Layout = "grid",
    order: Order = "ltr",
    size: Size = "",
    formats: Formats = "png",
    captions: Captions = "sentence",
    font: Font = None,
    llm: Llm = "",
    llm_model: LlmModel = "",
    llm_timeout: LlmTimeout = 300.0,
    llm_price: LlmPrice = "",
    record: Record = None,
    replay: Replay = None,
    critic: CriticName = "",
    candidates: Candidates = 1,
    changes: Changes = None,
    protected: Protected = None,
    places: RecurringPlaces = None,
    props: RecurringProps = None,
    poses: Poses = None,
    sign_key: SignKey = None,
    sign_certificate: SignCertificate = None,
    api_key: ApiKey = "",
    tls_ca: TlsCa = None,
    tls_certificate: TlsCertificate = None,
    tls_key: TlsKey = None,
) -> None:
    """Plan a story, draw it with a running server and lay it out; again: what is missing."""
    with said_why(1, "story"):
        from lafi.app.comic import PageForm
        from lafi.app.comic import comic as make
        from lafi_story.llm.options import LlmOptions
        from lafi_story.plan import Plan

        given = (llm, llm_model, record, replay, llm_timeout, llm_price)
        asked = LlmOptions(*given)
        code = make(
            novel,
            out,
            server,
            plan=Plan(panels, title, encoding, vocabulary, asked, protected, places, props, poses),
            form=PageForm(layout, order, size, formats, captions, font),
            upscale=upscale,
            signing=signing_of(sign_key, sign_certificate),
            access=access_of(api_key, tls_ca, tls_certificate, tls_key),
            judges=critic_options(critic, candidates, changes, given, plans=True),
        )
    raise typer.Exit(code)
