"""The text tower: what it is trained on, that it learns it, and its export."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from transformers import CLIPTokenizer

from lafi_tiny.hand.attributes import IDENTITY_CHOICES, is_held_out_identity, random_identity
from lafi_tiny.hand.looks import describe
from lafi_tiny.who import fusion
from lafi_tiny.who import train_describer as stage
from lafi_tiny.who.describer import describe_all
from lafi_tiny.who.export_describer import describe_exported, export_describer, onnx_describer
from lafi_tiny.who.open_set import Pixels
from lafi_tiny.who.recogniser import EMBEDDING_WIDTH, HIDDEN, AttributePrototypes
from lafi_tiny.who.train_describer import (
    DescriberTraining,
    random_description,
    said_labels,
    train_describer,
    trained_directions,
)
from lafi_tiny.who.train_recogniser import STATE_FILE
from lafi_tiny.who.verification import Array

WEIGHTS = Path(__file__).parents[3] / "tiny_model" / "weights"
SHORT = DescriberTraining(steps=60, batch=32)


@pytest.fixture(scope="module")
def directions() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return {f"prototypes.{k}": v for k, v in AttributePrototypes().state_dict().items()}


@pytest.fixture(scope="module")
def tokenizer() -> CLIPTokenizer:
    return CLIPTokenizer.from_pretrained(WEIGHTS / "tokenizer")


def folder_with(path: Path, directions: dict[str, torch.Tensor]) -> Path:
    """As stage `recogniser` leaves it, as far as this stage looks."""
    path.mkdir()
    torch.save({"model": {**directions, "teacher.weight": torch.zeros(1)}}, path / STATE_FILE)
    return path


def test_what_is_said_is_labelled_and_nothing_else() -> None:
    rng = np.random.default_rng(3)
    names = [*IDENTITY_CHOICES]
    for _ in range(50):
        who = random_identity(rng)
        labels = said_labels(who, ("hair", "accessory"))
        assert labels[names.index("hair")] == IDENTITY_CHOICES["hair"].index(who.hair)
        worn = IDENTITY_CHOICES["accessory"].index(who.accessory)
        assert labels[names.index("accessory")] == worn
        assert labels[names.index("top")] == HIDDEN


def test_descriptions_are_of_training_characters_in_both_languages_and_say_something() -> None:
    rng = np.random.default_rng(0)
    found = [random_description(rng) for _ in range(200)]
    assert all(any(label != HIDDEN for label in labels) for _, labels in found)
    for _, labels in found:
        if HIDDEN not in labels:
            values = zip(labels, IDENTITY_CHOICES.items(), strict=True)
            who = {name: choices[label] for label, (name, choices) in values}
            assert not is_held_out_identity(type(random_identity(rng))(**who))
    assert 20 < sum(text.isascii() for text, _ in found) < 180


def test_it_learns_which_words_stand_for_which_direction(
    tmp_path: Path, directions: dict[str, torch.Tensor], tokenizer: CLIPTokenizer
) -> None:
    folder = folder_with(tmp_path / "state", directions)
    network = train_describer(SHORT, folder, tokenizer)
    rng = np.random.default_rng(9)
    people = [random_identity(rng, held_out=True) for _ in range(24)]
    said = ("top", "bottom")
    texts = [describe(who, said) for who in people]
    wanted = trained_directions(folder).compose(
        torch.tensor([said_labels(w, said) for w in people])
    )
    cosines = describe_all(network, tokenizer, texts) @ wanted.T
    own = cosines.diagonal().mean()
    # A moment's training; the shipped tower is held to more in test_export_recogniser.py.
    assert own > 0.2
    assert own > cosines.mean() + 0.015


def test_a_stopped_run_goes_on_to_the_same_weights(
    tmp_path: Path,
    directions: dict[str, torch.Tensor],
    tokenizer: CLIPTokenizer,
    stop_at_step_3: Callable[[ModuleType, Callable[[], object]], None],
) -> None:
    short = DescriberTraining(steps=4, batch=4, save_every=2)
    whole = folder_with(tmp_path / "whole", directions)
    stopped = folder_with(tmp_path / "stopped", directions)
    train_describer(short, whole, tokenizer)
    stop_at_step_3(stage, lambda: train_describer(short, stopped, tokenizer))
    train_describer(short, stopped, tokenizer)
    one, other = (
        torch.load(folder / stage.DESCRIBER_STATE, weights_only=True)["model"]
        for folder in (whole, stopped)
    )
    assert all(torch.equal(one[name], other[name]) for name in one)


def by_colours(pixels: Pixels) -> Array:
    """An embedding without training: a unit histogram of colours, as wide as ours."""
    rows = [np.histogram(p, EMBEDDING_WIDTH, (0, 256))[0].astype(float) for p in pixels]
    return np.stack(rows) / np.linalg.norm(rows, axis=1, keepdims=True)


def test_the_exported_tower_agrees_with_torch(
    tmp_path: Path,
    directions: dict[str, torch.Tensor],
    tokenizer: CLIPTokenizer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = folder_with(tmp_path / "state", directions)
    network = train_describer(DescriberTraining(steps=2, batch=4), folder, tokenizer)
    out = tmp_path / "out"
    out.mkdir()
    monkeypatch.setattr(fusion, "CALIBRATED", 6)
    facts = export_describer(folder, tokenizer, out)
    assert facts["length"] == tokenizer.model_max_length
    card = describe_exported(tokenizer, out, by_colours)
    texts = ["a child with red hair", "一个瘦的孩子(红色短发)", ""]
    expected = describe_all(network, tokenizer, texts)
    found = onnx_describer(out / "describer.onnx", tokenizer)(texts)
    assert np.abs(found - expected.numpy()).max() <= 2e-3
    assert card["file"] == "describer.onnx"
    assert card["bytes"] < 2**20
    assert 0 <= card["weight"] <= 1
    assert card["weight"] in fusion.WEIGHTS
    assert (out / "tokenizer.json").read_bytes() == (
        WEIGHTS / "tokenizer" / "tokenizer.json"
    ).read_bytes()
