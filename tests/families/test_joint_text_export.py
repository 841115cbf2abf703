"""CLIP beside T5 is exported, and ONNX Runtime gives what torch gives."""

from pathlib import Path

import pytest
import torch
from joint_checkpoints import joint_checkpoint

from lafi.engine.onnx.engines import OnnxTextEncoder
from lafi.engine.onnx.graph import open_graph
from lafi.engine.torch.engines import load_torch_engines
from lafi.model.artifacts import WEIGHTS
from lafi.model.families.registry import text_names
from lafi_export.modules import load_modules
from lafi_export.onnx_export import export_graph, graphs

TEXTS = ("a girl in a red coat", "")


@pytest.mark.parametrize("name", ["sd3", "dev"])
def test_texts_are_torchs(name: str, tmp_path: Path) -> None:
    source, folder = tmp_path / name, tmp_path / "artifacts"
    joint_checkpoint(name, source)
    engines = load_torch_engines(source)
    modules = load_modules(source, engines.info, folder / WEIGHTS)
    graph = graphs(modules, engines.info)[0]
    used = export_graph(graph, folder / graph.file, modules.weights)
    parts = [part for part in engines.info.files_sha256 if part.startswith("text_encoder")]
    assert sorted(used) == sorted(
        f"{WEIGHTS}/{part.partition('/')[0]}.safetensors" for part in parts
    )
    names = text_names(engines.info)
    run = open_graph(folder / graph.file, "onnxruntime", threads=1)
    encoder = OnnxTextEncoder(run, names, engines.info.most_clip_skip)
    ids = torch.from_numpy(engines.prompts.token_ids(TEXTS))
    for rows in (ids, ids[:1]):
        got, wanted = encoder(rows), engines.text_encoder(rows)
        for port in names:
            torch.testing.assert_close(got[port], wanted[port], atol=1e-4, rtol=1e-4)
