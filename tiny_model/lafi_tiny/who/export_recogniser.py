"""Command `export-recogniser`: the recogniser as ONNX, and `recogniser.json` about it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import CLIPTokenizer

from lafi.board.letterbox import fit_pixels
from lafi_tiny.onnx_file import describe_file, open_onnx, trace_to_onnx
from lafi_tiny.training import from_pixels
from lafi_tiny.who.export_describer import CARD_KEY, describe_exported, export_describer
from lafi_tiny.who.open_set import (
    CALIBRATION_SEED,
    Embed,
    Pixels,
    unseen_characters,
    verify,
)
from lafi_tiny.who.recogniser import EMBEDDING_WIDTH, SIDE, Recogniser, Role, load_recogniser
from lafi_tiny.who.train_describer import DESCRIBER_FILE
from lafi_tiny.who.train_recogniser import STATE_FILE
from lafi_tiny.who.verification import Array
from lafi_tiny.who.whitening import fitted, whiten_file

ROLES: tuple[Role, ...] = ("student", "teacher")
CALIBRATED = 64
"""Characters that decide the threshold."""
SHIPPED: tuple[Role, ...] = ("student",)
"""What lies in the repository: servers never run the teacher, which is more than twice as large."""


def export_recognisers(
    folder: Path,
    tokenizer: CLIPTokenizer,
    out: Path,
    note: str = "",
    roles: tuple[Role, ...] = SHIPPED,
) -> dict[str, Any]:
    """Write `ROLE.onnx` of the networks in `folder`, and `recogniser.json`, which it returns.

    The student is always among the roles: the threshold is its own.

    The text tower comes along if it has been trained there, with its tokenizer.
    """
    out.mkdir(parents=True, exist_ok=True)
    card: dict[str, Any] = {
        "side": SIDE,
        "width": EMBEDDING_WIDTH,
        "trained": training_card(folder, note),
    }
    for role in roles:
        network = load_recogniser(role, folder / f"{role}.safetensors")
        write_onnx(network, out / f"{role}.onnx")
        card[role] = {"parameters": sum(p.numel() for p in network.parameters())}
    if (folder / DESCRIBER_FILE).exists():
        card[CARD_KEY] = export_describer(folder, tokenizer, out)
    return whiten_exported(out, tokenizer, card)


def whiten_exported(out: Path, tokenizer: CLIPTokenizer, card: dict[str, Any]) -> dict[str, Any]:
    """Whiten the networks in `out`, choose thresholds, and write `recogniser.json`, the whole card.

    The text tower gets the student's whitening, since both embed into one space.
    card: with a mapping for each network that is there. Raises ValueError for a whitened one.
    """
    if done := [role for role in ROLES if "shrinkage" in card.get(role, {})]:
        raise ValueError(f"{out}: got {', '.join(done)} that is whitened, allowed: as exported")
    for role in (role for role in ROLES if role in card):
        path = out / f"{role}.onnx"
        whitening = fitted(onnx_embedder(path))
        whiten_file(path, whitening)
        if role == "student" and CARD_KEY in card:
            whiten_file(out / f"{CARD_KEY}.onnx", whitening)
        found = {"shrinkage": whitening.shrinkage, **calibrate(onnx_embedder(path), CALIBRATED)}
        card[role] |= describe_file(path) | found
    card["threshold"] = card["student"]["threshold"]
    if CARD_KEY in card:
        embed = onnx_embedder(out / "student.onnx")
        card[CARD_KEY] |= describe_exported(tokenizer, out, embed)
    (out / "recogniser.json").write_text(json.dumps(card, indent=2) + "\n")
    return card


def training_card(folder: Path, note: str) -> dict[str, Any]:
    """Steps and settings of the training that left its state in `folder`."""
    found = torch.load(folder / STATE_FILE, map_location="cpu", weights_only=True)
    return {"note": note, "steps_done": found["step"], **found["settings"]}


def calibrate(embed: Embed, characters: int, images: int = 3) -> dict[str, float]:
    """Threshold and error rates on characters that neither training nor the benchmark uses."""
    unseen = unseen_characters(characters, CALIBRATION_SEED)
    summary = verify(embed, unseen, images, CALIBRATION_SEED).summary()
    return {
        "threshold": round(summary["threshold"], 4),
        "equal_error": round(summary["equal_error"], 5),
        "accuracy": round(1 - summary["equal_error"], 5),
        "hard_threshold": round(summary["hard_threshold"], 4),
        "hard_equal_error": round(summary["hard_equal_error"], 5),
    }


def write_onnx(network: Recogniser, path: Path, *, half: bool = True) -> None:
    """`image` (B, 3, SIDE, SIDE) float32 -> `embedding` (B, 128) float32; see `trace_to_onnx`."""
    trace_to_onnx(network, "image", torch.zeros(2, 3, SIDE, SIDE), path, half=half)


def onnx_embedder(path: Path, threads: int = 1, batch: int = 32) -> Embed:
    """The network in ONNX Runtime on the CPU; pictures are resized as the server does."""
    session = open_onnx(path, threads)

    def embed(pixels: Pixels) -> Array:
        fitted = np.stack([fit_pixels(each, SIDE, SIDE) for each in pixels])
        images = from_pixels(fitted).numpy()
        parts = [
            session.run(["embedding"], {"image": images[i : i + batch]})[0]
            for i in range(0, len(images), batch)
        ]
        embeddings: Array = np.concatenate(parts).astype(np.float64)
        return embeddings

    return embed
