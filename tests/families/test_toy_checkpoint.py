"""A folder of a family that only tests know: told by its model_index.json, loaded, and mapped."""

import copy
import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from PIL import Image

from lafi.board.error import StoryboardError
from lafi.board.storyboard import Storyboard
from lafi.drawing.pipeline import draw
from lafi.engine.onnx.engines import load_onnx_engines
from lafi.engine.torch.engines import TorchDenoiser, load_torch_engines
from lafi.model.checkpoint import CheckpointError, read_model_info
from lafi.model.info import ModelInfo
from lafi.ports.engines import Engines
from lafi.wire.events import Accepted, PanelImage
from lafi_export.artifacts import export_model
from lafi_export.modules import load_modules
from lafi_export.parity import Expected, compare_engines
from lafi_export.parity_cases import denoiser_cases

VOCABULARY = ["a", "red", "hat", "mia", "on", "beach"]
INDEX = {
    "_class_name": "ToyPipeline",
    "transformer": ["lafi_toy.network", "ToyTransformer"],
    "vae": ["diffusers", "AutoencoderKL"],
    "embedding": ["lafi_toy.torch_texts", "ToyEmbedding"],
    "vocabulary": ["lafi_toy.texts", "ToyReader"],
    "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"],
}


@pytest.fixture(scope="module")
def wide(toy: None) -> Any:
    """A network for texts of 20 channels, as the other parts of `folder` give them."""
    from lafi_toy.network import ToyTransformer

    torch.manual_seed(1)
    return ToyTransformer(text_width=20).eval().requires_grad_(False)


@pytest.fixture(scope="module")
def folder(wide: Any, checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from lafi_toy.texts import WORDS
    from lafi_toy.torch_texts import ToyEmbedding

    made = tmp_path_factory.mktemp("toy") / "toy"
    shutil.copytree(checkpoint / "vae", made / "vae")
    ToyEmbedding(len(VOCABULARY) + 2, 20, 6).save_pretrained(made / "embedding")
    (made / "vocabulary").mkdir()
    (made / "vocabulary" / WORDS).write_text(json.dumps(VOCABULARY), encoding="utf-8")
    wide.save_pretrained(made / "transformer")
    FlowMatchEulerDiscreteScheduler(shift=3.0).save_pretrained(made / "scheduler")
    (made / "model_index.json").write_text(json.dumps(INDEX), encoding="utf-8")
    return made


def test_a_folder_is_described_by_its_family(folder: Path) -> None:
    info = read_model_info(folder)
    assert (info.family, info.architecture) == ("toy", "ToyTransformer")
    assert (info.text_length, info.text_width, info.side_multiple) == (6, 20, 8)
    assert [site.name for site in info.layers] == ["blocks.0", "blocks.1", "blocks.2"]
    assert all(site.joint and site.rotary for site in info.layers)
    assert [port.name for port in info.added_inputs] == ["mood"]
    assert info.scheduler_config["shift"] == 3.0


def test_its_weights_are_hashed(folder: Path, wide: Any, tmp_path: Path) -> None:
    other = Path(shutil.copytree(folder, tmp_path / "toy"))
    changed = copy.deepcopy(wide)
    changed.out.bias += 1.0
    changed.save_pretrained(other / "transformer")
    assert read_model_info(other).weights_sha256 != read_model_info(folder).weights_sha256
    shutil.rmtree(other / "transformer")
    with pytest.raises(CheckpointError, match="has no transformer; allowed: a folder that ToyPip"):
        read_model_info(other)


def test_parts_that_do_not_fit_are_named(folder: Path, network: Any, tmp_path: Path) -> None:
    other = Path(shutil.copytree(folder, tmp_path / "toy"))
    network.save_pretrained(other / "transformer")
    with pytest.raises(CheckpointError, match=r"transformer\.text_width: got 12, allowed 20"):
        read_model_info(other)


def test_engines_and_modules_have_its_network(folder: Path, wide: Any, tmp_path: Path) -> None:
    engines = load_torch_engines(folder)
    info: ModelInfo = engines.info
    modules = load_modules(folder, info, tmp_path / "weights")
    assert [part.part for part in modules.weights] == ["embedding", "vae", "transformer"]
    mapped = modules.engines(folder, info)
    wanted = TorchDenoiser(copy.deepcopy(wide), info)
    for name, batch in denoiser_cases(info, ((3, 2, 3),)):
        for denoiser in (engines.denoiser, mapped.denoiser):
            # Products may add up in another order where weights are mapped: they lie otherwise.
            got, sure = denoiser(batch), wanted(batch)
            torch.testing.assert_close(got, sure, atol=2e-6, rtol=0, msg=name)
    ids = torch.from_numpy(engines.prompts.token_ids(["a red hat", "mia"]))
    assert ids.tolist() == [[2, 3, 4], [5, 0, 0]]
    for encoder in (engines.text_encoder, mapped.text_encoder):
        texts = encoder(ids)
        assert texts.keys() == {"text", "text_mask"}
        assert texts["text"].shape == (2, 3, 20)
        assert texts["text_mask"].tolist() == [[1.0] * 3, [1.0, 0.0, 0.0]]


def board(sampler: str = "", **panel: Any) -> Storyboard:
    return Storyboard.model_validate(
        {
            "width": 32,
            "height": 32,
            "sampling": {"steps": 2, "guidance": 3.0} | ({"sampler": sampler} if sampler else {}),
            "injection": {"layers": "all"},
            "characters": [{"name": "mia", "prompt": "mia"}],
            "panels": [{"prompt": "a {mia}"}, {"prompt": "a red hat on a beach"} | panel],
        }
    )


def test_it_draws_texts_of_different_lengths_together(folder: Path) -> None:
    engines = load_torch_engines(folder)
    drawn, alone = (
        {e.panel: e.png for e in draw(each, engines) if isinstance(e, PanelImage)}
        for each in (board(), board(prompt="a"))
    )
    assert drawn.keys() == {0, 1}
    pixels = [np.asarray(Image.open(io.BytesIO(p[0]))).astype(int) for p in (drawn, alone)]
    assert np.abs(pixels[0] - pixels[1]).max() <= 2


def test_an_unset_sampler_is_eulers_and_accepted_says_so(folder: Path) -> None:
    engines = load_torch_engines(folder)
    events = [[*draw(each, engines)] for each in (board(), board("Euler"))]
    notes, others = (found[0].notes for found in events if isinstance(found[0], Accepted))
    assert notes == ("sampling.sampler: Euler, the default of this flow model",)
    assert others == ()
    unset, euler = (
        [(event.png, event.address) for event in found if isinstance(event, PanelImage)]
        for found in events
    )
    assert unset == euler
    with pytest.raises(StoryboardError, match="sampler: got 'DDIM', allowed with this flow model"):
        draw(board("DDIM"), engines)


def test_a_text_that_is_too_long_is_refused(folder: Path) -> None:
    engines = load_torch_engines(folder)
    with pytest.raises(StoryboardError) as refused:
        draw(board(prompt="a red hat on a beach at night"), engines)
    assert refused.value.problems == (
        "panels[1].prompt: got 'at night' too much, allowed: at most 6 tokens with toy",
    )


@pytest.fixture(scope="module")
def exported(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Engines:
    artifacts = tmp_path_factory.mktemp("artifacts") / "artifacts"
    info = read_model_info(folder, engine="onnxruntime")
    export_model(folder, artifacts, info, lambda step: None)
    return load_onnx_engines(artifacts, threads=1)


@pytest.mark.slow
def test_its_export_draws_as_torch_does(folder: Path, exported: Engines) -> None:
    reference = load_torch_engines(folder)
    for row in compare_engines(Expected(reference, 8), exported, precision="f32"):
        assert row.passed, row
    for text in ("a", "a red hat on a beach"):
        wanted, got = (
            engines.text_encoder(torch.from_numpy(engines.prompts.token_ids([text])))
            for engines in (reference, exported)
        )
        assert torch.equal(wanted["text"], got["text"])
    ours, theirs = (
        [
            np.asarray(Image.open(io.BytesIO(event.png))).astype(int)
            for event in draw(board(), engines)
            if isinstance(event, PanelImage)
        ]
        for engines in (exported, reference)
    )
    assert np.abs(np.array(ours) - np.array(theirs)).max() <= 2
