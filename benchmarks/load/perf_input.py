"""Writes input data files for perf_analyzer in our wire format.

The format is perf_analyzer's ("Real Input Data" in its documentation): a list of requests, each a
mapping from an input's name to its content and shape. A BYTES tensor that is not text is written
as base64 of its serialized form, with the length of each element before it.
"""

import base64
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tritonclient.utils import serialize_byte_tensor

from lafi.board.storyboard import Storyboard
from lafi.wire.contract import storyboard_to_tensors

Entry = dict[str, Any]


def tensor_entry(values: npt.NDArray[Any]) -> Entry:
    """One tensor: numbers flat, BYTES as base64."""
    content: Any = values.ravel().tolist()
    if values.dtype == object:
        content = {"b64": base64.b64encode(serialize_byte_tensor(values).item()).decode()}
    return {"content": content, "shape": list(values.shape)}


def storyboard_entries(boards: Iterable[Storyboard]) -> list[dict[str, Entry]]:
    """A request of the model `storyboard` for each."""
    return [
        {name: tensor_entry(values) for name, values in storyboard_to_tensors(board).items()}
        for board in boards
    ]


def array_entries(name: str, arrays: Sequence[npt.NDArray[Any]]) -> list[dict[str, Entry]]:
    """A request of a model with one input for each array, without a batch dimension."""
    return [{name: tensor_entry(np.asarray(values))} for values in arrays]


def write_input(path: Path, entries: Sequence[dict[str, Entry]]) -> None:
    """Writes an input data file."""
    path.write_text(json.dumps({"data": list(entries)}), encoding="utf-8")
