"""A family and an input that only tests know go through batch, wire, padding and torch."""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from lafi.conditioning.conditioner import FixedPorts
from lafi.conditioning.reference import Reference
from lafi.denoising.bank import Bank
from lafi.denoising.denoiser_batch import build_batch
from lafi.denoising.kept_references import KeptReferences
from lafi.denoising.panel_state import PanelInjection, PanelState
from lafi.engine.cuda.graphs import GraphRunner
from lafi.engine.tensorrt.engines import TensorRTDenoiser, denoiser_padding
from lafi.engine.torch.engines import TorchDenoiser, TorchReferenceReader
from lafi.engine.torch.families.registry import torch_families, torch_family_of
from lafi.engine.torch.graphs import ForwardEngine
from lafi.model.bank_groups import bank_groups, placeholder_shapes
from lafi.model.engine_metadata import EngineMetadata, Shape
from lafi.model.families.registry import families, family_of, input_ports
from lafi.model.info import ModelInfo, ModelInfoError
from lafi.model.layers import injected_layers
from lafi.ports.bank_entry import stack_bank
from lafi.ports.denoiser_tensors import denoiser_tensors
from lafi.ports.engines import EncodedText
from lafi.sampling.guidance import Embedded
from lafi.serving.batched_engine import InputError, check_denoiser_inputs
from lafi.wire.model_spec import TensorSpec, config_pbtxt, denoiser_spec, text_encoder_spec
from lafi_export.parity_cases import bank_cases, denoiser_cases
from lafi_export.tensorrt_compare import sample_feeds
from lafi_export.tensorrt_profiles import Limits, Range, batched_profile, denoiser_profile

SIZE = (4, 6)
LIMITS = Limits(rows=Range(1, 4, 8), entries=Range(1, 1, 4), side=Range(16, 16, 24))
ANGRY = torch.tensor([1.0, 0.0, 0.25])


def test_an_installed_package_brings_the_family(info: ModelInfo) -> None:
    for found in (families(), torch_families()):
        assert {"unet", "toy"} <= found.keys()
    assert family_of(info).guidance == "embedded"
    assert torch_family_of(info).part == "transformer"
    unknown = info.model_copy(update={"family": "video"})
    for find in (family_of, torch_family_of):
        with pytest.raises(
            ModelInfoError, match=r"family of toy: got 'video', allowed unet, (.+, )?toy$"
        ):
            find(unknown)


def test_its_facts_are_kept_beside_the_model(info: ModelInfo) -> None:
    again = ModelInfo.model_validate_json(info.model_dump_json())
    assert again == info
    assert input_ports(again) == input_ports(info)


def test_its_presets_are_its_own(info: ModelInfo) -> None:
    assert injected_layers(info, "texture") == (0, 2)
    with pytest.raises(ValueError, match="layers: got 'decoder', allowed default, none, all, t"):
        injected_layers(info, "decoder")


@dataclass
class FlowProcess:
    """`(1 - t) * picture + t * noise`, t in [0, 1], 1000 timesteps."""

    last_timestep: int = 1000

    def noised(self, latents: Tensor, noise: Tensor, timestep: float) -> Tensor:
        share = timestep / self.last_timestep
        return (1.0 - share) * latents + share * noise

    def timestep_of(self, share: float) -> float:
        return share * self.last_timestep


@dataclass
class FlowSchedule:
    """Euler's method from noise to picture, in equal steps."""

    steps: int = 4
    index: int = 0

    @property
    def timestep(self) -> float:
        return 1000.0 * (1.0 - self.index / self.steps)

    def scale(self, latents: Tensor) -> Tensor:
        return latents

    def step(self, prediction: Tensor, latents: Tensor) -> Tensor:
        self.index += 1
        return latents - prediction / self.steps


def drawn(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def text_of(info: ModelInfo, seed: int, tokens: int = 5) -> EncodedText:
    return {"text": drawn(seed, tokens, info.text_width), "text_mask": torch.ones(tokens)}


def reference(seed: int, info: ModelInfo) -> Reference:
    mask = torch.ones(SIZE)
    mask[:, :2] = 0.0
    return Reference(
        content=str(seed),
        caption="mia",
        latents=drawn(seed, 4, *SIZE),
        noise=drawn(seed + 1, 4, *SIZE),
        mask=mask,
        text=text_of(info, seed + 2),
    )


def panel(info: ModelInfo, seed: int, *, told: dict[str, Tensor], reads: bool = True) -> PanelState:
    injection = PanelInjection(
        references=(reference(70, info),) if reads else (),
        regions=(torch.ones(SIZE),) if reads else (),
        layers=injected_layers(info, "all"),
        end=1.0,
        strength=0.5,
        noise=0.1,
    )
    return PanelState(
        name=str(seed),
        latents=drawn(seed, 4, *SIZE),
        schedule=FlowSchedule(),
        text=text_of(info, seed + 1),
        negative=None,
        guidance=Embedded(1.0),
        injection=injection,
        conditioners=(FixedPorts(told),),
    )


def told(guidance: float) -> dict[str, Tensor]:
    return {"guidance": torch.tensor(guidance)}


def test_rows_get_what_their_panel_is_told_and_others_the_fill(info: ModelInfo) -> None:
    first = panel(info, 1, told=told(3.5) | {"mood": ANGRY})
    second = panel(info, 2, told=told(5.0), reads=False)
    sources = first.readings(FlowProcess())
    batch = build_batch([first, second], sources, FlowProcess(), info, padding=2)
    assert len(batch["latents"]) == 5
    assert batch["timesteps"].tolist() == [1000.0, 1000.0, 100.0, 100.0, 100.0]
    assert {"guidance", "mood", "text_mask"} <= batch.ports.keys()
    assert batch.ports["guidance"].tolist() == [3.5, 5.0, 1.0, 1.0, 1.0]
    assert batch.ports["mood"].tolist() == [ANGRY.tolist(), *[[0.5] * 3] * 4]
    assert batch["routes"][:, :, 0].tolist() == [[2, -1, -1, -1, -1]] * 3
    torch.testing.assert_close(batch["latents"][2], sources[0].reference.at(100.0, FlowProcess()))


def test_an_input_that_no_row_has_is_left_out_until_an_engine_asks(info: ModelInfo) -> None:
    batch = build_batch([panel(info, 1, told={}, reads=False)], (), FlowProcess(), info)
    assert not {"guidance", "mood"} & batch.ports.keys()
    tensors = denoiser_tensors(batch, input_ports(info), bank_groups(info.layers))
    assert tensors["guidance"].tolist() == [1.0]
    assert tensors["mood"].tolist() == [[0.5] * 3]
    assert list(tensors)[:10] == [port.name for port in input_ports(info)]


def test_the_wire_has_its_inputs(info: ModelInfo) -> None:
    spec = denoiser_spec(info)
    assert spec.inputs == (
        TensorSpec("latents", "FP32", (-1, 4, -1, -1)),
        TensorSpec("timesteps", "FP32", (-1,)),
        TensorSpec("text", "FP32", (-1, -1, 12)),
        TensorSpec("routes", "INT32", (3, -1, -1)),
        TensorSpec("bias", "FP32", (-1, -1)),
        TensorSpec("mask", "FP32", (-1, -1, -1)),
        TensorSpec("region", "FP32", (-1, -1, -1, -1)),
        TensorSpec("text_mask", "FP32", (-1, -1)),
        TensorSpec("guidance", "FP32", (-1,)),
        TensorSpec("mood", "FP32", (-1, 3)),
    )
    mood = 'name: "mood"\n  data_type: TYPE_FP32\n  dims: -1\n  dims: 3\n'
    assert mood in config_pbtxt(spec)
    texts = text_encoder_spec(info)
    assert texts.inputs == (TensorSpec("TOKEN_IDS", "INT64", (-1,)),)
    assert texts.outputs == (
        TensorSpec("TEXT", "FP32", (-1, 12)),
        TensorSpec("TEXT_MASK", "FP32", (-1,)),
    )


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({}, None),
        ({"mood": np.zeros((3, 3))}, "mood: got rows 3, allowed: 2, as in latents"),
        ({"guidance": np.zeros(1)}, "guidance: got rows 1, allowed: 2, as in latents"),
        ({"guidance": np.full(2, np.nan)}, "guidance: got nan, allowed: finite numbers"),
        ({"routes": np.full((3, 2, 1), 2)}, "routes: got 2, allowed: -1 (nothing) to 1"),
    ],
)
def test_its_inputs_are_checked(info: ModelInfo, wrong: dict[str, Any], said: str | None) -> None:
    sizes = {"rows": 2, "references": 1, "height": 4, "width": 6, "tokens": 5}
    ports = input_ports(info)
    arrays = {port.name: np.full(port.shape(sizes), port.fill) for port in ports}
    if said is None:
        check_denoiser_inputs(arrays, ports)
        return
    with pytest.raises(InputError) as refused:
        check_denoiser_inputs(arrays | wrong, ports)
    assert str(refused.value) == said


def test_without_routes_attention_is_plain(info: ModelInfo, network: Any) -> None:
    denoiser = TorchDenoiser(copy.deepcopy(network), info)
    for case, batch in denoiser_cases(info):
        mute = batch.changed(routes=torch.full_like(batch["routes"], -1))
        rows = len(batch["latents"])
        wanted = network(
            batch["latents"],
            batch["timesteps"],
            batch["text"],
            batch["text_mask"],
            batch.ports.get("guidance", torch.ones(rows)),
            batch.ports.get("mood", torch.full((rows, 3), 0.5)),
        )
        got = denoiser(mute)
        torch.testing.assert_close(got, wanted, atol=1e-5, rtol=0, msg=case)
        assert torch.equal(denoiser(batch), got) == ("not routed" in case)


def test_a_reference_from_the_bank_is_the_same_as_a_row(info: ModelInfo, network: Any) -> None:
    module = copy.deepcopy(network)
    denoiser, reader = TorchDenoiser(module, info), TorchReferenceReader(module, info)
    process, state = FlowProcess(), panel(info, 1, told=told(3.5) | {"mood": ANGRY})
    kept = KeptReferences(reader, Bank(2**20), process, info)
    for _ in range(state.schedule.steps):
        sources = state.readings(process)
        row = denoiser(build_batch([state], sources, process, info))
        bank = kept.bank(sources)
        read = build_batch([state], (), process, info, kept=sources, bank=bank)
        plain = denoiser(read.changed(routes=torch.full_like(read["routes"], -1)))
        prediction = denoiser(read)
        torch.testing.assert_close(prediction, row[:1], atol=1e-5, rtol=0)
        assert (prediction - plain).abs().max() > 1e-3
        before = state.latents
        state.advance(prediction)
        torch.testing.assert_close(state.latents, before - prediction[0] / 4)
    assert state.schedule.timestep == 0.0


def test_random_references_in_the_bank_too(info: ModelInfo, network: Any) -> None:
    module = copy.deepcopy(network)
    denoiser, reader = TorchDenoiser(module, info), TorchReferenceReader(module, info)
    for name, case in bank_cases(info):
        wanted = denoiser(case.rows)[: len(case.panels["latents"])]
        got = denoiser(replace(case.panels, bank=stack_bank(reader(case.references))))
        torch.testing.assert_close(got, wanted, atol=1e-5, rtol=0, msg=name)


def test_what_it_is_told_matters(info: ModelInfo, network: Any) -> None:
    denoiser = TorchDenoiser(copy.deepcopy(network), info)
    process = FlowProcess()
    given = (told(1.0), told(7.0), told(1.0) | {"mood": ANGRY}, {"mood": torch.full((3,), 0.5)})
    one, much, angry, usual = (
        denoiser(build_batch([panel(info, 1, told=ports, reads=False)], (), process, info))
        for ports in given
    )
    assert (one - much).abs().max() > 1e-3
    assert (one - angry).abs().max() > 1e-3
    assert torch.equal(one, usual)


def test_text_neither_reads_a_reference_nor_is_read(info: ModelInfo, network: Any) -> None:
    """Other words of a reference reach a panel through its picture alone: not in layer 0."""
    denoiser = TorchDenoiser(copy.deepcopy(network), info)
    (_, batch), *_ = ((n, b) for n, b in denoiser_cases(info) if len(b["latents"]) == 3)
    routes = torch.full_like(batch["routes"], -1)
    routes[0, 0] = 1
    text = batch["text"].clone()
    text[1] = text[1] + 1.0
    first, other = (denoiser(batch.changed(routes=routes, text=x)) for x in (batch["text"], text))
    assert torch.equal(first[0], other[0])
    assert not torch.equal(first[1], other[1])
    routes[2, 0] = 1
    first, other = (denoiser(batch.changed(routes=routes, text=x)) for x in (batch["text"], text))
    assert not torch.equal(first[0], other[0])


def test_texts_of_different_lengths_are_padded_and_padding_changes_nothing(
    info: ModelInfo, network: Any
) -> None:
    denoiser, process = TorchDenoiser(copy.deepcopy(network), info), FlowProcess()
    short, long = panel(info, 1, told=told(3.5)), panel(info, 2, told=told(3.5))
    short.text = text_of(info, 5, tokens=2)
    sources = short.readings(process)
    both = build_batch([short, long], sources, process, info)
    assert both["text"].shape == (3, 5, info.text_width)
    assert both["text_mask"].tolist() == [[1.0, 1.0, 0.0, 0.0, 0.0], [1.0] * 5, [1.0] * 5]
    by_itself = panel(info, 1, told=told(3.5), reads=False)
    by_itself.text = short.text
    alone = build_batch([by_itself], (), process, info)
    assert alone["text"].shape[1] == 2
    deaf = both.changed(routes=torch.full_like(both["routes"], -1))
    torch.testing.assert_close(denoiser(deaf)[:1], denoiser(alone), atol=1e-5, rtol=0)
    heard = both.changed(text_mask=torch.ones(3, 5))
    assert (denoiser(heard)[0] - denoiser(both)[0]).abs().max() > 1e-4


def test_an_engine_is_built_for_its_inputs(info: ModelInfo) -> None:
    profile = denoiser_profile(info, LIMITS)
    assert {name: profile[name].largest for name in ("guidance", "mood", "text")} == {
        "guidance": (8,),
        "mood": (8, 3),
        "text": (8, 5, 12),
    }
    assert profile["text_mask"].smallest == (1, 1)
    spec = text_encoder_spec(info)
    assert batched_profile(spec, info, LIMITS)["TOKEN_IDS"].largest == (8, 5)
    assert list(profile) == [
        *(port.name for port in input_ports(info)),
        *placeholder_shapes(bank_groups(info.layers)),
    ]


class CpuDevice:
    """Runs at once, on the CPU."""

    def empty(self, shape: Shape, dtype: torch.dtype) -> Tensor:
        return torch.full(shape, 9, dtype=dtype)

    @contextmanager
    def stream(self) -> Iterator[None]:
        yield

    def capture(self, work: Callable[[], None]) -> Callable[[], None]:
        return work

    def finish(self) -> None:
        return

    def hand_over(self, tensor: Tensor, like: Tensor) -> Tensor:
        return tensor.clone()


@pytest.fixture
def metadata(info: ModelInfo) -> EngineMetadata:
    return EngineMetadata(
        plan="denoiser.plan",
        plan_sha256="0" * 64,
        onnx_sha256="1" * 64,
        weights_sha256="2" * 64,
        gpu="NVIDIA H200",
        capability="9.0",
        tensorrt="11.4.0.106",
        precision="f32",
        profile=denoiser_profile(info, LIMITS),
        attention_plugins=3,
    )


def test_an_engine_is_compared_on_its_inputs(info: ModelInfo, metadata: EngineMetadata) -> None:
    for feed in sample_feeds(metadata, 9, input_ports(info)):
        metadata.check_shapes({name: values.shape for name, values in feed.items()})
        assert feed["guidance"].shape == (2,)
        assert 0 <= feed["mood"].min() <= feed["mood"].max() <= 1


def test_padding_changes_no_prediction(
    info: ModelInfo, network: Any, metadata: EngineMetadata
) -> None:
    """Torch stands for the plan, so what is compared is what the padded inputs hold."""
    ports, groups = input_ports(info), bank_groups(info.layers)
    padding = denoiser_padding(metadata, ports)
    assert padding.shape("mood", (3, 3)) == (4, 3)
    assert padding.shape("guidance", (5,)) == (8,)
    assert padding.fill["guidance"] == 1.0
    assert padding.fill["mood"] == 0.5
    denoiser = TorchDenoiser(copy.deepcopy(network), info)
    engine = ForwardEngine(denoiser.predict, ports, groups, torch.float32)
    runner = GraphRunner(engine, CpuDevice(), padding)
    padded = TensorRTDenoiser(runner, tuple(metadata.profile), padding, info)
    for name, batch in denoiser_cases(info, ((1, 2, 2), (3, 2, 3), (5, 3, 2))):
        torch.testing.assert_close(padded(batch), denoiser(batch), atol=1e-5, rtol=0, msg=name)
