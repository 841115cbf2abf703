"""Compares an exported control network or adapter with torch on random pictures and rows."""

from collections.abc import Iterator

import torch

from lafi.engine.onnx.graph import Precision, RuntimeName
from lafi.model.control_info import ControlInfo, is_feature, is_residual, network_ports
from lafi.model.families.registry import input_ports
from lafi.model.info import ModelInfo
from lafi.ports.control import ControlAdapter, ControlNetwork
from lafi_export.parity import engine_row
from lafi_export.parity_cases import Sizes, image_cases, random_ports
from lafi_export.parity_report import EngineParity


def compare_control(
    reference: ControlNetwork,
    candidate: ControlNetwork,
    info: ModelInfo,
    kind: tuple[RuntimeName, Precision],
    sizes: Sizes,
) -> Iterator[EngineParity]:
    """A row for each picture, and for each residual of each batch.

    info: of the model. kind: what runs the candidate; pictures are seen in f32 with any.
    """
    runtime, precision = kind
    for case, images in image_cases(info, sizes):
        pictures = images / 2 + 0.5
        pair = reference.condition(pictures), candidate.condition(pictures)
        yield engine_row("condition", case, runtime, "f32", *pair)
    ports = input_ports(info)
    names = [port.name for port in ports if is_residual(port)]
    generator = torch.Generator().manual_seed(5)
    for rows, high, wide in sizes:
        inputs = random_ports(network_ports(ports), info, generator, (rows, 1, high, wide))
        pairs = zip(reference.residuals(inputs), candidate.residuals(inputs), strict=True)
        for name, (want, got) in zip(names, pairs, strict=True):
            case = f"batch {rows}, {wide} x {high} steps, {name}"
            yield engine_row("control", case, runtime, precision, want, got)


def compare_adapter(
    reference: ControlAdapter,
    candidate: ControlAdapter,
    control: ControlInfo,
    info: ModelInfo,
    runtime: RuntimeName,
    sizes: Sizes,
) -> Iterator[EngineParity]:
    """A row for each feature of each picture, which is seen in f32. info: of the model."""
    names = [port.name for port in input_ports(info) if is_feature(port)]
    for case, images in image_cases(info, sizes):
        pictures = (images / 2 + 0.5)[:, : control.channels]
        pairs = zip(reference.features(pictures), candidate.features(pictures), strict=True)
        for name, pair in zip(names, pairs, strict=False):
            yield engine_row("adapter", f"{case}, {name}", runtime, "f32", *pair)
