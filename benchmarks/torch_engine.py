"""The cost of a step in the torch engine on an NVIDIA GPU, compared with the GPU's limits.

    python -m benchmarks.torch_engine                  a GPU: SDXL at 1024 px, SD1.5 at 512 px
    python -m benchmarks.torch_engine --count          operations and bytes alone, on any machine
    python -m benchmarks.torch_engine --device cpu --size small      tries the script itself

UNets at their published sizes with random weights; 8 and 16 panels with guidance, so two rows for
each, and one reference row that all of them read in the layers of a preset (`none` has no
reference row). A step is one denoiser call, from tensors on the CPU to a prediction on the CPU.
Panels per second are for 30 such steps, without text, VAE and noise schedule.

Writes `torch_engine.json` and `.png` to `results` beside this file, or to `--out`. Without a GPU it
exits with code 2. Not run on a GPU yet.
"""

import argparse
import gc
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import torch
from diffusers import UNet2DConditionModel
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.attention import RESULTS
from benchmarks.attention_count import BYTES_PER_S, FLOPS_PER_S
from benchmarks.unet_info import unet_info
from lafi.board.injection import LayerPreset
from lafi.conditioning.routing import Reading, routing_ports
from lafi.engine.torch.device import DeviceError, Running, bring_batch, place, torch_device
from lafi.engine.torch.engines import TorchDenoiser, TorchReferenceReader, torch_denoiser
from lafi.model.architectures.architecture import Size
from lafi.model.architectures.parts import TEXT_LENGTH
from lafi.model.architectures.registry import ArchitectureName, architecture
from lafi.model.families.unet import UNET, first_injected_layer, self_attention_layers
from lafi.model.info import AttentionSite, ModelInfo
from lafi.ports.bank_entry import BankInputs, stack_bank
from lafi.ports.engines import Denoiser, DenoiserBatch, ReferenceBatch

PRESETS: tuple[LayerPreset, ...] = ("none", "decoder", "all")
RUNNINGS: tuple[Running, ...] = ("eager", "graphs")
STEPS = 30
VAE_SCALE = 8
DTYPES = {"bf16": torch.bfloat16, "f16": torch.float16, "f32": torch.float32}


@dataclass(frozen=True, slots=True)
class Case:
    """side: of the picture in pixels. rows: with guidance, plus the reference if one is read.

    known: the reference was read before and lies in the bank, so it is no row.
    """

    model: ArchitectureName
    side: int
    panels: int
    preset: LayerPreset
    known: bool = False

    @property
    def rows(self) -> int:
        return 2 * self.panels + (self.preset != "none" and not self.known)

    @property
    def readers(self) -> int:
        """Rows that read the reference."""
        return 2 * self.panels if self.preset != "none" else 0

    @property
    def name(self) -> str:
        known = ", known" if self.known else ""
        return f"{self.model} {self.side} px, {self.panels} panels, {self.preset}{known}"


def meta_unet(model: ArchitectureName, size: Size) -> nn.Module:
    """An architecture's UNet without weights, on torch's meta device."""
    with torch.device("meta"):
        unet: nn.Module = UNet2DConditionModel.from_config(
            architecture(model, size).configs["unet"]
        )
    return unet


@dataclass(frozen=True, slots=True)
class Work:
    """The work of one call: operations, two for a product and its sum, and bytes of weights."""

    flops: float
    weight_bytes: float

    @property
    def milliseconds(self) -> float:
        """The roofline: time at the rate of the matrix units or of the memory, if longer."""
        return 1e3 * max(self.flops / FLOPS_PER_S, self.weight_bytes / BYTES_PER_S)


@dataclass(frozen=True, slots=True)
class Measurement:
    """One case, run one way. share: of the roofline. gibibytes: peak on the GPU; else None."""

    case: str
    rows: int
    running: str
    milliseconds: float
    panels_per_s: float
    tflops_per_s: float
    roofline_milliseconds: float
    share: float
    gibibytes: float | None


def cases(size: Size) -> Iterator[Case]:
    """The published full size; the small sizes are for trying the script."""
    shapes: tuple[tuple[ArchitectureName, int], ...] = (("sdxl", 1024), ("sd15", 512))
    counts: tuple[int, ...] = (8, 16)
    if size == "small":
        shapes, counts = (("sdxl", 64), ("sd15", 64)), (2,)
    for model, side in shapes:
        for panels in counts:
            for preset in PRESETS:
                yield Case(model, side, panels, preset)


def random_unet(
    model: ArchitectureName, size: Size, device: torch.device, dtype: torch.dtype
) -> UNet2DConditionModel:
    """Made on its device. Weights keep the scale of activations, so that none overflows."""
    # torch's `to`: diffusers' own warns about modules that must stay fp32; there are none here.
    unet = nn.Module.to(meta_unet(model, size), dtype)
    unet.to_empty(device=device)
    torch.manual_seed(0)
    with torch.no_grad():
        for name, values in unet.named_parameters():
            if values.ndim > 1:
                values.normal_(std=values[0].numel() ** -0.5)
            else:
                values.fill_(float("norm" in name and name.endswith("weight")))
    return place(unet, device)


def make_batch(
    case: Case,
    unet: UNet2DConditionModel,
    layers: Sequence[AttentionSite],
    bank: BankInputs | None = None,
) -> DenoiserBatch:
    """Rows on the CPU, as from the batcher; the last one is the reference, if none is known.

    bank: of a known reference, from `read_reference`.
    """
    cells = (case.side // VAE_SCALE, case.side // VAE_SCALE)
    readings = [Reading()] * case.rows
    if case.readers:
        # Row B of a call with B rows is the first entry of its bank.
        reads = UNET.presets(layers)[case.preset]
        reader = Reading((case.readers,), (torch.ones(cells),), reads)
        readings = [*[reader] * case.readers, *readings[case.readers :]]
    routing = routing_ports(readings, len(layers), cells, bank=int(case.known))
    ports = {"mask": torch.ones(case.rows, *cells), **routing}
    return DenoiserBatch({**random_ports(case, unet, case.rows), **ports}, bank)


def random_ports(case: Case, unet: UNet2DConditionModel, rows: int) -> dict[str, Tensor]:
    """What each of `rows` rows is and is told, on the CPU, without what it reads."""
    cells = (case.side // VAE_SCALE, case.side // VAE_SCALE)
    gen = torch.Generator().manual_seed(0)
    config = unet.config
    ports = {
        "latents": torch.randn(rows, config.in_channels, *cells, generator=gen),
        "timesteps": torch.full((rows,), 500.0),
        "text": torch.randn(rows, TEXT_LENGTH, config.cross_attention_dim, generator=gen),
    }
    if config.addition_embed_type == "text_time":
        ids = 6 * config.addition_time_embed_dim
        width = config.projection_class_embeddings_input_dim - ids
        ports["pooled"] = torch.randn(rows, width, generator=gen)
        sizes = torch.tensor([[case.side, case.side, 0, 0, case.side, case.side]])
        ports["time_ids"] = sizes.float().repeat(rows, 1)
    return ports


def read_reference(case: Case, unet: UNet2DConditionModel, info: ModelInfo) -> BankInputs:
    """The bank of a call with one known reference, on the UNet's device and in its dtype.

    unet: as a `TorchDenoiser` prepared it.
    """
    mask = torch.ones(1, case.side // VAE_SCALE, case.side // VAE_SCALE)
    batch = ReferenceBatch(random_ports(case, unet, 1), mask)
    return stack_bank(TorchReferenceReader(unet, info)(batch))


def count(case: Case, size: Size, element_bytes: int) -> Work:
    """Convolutions, products and cross-attention by torch's counter, self-attention by its shapes.

    Nothing is computed: the UNet and its rows have no values.
    """
    unet = meta_unet(case.model, size)
    layers = self_attention_layers(unet)
    rows = bring_batch(make_batch(case, unet, layers), torch.device("meta"))
    with FlopCounterMode(display=False) as counter:
        TorchDenoiser(unet, unet_info(unet, VAE_SCALE, TEXT_LENGTH)).predict(rows)
    start = first_injected_layer(layers, case.preset)
    attention = 0
    for index, layer in enumerate(layers):
        tokens = (case.side // VAE_SCALE // layer.downscale) ** 2
        pairs = case.rows + (case.readers if index >= start else 0)
        attention += 4 * pairs * tokens**2 * layer.width
    weights = sum(values.numel() for values in unet.parameters())
    return Work(float(counter.get_total_flops() + attention), float(weights * element_bytes))


def measure(
    case: Case,
    work: Work,
    denoiser: Denoiser,
    batch: DenoiserBatch,
    running: str,
    repeats: int,
    warm_up: int = 3,
) -> Measurement:
    """The median of `repeats` calls after `warm_up` calls."""
    on_gpu = torch.cuda.is_available()
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    for _ in range(warm_up):
        denoiser(batch)
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        denoiser(batch)
        seconds.append(time.perf_counter() - started)
    median = statistics.median(seconds)
    return Measurement(
        case=case.name,
        rows=case.rows,
        running=running,
        milliseconds=1e3 * median,
        panels_per_s=case.panels / (STEPS * median),
        tflops_per_s=work.flops / median / 1e12,
        roofline_milliseconds=work.milliseconds,
        share=work.milliseconds / (1e3 * median),
        gibibytes=torch.cuda.max_memory_allocated() / 2**30 if on_gpu else None,
    )


def measure_all(
    size: Size, device: torch.device, dtype: torch.dtype, runnings: Sequence[Running], repeats: int
) -> Iterator[Measurement]:
    """Every case, run every way; frees memory before the next model or way."""
    wanted = {case: count(case, size, dtype.itemsize) for case in cases(size)}
    for model in dict.fromkeys(case.model for case in wanted):
        for running in runnings:
            unet = random_unet(model, size, device, dtype)
            layers = self_attention_layers(unet)
            denoiser = torch_denoiser(unet, unet_info(unet, VAE_SCALE, TEXT_LENGTH), running)
            for case, work in wanted.items():
                if case.model == model:
                    batch = make_batch(case, unet, layers)
                    yield measure(case, work, denoiser, batch, running, repeats)
            del unet, denoiser
            gc.collect()
            if device.type == "cuda":
                torch.cuda.empty_cache()


def show(found: Sequence[Measurement], title: str, console: Console) -> None:
    """The measurements as a table."""
    table = Table(title=title)
    for column in ("case", "rows", "running", "ms", "panels/s", "TFLOP/s", "roofline ms", "share",
                   "peak GiB"):  # fmt: skip
        table.add_column(column)
    for m in found:
        memory = "" if m.gibibytes is None else f"{m.gibibytes:.1f}"
        table.add_row(
            m.case, str(m.rows), m.running, f"{m.milliseconds:.1f}", f"{m.panels_per_s:.2f}",
            f"{m.tflops_per_s:.3g}", f"{m.roofline_milliseconds:.1f}", f"{m.share:.1%}", memory,
        )  # fmt: skip
    console.print(table)


def plot(found: Sequence[Measurement], title: str, file: Path) -> None:
    """Bars of milliseconds per case and way, with the roofline as a line over each case."""
    names = list(dict.fromkeys(m.case for m in found))
    runnings = list(dict.fromkeys(m.running for m in found))
    figure, axes = plt.subplots(figsize=(11, 5))
    for i, running in enumerate(runnings):
        times = [m.milliseconds for m in found if m.running == running]
        places = [x + i * 0.8 / len(runnings) for x in range(len(names))]
        axes.bar(places, times, 0.8 / len(runnings), align="edge", label=running)
    limits = [next(m.roofline_milliseconds for m in found if m.case == name) for name in names]
    axes.hlines(limits, range(len(names)), [x + 0.8 for x in range(len(names))], "k", label="limit")
    axes.set_xticks([x + 0.4 for x in range(len(names))], names, rotation=30, ha="right")
    axes.set_ylabel("ms per step")
    axes.set_yscale("log")
    axes.set_title(title)
    axes.legend()
    figure.tight_layout()
    figure.savefig(file, dpi=120)
    plt.close(figure)


def count_table(size: Size) -> str:
    """Operations and roofline of every case as a Markdown table, in 16 bits."""
    lines = ["| case | rows | TFLOP | TFLOP a row | roofline, ms |", "|---|---|---|---|---|"]
    for case in cases(size):
        work = count(case, size, 2)
        tera = work.flops / 1e12
        lines.append(
            f"| {case.name} | {case.rows} | {tera:.4g} | {tera / case.rows:.4g} "
            f"| {work.milliseconds:.4g} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Count, or measure and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", action="store_true", help="print operations and stop")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--size", choices=("full", "small"), default="full")
    parser.add_argument("--dtype", choices=tuple(DTYPES), default="bf16")
    parser.add_argument("--running", nargs="+", choices=("eager", "graphs", "compile"))
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--out", type=Path, help="folder of the results")
    arguments = parser.parse_args()
    if arguments.count:
        print(count_table(arguments.size))
        return
    try:
        device = torch_device(arguments.device)
    except DeviceError as error:
        print(f"{error}; --count needs no GPU", file=sys.stderr)
        raise SystemExit(2) from None
    on_gpu = device.type == "cuda"
    if on_gpu:
        torch.cuda.set_device(device)
    runnings = tuple(arguments.running or (RUNNINGS if on_gpu else ("eager",)))
    title = torch.cuda.get_device_name() if on_gpu else f"CPU, {arguments.size} models"
    found = list(
        measure_all(arguments.size, device, DTYPES[arguments.dtype], runnings, arguments.repeats)
    )
    show(found, title, Console(width=120))
    # The results folder is not for figures of the CPU.
    out = arguments.out or (RESULTS if on_gpu else Path(tempfile.mkdtemp(prefix="torch_engine.")))
    content = {
        "device": title,
        "torch": torch.__version__,
        "dtype": arguments.dtype,
        "steps": STEPS,
        "roofline": {"flops_per_s": FLOPS_PER_S, "bytes_per_s": BYTES_PER_S},
        "measurements": [asdict(m) for m in found],
    }
    text = json.dumps(content, indent=1) + "\n"
    (out / "torch_engine.json").write_text(text, encoding="utf-8")
    plot(found, title, out / "torch_engine.png")
    print(f"written to {out}")


if __name__ == "__main__":
    main()
