"""Names of what OpenVINO is given otherwise than the exported file has it, because it is faster so.

Which of them are made, `lafi export` measures and writes into `lafi.json`. They compute the same
numbers in another order, so they decide pixels by a rounding. `lafi.engine.onnx.openvino_changes`
makes them.
"""

from typing import Final, Literal, get_args

GraphChange = Literal["channel_convolutions", "split_gates", "whole_vectors"]
"""channel_convolutions  scale and shift of a group norm as a convolution of each channel alone
split_gates           a gated projection and its halves as two projections
whole_vectors         texts that the denoiser attends to padded to whole vectors of the processor"""
GRAPH_CHANGES: Final[tuple[GraphChange, ...]] = get_args(GraphChange)
