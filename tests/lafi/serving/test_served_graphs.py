"""A served model's network, on the runtime that its config names."""

from pathlib import Path

import numpy as np
import pytest
import torch

from lafi.engine.cuda.machine import GpuMissing
from lafi.engine.onnx.graph import load_graph
from lafi.model.artifacts import VAE_DECODER, ArtifactsError
from lafi.serving.served_graphs import load_served_graph


def test_on_the_cpu_it_is_the_exported_file(repository: Path) -> None:
    artifacts = repository / "artifacts"
    served = load_served_graph(artifacts, VAE_DECODER, "onnxruntime", "f32", 1)
    plain = load_graph(artifacts, VAE_DECODER, "onnxruntime", "f32", 1)
    feed = {"latents": np.ones((1, 4, 8, 8), np.float32)}
    np.testing.assert_array_equal(served(feed)[0], plain(feed)[0])


def test_openvino_leaves_what_it_compiled_in_the_state_folder(
    repository: Path, tmp_path: Path
) -> None:
    artifacts = repository / "artifacts"
    load_served_graph(artifacts, VAE_DECODER, "openvino", "f32", 1, tmp_path)
    assert len(list((tmp_path / "compiled").iterdir())) == 1


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_of_tensorrt_rtx_it_is_the_plan_which_needs_a_gpu(repository: Path) -> None:
    with pytest.raises(GpuMissing, match=r"gpu: got none"):
        load_served_graph(repository / "artifacts", VAE_DECODER, "tensorrt-rtx", "f32", 1)


def test_another_runtime_is_refused(repository: Path) -> None:
    with pytest.raises(ArtifactsError, match="magic"):
        load_served_graph(repository / "artifacts", VAE_DECODER, "magic", "f32", 1)
