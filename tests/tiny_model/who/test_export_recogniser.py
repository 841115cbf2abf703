"""The recognisers as ONNX, and what `recogniser.json` says of them."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from diffusers import AutoencoderKL

from lafi.engine.onnx.describer import load_describer
from lafi.model.recogniser_files import read_recogniser_info
from lafi_tiny.onnx_file import describe_file
from lafi_tiny.stages.tokenizer import build_tokenizer
from lafi_tiny.training import from_pixels, save_half
from lafi_tiny.who import export_recogniser, figure_pool, fusion
from lafi_tiny.who.export_describer import CARD_KEY
from lafi_tiny.who.export_recogniser import (
    ROLES,
    SHIPPED,
    calibrate,
    onnx_embedder,
    write_onnx,
)
from lafi_tiny.who.fusion import descriptions
from lafi_tiny.who.open_set import portraits, unseen_characters
from lafi_tiny.who.recogniser import (
    EMBEDDING_WIDTH,
    SIDE,
    Role,
    build_recogniser,
    load_recogniser,
)
from lafi_tiny.who.train_describer import DescriberTraining, train_describer
from lafi_tiny.who.train_recogniser import RecogniserTraining, train_recognisers
from lafi_tiny.who.whitening import fitted

SHIPPED_FOLDER = Path(__file__).parents[3] / "tiny_model" / "recogniser"


@pytest.fixture(scope="module", params=ROLES)
def role(request: pytest.FixtureRequest) -> Role:
    return request.param


@pytest.fixture(scope="module")
def exported(role: Role, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a network of random weights, as float16 safetensors and as ONNX."""
    torch.manual_seed(1)
    folder = tmp_path_factory.mktemp(role)
    network = build_recogniser(role)
    for module in network.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.momentum = 1.0
    with torch.no_grad():
        network.train()(torch.rand(16, 3, SIDE, SIDE) * 2 - 1)
    save_half(network, folder / "weights.safetensors")
    loaded = load_recogniser(role, folder / "weights.safetensors")
    write_onnx(loaded, folder / "network.onnx")
    write_onnx(loaded, folder / "float32.onnx", half=False)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 3])
def test_onnx_agrees_with_torch(exported: Path, role: Role, count: int) -> None:
    pixels = np.random.default_rng(count).integers(0, 256, (count, SIDE, SIDE, 3), dtype=np.uint8)
    network = load_recogniser(role, exported / "weights.safetensors")
    with torch.inference_mode():
        expected = network(from_pixels(pixels)).numpy()
    assert np.abs(onnx_embedder(exported / "float32.onnx")(pixels) - expected).max() <= 1e-4
    # Rounded after the batch norms are folded into them, so not as the safetensors are.
    rounded = onnx_embedder(exported / "network.onnx")(pixels)
    assert (rounded * expected).sum(axis=1).min() >= 0.999


@pytest.mark.slow
def test_the_graph_has_the_promised_interface_and_small_weights(exported: Path) -> None:
    model = onnx.load(exported / "network.onnx")
    shapes = {
        value.name: [d.dim_value or d.dim_param for d in value.type.tensor_type.shape.dim]
        for value in (*model.graph.input, *model.graph.output)
    }
    assert list(shapes) == ["image", "embedding"]
    assert shapes["image"][1:] == [3, SIDE, SIDE]
    assert shapes["embedding"][1:] == [EMBEDDING_WIDTH]
    assert all(isinstance(shape[0], str) for shape in shapes.values())
    assert (exported / "network.onnx").stat().st_size < 10 * 2**20


def read_card() -> dict[str, Any]:
    """What lies in the repository."""
    card: dict[str, Any] = json.loads((SHIPPED_FOLDER / "recogniser.json").read_text())
    return card


def test_the_card_describes_the_files_beside_it() -> None:
    card = read_card()
    assert (card["side"], card["width"]) == (SIDE, EMBEDDING_WIDTH)
    assert -1 < card["threshold"] < 1
    for role in SHIPPED:
        found = describe_file(SHIPPED_FOLDER / f"{role}.onnx")
        assert {k: card[role][k] for k in ("file", "sha256", "bytes")} == found
    assert set(card) & set(ROLES) == set(SHIPPED)


def test_the_shipped_student_tells_unseen_characters_apart() -> None:
    found = calibrate(onnx_embedder(SHIPPED_FOLDER / "student.onnx"), characters=30, images=3)
    assert found["equal_error"] <= 0.025


def test_the_shipped_text_tower_puts_descriptions_beside_pictures() -> None:
    card = read_card()[CARD_KEY]
    assert card["sha256"] == describe_file(SHIPPED_FOLDER / "describer.onnx")["sha256"]
    describe = load_describer(SHIPPED_FOLDER, read_recogniser_info(SHIPPED_FOLDER), threads=1)
    characters = unseen_characters(24, seed=31)
    pictures = onnx_embedder(SHIPPED_FOLDER / "student.onnx")(
        portraits(characters, 1, seed=31)[:, 0]
    )
    cosines = pictures @ describe(descriptions(characters, (9, 9), seed=31)).T
    # After a third of its training; 0.85 is wanted in the end.
    assert np.diag(cosines).mean() > 0.6
    assert (cosines.argmax(axis=1) == np.arange(24)).mean() >= 0.9


@pytest.mark.slow
def test_what_a_short_training_leaves_is_exported_whole(
    vae: AutoencoderKL, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figure_pool, "CHUNK", 8)
    monkeypatch.setattr(fusion, "CALIBRATED", 4)
    monkeypatch.setattr(export_recogniser, "CALIBRATED", 4)
    monkeypatch.setattr(export_recogniser, "fitted", partial(fitted, characters=4, calibrated=4))
    state, out = tmp_path / "state", tmp_path / "out"
    tokenizer = build_tokenizer(["a slim child with long red hair"] * 4, 600)
    short = RecogniserTraining(steps=2, batch=4, pictures=8, sides=(32, 32, 32))
    train_recognisers(short, state, vae)
    train_describer(DescriberTraining(steps=2, batch=4), state, tokenizer)
    card = export_recogniser.export_recognisers(state, tokenizer, out, "short")
    assert json.loads((out / "recogniser.json").read_text()) == json.loads(json.dumps(card))
    assert {path.name for path in out.iterdir()} == {
        *("student.onnx", "describer.onnx", "tokenizer.json", "recogniser.json")
    }
    info = read_recogniser_info(out)
    assert (info.side, info.width, info.threshold) == (SIDE, EMBEDDING_WIDTH, card["threshold"])
    assert load_describer(out, info, threads=1)(["a slim child"]).shape == (1, EMBEDDING_WIDTH)
    with pytest.raises(ValueError, match="got student that is whitened"):
        export_recogniser.whiten_exported(out, tokenizer, card)
