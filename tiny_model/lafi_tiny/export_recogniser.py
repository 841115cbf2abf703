"""Stage `export-recogniser`: both recognisers as ONNX, and `recogniser.json` about them."""

import hashlib
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper

from lafi_tiny.open_set import (
    CALIBRATION_SEED,
    Embed,
    Pixels,
    unseen_characters,
    verify,
)
from lafi_tiny.recogniser import EMBEDDING_WIDTH, SIDE, Recogniser, Role, load_recogniser
from lafi_tiny.train_recogniser import STATE_FILE
from lafi_tiny.training import from_pixels
from lafi_tiny.verification import Array

ROLES: tuple[Role, ...] = ("student", "teacher")
SMALLEST = 1024
"""Tensors below this many elements stay in float32."""


def export_recognisers(folder: Path, out: Path, note: str = "") -> dict[str, Any]:
    """Write `ROLE.onnx` of the networks in `folder`, and `recogniser.json`, which it returns."""
    out.mkdir(parents=True, exist_ok=True)
    card: dict[str, Any] = {
        "side": SIDE,
        "width": EMBEDDING_WIDTH,
        "trained": training_card(folder, note),
    }
    for role in ROLES:
        network = load_recogniser(role, folder / f"{role}.safetensors")
        path = out / f"{role}.onnx"
        write_onnx(network, path)
        card[role] = {
            **describe_file(path),
            "parameters": sum(p.numel() for p in network.parameters()),
            **calibrate(onnx_embedder(path)),
        }
    card["threshold"] = card["student"]["threshold"]
    (out / "recogniser.json").write_text(json.dumps(card, indent=2) + "\n")
    return card


def training_card(folder: Path, note: str) -> dict[str, Any]:
    """Steps and settings of the training that left its state in `folder`."""
    found = torch.load(folder / STATE_FILE, map_location="cpu", weights_only=True)
    return {"note": note, "steps_done": found["step"], **found["settings"]}


def calibrate(embed: Embed, characters: int = 64, images: int = 3) -> dict[str, float]:
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


def describe_file(path: Path) -> dict[str, Any]:
    """SHA-256 and size in bytes."""
    data = path.read_bytes()
    return {"file": path.name, "sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}


def write_onnx(network: Recogniser, path: Path, *, half: bool = True) -> None:
    """`image` (B, 3, 64, 64) float32 -> `embedding` (B, 128) float32; weights kept in float16.

    Each float16 weight is cast to float32 where it is used, which engines do once, when
    they load the graph. So only the weights are rounded, never what is computed. Without
    `half` they stay in float32.
    """
    with warnings.catch_warnings():
        # torch.export warns of itself.
        warnings.filterwarnings(
            "ignore", r"`isinstance\(treespec, LeafSpec\)` is deprecated", FutureWarning
        )
        program = torch.onnx.export(
            network.eval(),
            (torch.zeros(2, 3, SIDE, SIDE),),
            input_names=["image"],
            output_names=["embedding"],
            dynamic_shapes={"image": {0: torch.export.Dim("batch")}},
            dynamo=True,
            optimize=True,
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    if half:
        _halve(model)
    _strip(model)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


def _halve(model: onnx.ModelProto) -> None:
    casts = []
    for tensor in model.graph.initializer:
        if tensor.data_type != TensorProto.FLOAT or np.prod(tensor.dims) < SMALLEST:
            continue
        name = tensor.name
        half = numpy_helper.to_array(tensor).astype(np.float16)
        tensor.CopyFrom(numpy_helper.from_array(half, name + ".half"))
        casts.append(
            helper.make_node("Cast", [name + ".half"], [name], name + ".cast", to=TensorProto.FLOAT)
        )
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def _strip(model: onnx.ModelProto) -> None:
    """Drop the exporter's notes on where each node came from, a third of the file."""
    del model.graph.value_info[:]
    del model.graph.metadata_props[:]
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""


def onnx_embedder(path: Path, threads: int = 1, batch: int = 32) -> Embed:
    """The network in ONNX Runtime on the CPU."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def embed(pixels: Pixels) -> Array:
        images = from_pixels(pixels).numpy()
        parts = [
            session.run(["embedding"], {"image": images[i : i + batch]})[0]
            for i in range(0, len(images), batch)
        ]
        embeddings: Array = np.concatenate(parts).astype(np.float64)
        return embeddings

    return embed
