"""Laws of what control networks add to the rows of a call, with networks that count and sum."""

from collections.abc import Mapping

import pytest
import torch
from batches import PROCESS, SIZE, FakeDenoiser, panel
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lafi.conditioning.control import PanelControl
from lafi.denoising.batcher import Batcher
from lafi.denoising.controlled_rows import control_rows, with_residuals
from lafi.denoising.denoiser_batch import build_batch
from lafi.denoising.panel_state import PanelState
from lafi.model.control_info import is_residual, residual_ports
from lafi.model.input_port import InputPort
from lafi.ports.engines import DenoiserBatch
from model_infos import attention_sites, model_info

PORTS = residual_ports((2, 3), (1, 1))
INFO = model_info(layers=attention_sites(5), text_windows=3, added_inputs=PORTS)


class FakeNetwork:
    """A row's residuals are its condition and its text, times its scale; keeps calls."""

    def __init__(self) -> None:
        self.calls: list[Mapping[str, Tensor]] = []

    def condition(self, pictures: Tensor) -> Tensor:
        raise NotImplementedError

    def residuals(self, rows: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
        self.calls.append(rows)
        own = rows["condition"][:, 0].mean(dim=(1, 2)) + rows["text"].mean(dim=(1, 2))
        return tuple(
            (own * rows["scale"])[:, None, None, None].expand(len(own), *_shape(port))
            for port in PORTS
        )


def _shape(port: InputPort) -> tuple[int, ...]:
    return port.shape({"rows": 1, "height": SIZE[0], "width": SIZE[1]})[1:]


def control(value: float = 1.0, network: str = "pose", **settings: object) -> PanelControl:
    return PanelControl(network, torch.full((2, *SIZE), value), **settings)  # type: ignore[arg-type]


def steered(name: str, *controls: PanelControl, tokens: int = 3, **settings: object) -> PanelState:
    state = panel(name, **settings)  # type: ignore[arg-type]
    state.controls = controls
    state.text = {"text": state.text["text"][:1].expand(tokens, -1)}
    return state


def call(
    panels: list[PanelState], padding: int = 0
) -> tuple[DenoiserBatch, DenoiserBatch, dict[str, FakeNetwork]]:
    """The batch, the batch with residuals, and the networks."""
    networks = {"pose": FakeNetwork(), "edges": FakeNetwork()}
    batch = build_batch(panels, (), PROCESS, INFO, padding=padding)
    return batch, with_residuals(batch, panels, networks, INFO), networks


def residuals(batch: DenoiserBatch) -> dict[str, Tensor]:
    return {name: value for name, value in batch.ports.items() if name.startswith("control_")}


def test_where_none_acts_the_batch_is_as_it_was() -> None:
    late, off = control(start=0.5), control(strength=0.0)
    panels = [steered("a", late), steered("b", off), steered("c")]
    batch, made, networks = call(panels)
    assert made is batch
    assert control_rows(panels) == 0
    assert not any(network.calls for network in networks.values())


@settings(deadline=None, max_examples=40)
@given(
    st.lists(
        st.tuples(
            st.lists(st.tuples(st.floats(-2, 2), st.sampled_from(["pose", "edges"])), max_size=3),
            st.integers(1, 9),
            st.booleans(),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_every_row_has_the_sum_of_what_it_has_alone(
    given: list[tuple[list[tuple[float, str]], int, bool]],
) -> None:
    """Whatever is beside it, however long its text is, and whichever rows it has."""
    panels = [
        steered(
            f"{i}",
            *(control(value, network) for value, network in controls),
            tokens=tokens,
            guidance=3.0 if guided else 1.0,
        )
        for i, (controls, tokens, guided) in enumerate(given)
    ]
    _, together, _ = call(panels, padding=2)
    row = 0
    for state in panels:
        expected = {port.name: torch.zeros(state.rows, *_shape(port)) for port in PORTS}
        for one in state.controls:
            alone = steered("x", one)
            alone.text, alone.negative, alone.guidance = state.text, state.negative, state.guidance
            for name, value in residuals(call([alone])[1]).items():
                expected[name] += value
        for name, value in residuals(together).items():
            rows = value[row : row + state.rows]
            torch.testing.assert_close(rows, expected[name], atol=1e-5, rtol=1e-5)
        row += state.rows
    for value in residuals(together).values():
        assert not value[row:].any(), "padding has none"


def test_a_network_runs_once_for_all_rows_of_one_text_length() -> None:
    panels = [
        steered("a", control(), control(2.0)),
        steered("b"),
        steered("c", control(), control(network="edges"), guidance=1.0),
    ]
    _, _, networks = call(panels)
    assert [len(rows["latents"]) for rows in networks["pose"].calls] == [5]
    assert [len(rows["latents"]) for rows in networks["edges"].calls] == [1]
    assert control_rows(panels) == 6


def test_it_steers_in_its_region_only() -> None:
    left = torch.zeros(SIZE)
    left[:, : SIZE[1] // 2] = 1.0
    _, made, _ = call([steered("a", control(region=left), guidance=1.0)])
    for port in PORTS:
        half = made[port.name].shape[-1] // 2
        assert bool((made[port.name][..., :half] != 0).all())
        inside = left[:, : half * port.downscale]
        assert inside.all()
        assert not made[port.name][..., -half:].any()


def test_steps_at_which_a_control_begins_or_ends_are_computed() -> None:
    """Steps that are reused have no row in a network either."""
    steps, denoiser, network = 20, FakeDenoiser(), FakeNetwork()
    loop = Batcher(denoiser, PROCESS, INFO, 16, controls={"pose": network})
    loop.add([steered("a", control(start=0.4, end=0.8), steps=steps, reuse=1.0)])
    computed, steering = [], []
    for step in range(steps):
        calls, controls = len(denoiser.batches), len(network.calls)
        assert [taken.step for taken in loop.step()] == [step + 1]
        computed += [step] * (len(denoiser.batches) - calls)
        steering += [step] * (len(network.calls) - controls)
    assert {8, 16} <= {*computed}
    assert steering == [step for step in computed if 8 <= step < 16]
    assert loop.counts.reused_steps == steps - len(computed) > 0
    assert loop.counts.control_rows == 2 * len(steering)


@pytest.mark.parametrize(
    ("window", "acting"),
    [((0.0, 1.0), [0, 1, 2, 3, 4]), ((0.2, 0.75), [1, 2]), ((0.3, 0.8), [2, 3]), ((0.5, 0.6), [])],
)
def test_a_window_holds_whole_steps(window: tuple[float, float], acting: list[int]) -> None:
    """As diffusers: a step that begins before it or ends after it is not in it."""
    one = control(start=window[0], end=window[1])
    assert [step for step in range(5) if one.acts(step, 5)] == acting


def test_the_ports_are_those_of_the_residuals() -> None:
    assert [port.name for port in PORTS] == [
        *(f"control_skip_{number}" for number in range(4)),
        "control_middle",
    ]
    assert [port.axes[1] for port in PORTS] == [2, 2, 2, 3, 3]
    assert [port.downscale for port in PORTS] == [1, 1, 2, 2, 2]
    assert all(is_residual(port) for port in PORTS)
