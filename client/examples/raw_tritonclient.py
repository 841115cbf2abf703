"""Draws one panel with nothing but tritonclient and numpy: python raw_tritonclient.py HOST:PORT."""

import json
import queue
import sys

import numpy as np
import tritonclient.grpc as triton

story = {"panels": [{"prompt": "a child with red hair waving on the beach at sunset"}]}
tensors = {"STORYBOARD": json.dumps(story).encode(), "REFERENCES": b""}
inputs = [triton.InferInput(name, [1], "BYTES") for name in tensors]
for tensor, value in zip(inputs, tensors.values(), strict=True):
    tensor.set_data_from_numpy(np.array([value], dtype=object))
answers = queue.Queue()
with triton.InferenceServerClient(sys.argv[1] if sys.argv[1:] else "127.0.0.1:8001") as client:
    client.start_stream(lambda result, error: answers.put((result, error)))
    client.async_stream_infer("storyboard", inputs)
    event = {"kind": ""}
    while event["kind"] not in ("finished", "failed"):
        result, error = answers.get(timeout=120)  # a dead model process says nothing at all
        if error is not None:
            raise SystemExit(error.message())
        event = json.loads(result.as_numpy("EVENT")[0])
        print(event)
        if event["kind"] == "panel":
            with open(f"panel_{event['panel']:02d}.png", "wb") as file:
                file.write(result.as_numpy("IMAGE")[0])
