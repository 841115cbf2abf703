"""Torch engines as they go to a GPU: devices, dtypes, channels-last and graphs, run on the CPU."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import Tensor

from lafi.engine.torch.device import (
    DeviceError,
    bring,
    bring_batch,
    channels_last,
    check_running,
    give_back,
    place,
    precision_name,
    torch_device,
    vae_dtype,
)
from lafi.engine.torch.engines import TorchDenoiser, load_torch_engines, torch_denoiser
from lafi.engine.torch.graphs import ForwardEngine, GraphDenoiser
from lafi.model.bank_groups import BANK_MASK, bank_groups, bank_shapes
from lafi.model.engine_metadata import Shape
from lafi.model.families.registry import input_ports
from lafi.model.info import ModelInfo
from lafi.ports.bank_entry import BankInputs
from lafi.ports.denoiser_tensors import denoiser_tensors
from lafi.ports.engines import DenoiserBatch, Engines

CPU = torch.device("cpu")


class PretendedCuda:
    """A `torch.cuda` with this many GPUs."""

    def __init__(self, count: int) -> None:
        self._count = count

    def is_available(self) -> bool:
        return self._count > 0

    def device_count(self) -> int:
        return self._count


class CpuDevice:
    """A `Device` that counts what it captures and replays."""

    def __init__(self) -> None:
        self.captures = self.replays = 0

    def empty(self, shape: Shape, dtype: torch.dtype) -> Tensor:
        return torch.full(shape, 77, dtype=dtype)

    @contextmanager
    def stream(self) -> Iterator[None]:
        yield

    def capture(self, work: Callable[[], None]) -> Callable[[], None]:
        self.captures += 1

        def replay() -> None:
            self.replays += 1
            work()

        return replay

    def finish(self) -> None:
        return

    def hand_over(self, tensor: Tensor, like: Tensor) -> Tensor:
        return tensor.clone().to(like.device)


def random_rows(
    info: ModelInfo, seed: int, rows: int, references: int, height: int, width: int
) -> DenoiserBatch:
    """height, width: in sides of the smallest latent. Routes lead anywhere or nowhere."""
    gen = torch.Generator().manual_seed(seed)
    step = info.side_multiple // info.vae_scale
    high, wide = step * height, step * width

    def weights(*shape: int) -> Tensor:
        return torch.rand(shape, generator=gen).round(decimals=1)

    words = torch.randint(-1, references, (rows, info.text_length), generator=gen).int()
    words[:, 0] = -1
    ports = {"words": words} if seed % 2 else {}
    if info.pooled_width:
        ports["pooled"] = torch.randn(rows, info.pooled_width, generator=gen)
        ports["time_ids"] = torch.full((rows, 6), 64.0)
    return DenoiserBatch(
        {
            "latents": torch.randn(rows, info.latent_channels, high, wide, generator=gen),
            "timesteps": torch.randint(0, 1000, (rows,), generator=gen).float(),
            "text": torch.randn(rows, info.text_length, info.text_width, generator=gen),
            "routes": torch.randint(
                -1, rows, (len(info.layers), rows, references), generator=gen, dtype=torch.int32
            ),
            "bias": torch.randn(rows, references, generator=gen),
            "mask": weights(rows, high, wide),
            "region": weights(rows, references, high, wide),
            **ports,
        },
    )


@pytest.fixture(scope="module")
def engines(checkpoint: Path) -> Engines:
    return load_torch_engines(checkpoint)


@pytest.fixture
def unet(checkpoint: Path) -> UNet2DConditionModel:
    return UNet2DConditionModel.from_pretrained(checkpoint / "unet").eval()


@pytest.fixture
def batch(engines: Engines) -> DenoiserBatch:
    return random_rows(engines.info, 1, 3, 1, 2, 2)


def refused(*_: Any) -> Any:
    raise AssertionError("nothing on the CPU asks for this")


@pytest.mark.parametrize(
    ("name", "gpus", "found"),
    [
        ("cpu", 0, "cpu"),
        ("cpu", 2, "cpu"),
        ("cuda", 1, "cuda:0"),
        ("cuda:0", 1, "cuda:0"),
        ("cuda:1", 2, "cuda:1"),
    ],
)
def test_devices_by_name(name: str, gpus: int, found: str) -> None:
    loaded: list[str] = []
    assert torch_device(name, PretendedCuda(gpus), loaded.append) == torch.device(found)
    # Only a GPU loads the fused kernel, and with it Triton-lang.
    assert loaded == ([] if found == "cpu" else ["lafi_kernels.cuda"])


@pytest.mark.parametrize("name", ["cuda", "cuda:0", "mps", ""])
def test_a_device_that_is_not_there(name: str) -> None:
    with pytest.raises(DeviceError) as caught:
        torch_device(name, PretendedCuda(0), refused)
    assert str(caught.value) == (
        f"device: got {name!r}, allowed cpu (torch sees no NVIDIA GPU here)"
    )


@pytest.mark.parametrize("name", ["cuda:2", "cuda:", "cuda:-1", "cuda:01", "gpu", "meta"])
def test_one_that_is_not_among_several(name: str) -> None:
    with pytest.raises(DeviceError, match=r"allowed cpu, cuda, cuda:0, cuda:1$"):
        torch_device(name, PretendedCuda(2), refused)


def test_a_gpu_without_triton_lang() -> None:
    def load(name: str) -> Any:
        raise ModuleNotFoundError("No module named 'triton'")

    with pytest.raises(DeviceError, match=r"No module named 'triton'; pip install 'lafi\[gpu\]'"):
        torch_device("cuda", PretendedCuda(1), load)


def test_loading_says_what_it_cannot_have(checkpoint: Path) -> None:
    with pytest.raises(DeviceError, match=r"device: got 'tpu', allowed cpu"):
        load_torch_engines(checkpoint, device="tpu")
    with pytest.raises(DeviceError, match=r"running: got 'graphs', allowed eager on cpu"):
        load_torch_engines(checkpoint, running="graphs")
    with pytest.raises(DeviceError, match=r"dtype: got torch.float64, allowed torch.float32, "):
        load_torch_engines(checkpoint, torch.float64)


@pytest.mark.parametrize("running", ["eager", "graphs", "compile"])
def test_ways_of_running(running: str) -> None:
    check_running(running, torch.device("cuda:0"))
    if running != "eager":
        with pytest.raises(DeviceError, match=f"running: got '{running}', allowed eager on cpu"):
            check_running(running, CPU)
    with pytest.raises(DeviceError, match="got 'fast', allowed eager, graphs, compile on cuda:1"):
        check_running("fast", torch.device("cuda:1"))


def test_precisions() -> None:
    dtypes = (torch.float32, torch.bfloat16, torch.float16)
    assert [precision_name(dtype) for dtype in dtypes] == ["f32", "bf16", "f16"]
    # The VAE never runs in fp16.
    assert [vae_dtype(dtype) for dtype in dtypes] == [torch.float32, torch.bfloat16, torch.float32]


def test_half_precision_keeps_the_vae_in_fp32(checkpoint: Path, engines: Engines) -> None:
    half = load_torch_engines(checkpoint, torch.float16)
    assert half.info.precision == "f16"
    latents = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(half.vae_decoder(latents), engines.vae_decoder(latents))
    rows = random_rows(half.info, 2, 2, 1, 1, 1)
    got, wanted = half.denoiser(rows), engines.denoiser(rows)
    assert got.dtype == torch.float32
    assert 0 < (got - wanted).abs().max() < 2e-2 * wanted.abs().max()


def test_the_cpu_copies_nothing(batch: DenoiserBatch) -> None:
    assert bring_batch(batch, CPU) is batch
    assert bring(batch["latents"], CPU, torch.float32) is batch["latents"]
    assert give_back(batch["latents"], batch["text"]) is batch["latents"]


def with_bank(info: ModelInfo, batch: DenoiserBatch) -> DenoiserBatch:
    """Row 0 reads entry 0 of two in all layers."""
    gen = torch.Generator().manual_seed(5)
    groups = bank_groups(info.layers)
    shapes = bank_shapes(groups, 2, (batch["latents"].shape[2], batch["latents"].shape[3]))
    drawn = {name: torch.rand(shape, generator=gen) for name, shape in shapes.items()}
    routes = batch["routes"].clone()
    routes[:, 0] = len(batch["latents"])
    bank = BankInputs(
        keys=tuple(drawn[group.keys] for group in groups),
        values=tuple(drawn[group.values] for group in groups),
        mask=drawn[BANK_MASK],
    )
    return replace(batch.changed(routes=routes), bank=bank)


def test_every_tensor_of_a_batch_goes_along(engines: Engines, batch: DenoiserBatch) -> None:
    meta, groups = torch.device("meta"), bank_groups(engines.info.layers)
    info = engines.info.model_copy(update={"pooled_width": 5})
    added = {"pooled": torch.zeros(3, 5), "time_ids": torch.zeros(3, 6)}
    full = replace(with_bank(info, batch), ports={**batch.ports, **added})
    ports = input_ports(info)
    moved = denoiser_tensors(bring_batch(full, meta), ports, groups)
    assert {x.device.type for x in moved.values()} == {"meta"}
    assert list(moved) == list(denoiser_tensors(full, ports, groups))
    assert {"words", "pooled", "time_ids"} <= moved.keys()
    bare = bring_batch(batch, meta)
    assert bare.ports.keys() == batch.ports.keys()
    assert bare.bank is None


def test_channels_last_changes_rounding_alone(
    checkpoint: Path, unet: UNet2DConditionModel, engines: Engines, batch: DenoiserBatch
) -> None:
    assert place(unet, CPU) is unet
    assert unet.conv_in.weight.is_contiguous()
    channels_last(unet)
    assert unet.conv_in.weight.is_contiguous(memory_format=torch.channels_last)
    assert not unet.conv_in.weight.is_contiguous()
    got, wanted = TorchDenoiser(unet, engines.info)(batch), engines.denoiser(batch)
    torch.testing.assert_close(got, wanted, atol=2e-5, rtol=0)
    vae = channels_last(AutoencoderKL.from_pretrained(checkpoint / "vae").eval())
    with torch.no_grad():
        image = vae.decode(batch["latents"] / vae.config.scaling_factor).sample
    torch.testing.assert_close(image, engines.vae_decoder(batch["latents"]), atol=2e-5, rtol=0)


@torch.no_grad()
def test_no_value_is_read_on_the_way(
    unet: UNet2DConditionModel, engines: Engines, batch: DenoiserBatch
) -> None:
    """Tensors without values run through, as a graph that is captured needs it."""
    denoiser = TorchDenoiser(channels_last(unet.to("meta")), engines.info)
    predicted = denoiser(bring_batch(batch, torch.device("meta")))
    assert (predicted.device.type, predicted.shape) == ("meta", batch["latents"].shape)
    assert predicted.dtype == torch.float32


def test_compiled_whole(unet: UNet2DConditionModel, engines: Engines, batch: DenoiserBatch) -> None:
    """The forward pass with its processors is one graph; nothing of it falls back to Python."""
    denoiser = TorchDenoiser(unet, engines.info)
    unet.compile(backend="eager", fullgraph=True, dynamic=False)
    torch.testing.assert_close(denoiser(batch), engines.denoiser(batch), atol=2e-5, rtol=0)


def test_the_cpu_captures_nothing(
    unet: UNet2DConditionModel, engines: Engines, batch: DenoiserBatch
) -> None:
    denoiser = torch_denoiser(unet, engines.info, "eager", cuda_device=refused)
    assert torch.equal(denoiser(batch), engines.denoiser(batch))
    with pytest.raises(DeviceError, match="running: got 'graphs', allowed eager on cpu"):
        torch_denoiser(unet, engines.info, "graphs", cuda_device=refused)


def graph_denoiser(unet: UNet2DConditionModel, info: ModelInfo, device: CpuDevice) -> GraphDenoiser:
    ports, groups = input_ports(info), bank_groups(info.layers)
    engine = ForwardEngine(TorchDenoiser(unet, info).predict, ports, groups, torch.float32)
    return GraphDenoiser(engine, ports, groups, device, CPU)


def test_a_graph_for_each_shape(unet: UNet2DConditionModel, engines: Engines) -> None:
    device = CpuDevice()
    denoiser = graph_denoiser(unet, engines.info, device)
    shapes = [(3, 1, 2), (2, 0, 2), (3, 2, 2), (3, 1, 1)]
    batches = [random_rows(engines.info, i, b, r, s, s) for i, (b, r, s) in enumerate(shapes)]
    # A bank of two entries is one shape more.
    batches.append(with_bank(engines.info, batches[0]))
    for rows in (*batches, *batches):
        torch.testing.assert_close(denoiser(rows), engines.denoiser(rows), atol=0, rtol=0)
    assert (device.captures, device.replays) == (5, 10)
    changed = engines.denoiser(batches[0]) - engines.denoiser(batches[-1])
    assert changed[0].abs().max() > 0


def test_graphs_of_a_model_with_added_inputs(
    small_checkpoints: Callable[[str], Path],
) -> None:
    folder = small_checkpoints("sdxl")
    sdxl = load_torch_engines(folder)
    unet = UNet2DConditionModel.from_pretrained(folder / "unet").eval()
    device = CpuDevice()
    denoiser = graph_denoiser(unet, sdxl.info, device)
    for seed in (0, 1):
        rows = random_rows(sdxl.info, seed, 2, 1, 1, 1)
        assert torch.equal(denoiser(rows), sdxl.denoiser(rows))
    assert device.captures == 1
