"""Peers with everything off draw what we draw without injection; with it, what they promise."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.evaluation.drawing import CheckpointDrawer
from benchmarks.evaluation.methods import Method
from benchmarks.evaluation.pairs import Group, ReferencePicture, Shown, Target
from benchmarks.peers.concatenating import Concatenating
from benchmarks.peers.drawing import load_peer_model
from benchmarks.peers.masactrl import MasaCtrl
from benchmarks.peers.reference_path import renoised
from benchmarks.peers.rows import Peer, Rows
from benchmarks.peers.story_diffusion import StoryDiffusion
from lafi.board.injection import Injection
from lafi.board.stages import SamplingStage
from lafi.drawing.images import encode_png
from lafi.engine.torch.engines import load_torch_engines
from lafi.model.families.unet import first_injected_layer
from lafi.model.info import ModelInfo
from lafi.sampling.noise_model import noise_model_of

SIDE = 32
STAGE = SamplingStage(steps=4, sampler="DPM++2M", guidance=3.0)
quick = settings(max_examples=20, deadline=None)


@pytest.fixture(scope="module")
def drawer(checkpoint: Path) -> CheckpointDrawer:
    return CheckpointDrawer(
        load_torch_engines(checkpoint), load_peer_model(checkpoint), STAGE, SIDE
    )


@pytest.fixture(scope="module")
def group() -> Group:
    rng = np.random.default_rng(0)
    blocks = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8).repeat(8, axis=0).repeat(8, axis=1)
    who = Shown({"hair": "red"}, "running")
    return Group(
        reference=ReferencePicture(who, encode_png(blocks, {})),
        caption="a child",
        description="a child with red hair",
        targets=(
            Target(who, "{who} is running on the beach", seed=3),
            Target(who, "{who} at night", seed=4),
        ),
    )


def layer(info: ModelInfo, preset: str) -> int:
    return first_injected_layer(info.layers, preset)  # type: ignore[arg-type]


def gap(drawer: CheckpointDrawer, group: Group, a: Method, b: Method) -> int:
    """Greatest difference of any pixel between two methods."""
    pairs = zip(drawer.draw(a, [group], 0), drawer.draw(b, [group], 0), strict=True)
    return max(int(np.abs(x.astype(int) - y.astype(int)).max()) for x, y in pairs)


def test_with_everything_off_the_pixels_are_those_of_none(
    drawer: CheckpointDrawer, group: Group
) -> None:
    none = Method("none", injection=Injection(layers="none"))
    count = len(drawer.engines.info.layers)
    off: list[Peer] = [
        Concatenating(first=count, stop=count),
        Concatenating(first=0, stop=count, start=0.0, end=0.0),
        MasaCtrl(first=count),
        MasaCtrl(first=0, start=1.0),
        StoryDiffusion(first=count),
    ]
    assert max(gap(drawer, group, none, Method("peer", peer=peer)) for peer in off) <= 2


@pytest.mark.parametrize("preset", ["all", "decoder"])
def test_concatenating_from_a_presets_layer_is_that_preset(
    drawer: CheckpointDrawer, group: Group, preset: str
) -> None:
    info = drawer.engines.info
    peer = Concatenating(first=layer(info, preset), stop=len(info.layers))
    ours = Method("ours", injection=Injection.as_published(layers=preset))  # type: ignore[arg-type]
    assert gap(drawer, group, ours, Method("peer", peer=peer)) <= 2


def test_every_peer_draws_something_of_its_own(drawer: CheckpointDrawer, group: Group) -> None:
    info = drawer.engines.info
    first = layer(info, "decoder")
    shallow = Concatenating(first, len(info.layers))
    methods = [
        Method("none", injection=Injection(layers="none")),
        Method("deep", peer=Concatenating(0, first)),
        Method("decoder", peer=shallow),
        Method("lead", peer=shallow, path=2),
        Method("inverted", peer=shallow, path="inverted"),
        Method("masactrl", peer=MasaCtrl(first)),
        Method("story", peer=StoryDiffusion(first)),
    ]
    drawn = [np.stack(drawer.draw(method, [group], 0)).astype(int) for method in methods]
    gaps = [np.abs(a - b).max() for i, a in enumerate(drawn) for b in drawn[:i]]
    assert min(gaps) > 2
    again = np.stack(drawer.draw(methods[-1], [group], 0)).astype(int)
    assert np.abs(again - drawn[-1]).max() == 0


@quick
@given(st.integers(1, 5), st.integers(1, 2), st.integers(0, 9), st.sampled_from([16, 64]))
def test_a_story_reads_half_of_the_others_and_all_of_itself(
    panels: int, branches: int, step: int, tokens: int
) -> None:
    rows = Rows(panels, branches)
    reads = StoryDiffusion(first=1).reads(step, 10, rows, [None, None], [tokens, tokens])  # type: ignore[list-item]
    assert reads is not None
    assert reads[0] is None
    assert reads[1] is not None
    sources, keep = reads[1]
    assert keep is not None
    assert keep[:, 0].all()
    for row in range(rows.reference):
        assert sources[row, 0] == row
        assert sources[row, -1] == rows.reference
        assert set(sources[row, :-1].tolist()) == set(rows.branch_of(row))
    assert not keep[rows.reference, 1:].any()
    others = keep[: rows.reference, 1:].float()
    assert 0.2 < others.mean() < 0.8


@quick
@given(st.integers(1, 5), st.integers(1, 2), st.integers(0, 9))
def test_masactrl_reads_the_reference_only(panels: int, branches: int, step: int) -> None:
    rows = Rows(panels, branches)
    peer = MasaCtrl(first=1, start=0.3)
    reads = peer.reads(step, 10, rows, [None, None], [4, 4])  # type: ignore[list-item]
    if step < 3:
        assert reads is None
    else:
        assert reads is not None
        assert reads[0] is None
        assert reads[1] is not None
        assert (reads[1].sources == rows.reference).all()


def test_a_lead_is_that_many_steps_ahead_and_stops_at_the_last(checkpoint: Path) -> None:
    process = noise_model_of(load_torch_engines(checkpoint).info.scheduler_config)
    latents, noise = torch.ones(4, 8, 8), torch.zeros(4, 8, 8)
    path = renoised(latents, noise, [900.0, 600.0, 300.0, 0.0], process, lead=2)
    assert path.timesteps == (300.0, 0.0, 0.0, 0.0)
    assert path.latents[0].mean() < path.latents[1].mean()
    with pytest.raises(ValueError, match="lead: got -1, allowed 0 or more steps"):
        renoised(latents, noise, [0.0], process, lead=-1)
