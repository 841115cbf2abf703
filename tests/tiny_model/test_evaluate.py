"""The evaluation: what it asks for and what it writes."""

import json
import re
from functools import partial
from pathlib import Path

import pytest
from diffusers import AutoencoderKL
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import CLIPTokenizer

from lafi_tiny import evaluate as stage
from lafi_tiny.architecture import Architecture
from lafi_tiny.attributes import is_held_out_identity, is_held_out_setting
from lafi_tiny.draw import draw_pictures
from lafi_tiny.evaluate import Evaluation, evaluate, held_out_wanted, watch_training
from lafi_tiny.text_to_latent import load_denoiser
from lafi_tiny.train_reader import READER_FILE


@settings(max_examples=10, deadline=None)
@given(st.integers(1, 8), st.integers(0, 2**31))
def test_everything_asked_for_is_held_out(count: int, seed: int) -> None:
    wanted = held_out_wanted(count, seed)
    assert len(wanted) == count
    assert all(is_held_out_identity(w.identity) for w in wanted)
    assert all(is_held_out_setting(w.action, w.scene) for w in wanted)
    assert wanted == held_out_wanted(count, seed)
    assert wanted == held_out_wanted(count + 1, seed)[:count]


def test_a_finished_run_is_evaluated(folder: Path, tiny: Architecture) -> None:
    figures = evaluate(Evaluation(panels=2, twins=2, steps=1), folder, tiny)
    assert json.loads(json.dumps(figures)) == figures
    assert figures["settings"]["panels"] == 2
    for part in ("panels", "described"):
        assert figures[part]["panels"] == 2
        assert all(0 <= figures[part][k] <= 1 for k in ("identity", "action", "scene"))
    for part in ("twins", "strips"):
        assert figures[part].keys() == {
            "agreement",
            "agreement_with_a_stranger",
            "agreement_of_real_pictures",
            "action",
        }
        assert all(0 <= share <= 1 for share in figures[part].values())
    grids = {path.stem for path in (folder / "grids").iterdir()}
    assert {"panels", "described", "twins", "strip"} <= grids


def test_training_is_watched_with_a_grid_and_with_a_reader_if_there_is_one(
    folder: Path,
    tiny: Architecture,
    vae: AutoencoderKL,
    tokenizer: CLIPTokenizer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stage, "draw_pictures", partial(draw_pictures, steps=1))
    model = load_denoiser(tiny, folder)
    said = watch_training(model, vae, tokenizer, folder, 500)
    assert said.startswith("step 500: twins agree ")
    assert re.search(r"actions [01]\.\d\d of 24$", said)
    assert (folder / "grids" / "denoiser_000500.png").exists()
    (folder / READER_FILE).unlink()
    assert watch_training(model, vae, tokenizer, folder, 501) == "step 501: no reader yet"
