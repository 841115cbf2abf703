"""A Triton Server in the style of its own Stable Diffusion tutorial.

It draws one request at a time. The Python backend holds diffusers' pipeline; a request is one
prompt and its answer one image.
It is the same server that LAFI uses, so that only the way of using it differs.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import tritonclient.grpc as grpcclient

from lafi.server.exposure import OPEN_PARTS
from lafi.server.supervisor import Supervisor

# The supervisor requires a model of this name in every repository.
NAME = "storyboard"
CONFIG = """
backend: "python"
max_batch_size: 0
input [{ name: "PROMPT" data_type: TYPE_STRING dims: [1] },
       { name: "SEED" data_type: TYPE_INT64 dims: [1] }]
output [{ name: "IMAGE" data_type: TYPE_STRING dims: [1] }]
"""
MODEL = """
import sys
sys.path.insert(0, {root!r})
from pathlib import Path
import numpy as np
import torch
import triton_python_backend_utils as pb_utils
from benchmarks.peers.diffusers_pipeline import PlainDiffusers


class TritonPythonModel:
    def initialize(self, args):
        torch.set_num_threads({threads})
        self.pipeline = PlainDiffusers(Path({checkpoint!r}))

    def execute(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        prompt = pb_utils.get_input_tensor_by_name(request, "PROMPT").as_numpy()[0].decode()
        seed = int(pb_utils.get_input_tensor_by_name(request, "SEED").as_numpy()[0])
        (png,) = self.pipeline.draw([prompt], [seed], {side}, {steps}, {guidance})
        image = pb_utils.Tensor("IMAGE", np.array([png], dtype=object))
        return pb_utils.InferenceResponse([image])
"""


@contextmanager
def tutorial_server(
    checkpoint: Path, folder: Path, *, side: int, steps: int, guidance: float, threads: int
) -> Iterator[Supervisor]:
    """A running server; `folder` gets its repository."""
    version = folder / "models" / NAME / "1"
    version.mkdir(parents=True)
    settings = {
        "root": str(Path(__file__).resolve().parents[2]),
        "checkpoint": str(checkpoint.resolve()),
        "side": side,
        "steps": steps,
        "guidance": guidance,
        "threads": threads,
    }
    text = MODEL
    for name, value in settings.items():
        text = text.replace(f"{{{name}!r}}", repr(value)).replace(f"{{{name}}}", repr(value))
    (version / "model.py").write_text(text, encoding="utf-8")
    (version.parent / "config.pbtxt").write_text(CONFIG, encoding="utf-8")
    with Supervisor(folder, threads=threads, exposure=OPEN_PARTS) as server:
        yield server


def draw_one_by_one(
    server: Supervisor, prompts: Sequence[str], seeds: Sequence[int], in_flight: int
) -> list[bytes]:
    """A PNG file for each prompt; `in_flight` requests wait at the server at a time."""

    def ask(prompt: str, seed: int) -> bytes:
        with grpcclient.InferenceServerClient(server.grpc_url) as client:
            inputs = [
                grpcclient.InferInput("PROMPT", [1], "BYTES"),
                grpcclient.InferInput("SEED", [1], "INT64"),
            ]
            inputs[0].set_data_from_numpy(np.array([prompt.encode()], dtype=object))
            inputs[1].set_data_from_numpy(np.array([seed]))
            png: bytes = client.infer(NAME, inputs).as_numpy("IMAGE")[0]
            return png

    with ThreadPoolExecutor(in_flight) as threads:
        return list(threads.map(ask, prompts, seeds))
