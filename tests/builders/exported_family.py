"""A family's graphs, exported from a small checkpoint and compared with torch in ONNX Runtime."""

from dataclasses import replace
from pathlib import Path

import torch

from lafi.engine.onnx.engines import OnnxDenoiser, OnnxReferenceReader, OnnxTextEncoder
from lafi.engine.onnx.graph import RunGraph, open_graph
from lafi.model.checkpoint import read_model_info
from lafi.model.families.registry import text_names
from lafi.ports.bank_entry import stack_bank
from lafi_export.modules import load_modules
from lafi_export.onnx_export import export_graph, graphs
from lafi_export.parity_cases import bank_cases, denoiser_cases

SIZES = ((1, 2, 2), (3, 2, 3), (2, 5, 4))
CLOSE = {"atol": 2e-4, "rtol": 0.0}


def check_exported(checkpoint: Path, folder: Path) -> None:
    """Denoiser, reference reader and text encoder give what torch gives, at several sizes."""
    info = read_model_info(checkpoint)
    modules = load_modules(checkpoint, info, folder / "weights")
    for graph in graphs(modules, info):
        if not graph.file.startswith("vae"):
            export_graph(graph, folder / graph.file, modules.weights)

    def opened(name: str) -> RunGraph:
        return open_graph(folder / f"{name}.onnx", "onnxruntime", threads=1)

    wanted = modules.engines(checkpoint, info)
    denoiser = OnnxDenoiser(opened("denoiser"), info)
    for name, batch in denoiser_cases(info, SIZES):
        torch.testing.assert_close(denoiser(batch), wanted.denoiser(batch), **CLOSE, msg=name)
    reader = OnnxReferenceReader(lambda: opened("reference"), info)
    for name, case in bank_cases(info, SIZES[:2]):
        bank = stack_bank(reader(case.references))
        drawn = denoiser(replace(case.panels, bank=bank))
        rows = wanted.denoiser(case.rows)[: len(drawn)]
        torch.testing.assert_close(drawn, rows, **CLOSE, msg=name)
    encoder = OnnxTextEncoder(opened("text_encoder"), text_names(info), info.most_clip_skip)
    ids = torch.from_numpy(wanted.prompts.token_ids(["A red hat", "", "x " * 40]))
    for texts in (ids, ids[:1]):
        theirs, ours = wanted.text_encoder(texts), encoder(texts)
        for port, values in theirs.items():
            torch.testing.assert_close(ours[port], values, **CLOSE, msg=port)
