"""The benchmarks of load, growth and memory in small, against a real server."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.load import arrivals, endurance, queue_ahead
from benchmarks.load.endurance import Endurance, growth_after, measure_endurance
from benchmarks.load.loadgen import parse_detail
from benchmarks.load.plots import draw_plot
from benchmarks.load.query import ask
from benchmarks.load.resources import CLIENT, SERVER, Held, model_of, total
from benchmarks.load.served_copy import served_copy
from benchmarks.throughput import growth_axes
from benchmarks.throughput.in_process import InProcess
from benchmarks.throughput.ours import panels_over_grpc
from benchmarks.throughput.workload import KEPT, PLAIN, PUBLISHED, Workload, storyboards
from lafi.server.supervisor import Supervisor
from lafi_client import StoryboardClient

PLACES = 3


@pytest.fixture(scope="module")
def server(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Supervisor]:
    folder = tmp_path_factory.mktemp("under_load") / "repository"
    copy = served_copy(repository, folder, max_storyboards=PLACES, bank_megabytes=1)
    with Supervisor(copy, threads=1) as running:
        yield running


@pytest.mark.slow
def test_one_process_draws_the_bytes_that_the_server_sends(
    server: Supervisor, repository: Path
) -> None:
    boards = storyboards(Workload(1, 2, 1, 2, side=32), PUBLISHED)
    process = InProcess(repository, threads=1)
    try:
        assert process.draw(boards, 1) == panels_over_grpc(server, boards)
    finally:
        process.close()


def silent(line: str) -> None:
    """For who wants no progress."""


@pytest.mark.slow
def test_loadgen_counts_every_query_and_every_refusal(server: Supervisor, tmp_path: Path) -> None:
    what = replace(arrivals.QUICK, queries={1: 8}, shares=(0.5, 50.0))
    rows = arrivals.measure_arrivals(server, what, tmp_path, silent)
    assert [(row["scenario"], row["share"]) for row in rows] == [
        ("Offline", None),
        ("Server", 0.5),
        ("Server", 50.0),
    ]
    for row in rows:
        assert row["drawn"] + row["refused"] == row["queries"] == 8
        assert row["failed"] == 0
        assert row["loadgen"]["result_validity"] in {"VALID", "INVALID"}
        assert row["first_panel_p50"] <= row["panel_p99"] <= row["storyboard_p99"]
    offline, slow, fast = rows
    assert offline["refused"] == 0
    assert slow["refused"] <= fast["refused"]
    # Eight nearly at once, and places for three: whoever is refused is counted on both sides.
    assert fast["refused"] == fast["refused_by_the_servers_count"]
    document = json.loads(json.dumps({"arrivals": {"rows": rows}}))
    draw_plot(document, tmp_path / "load.png")
    assert (tmp_path / "load.png").stat().st_size > 0


def test_a_refusal_is_an_outcome(server: Supervisor) -> None:
    boards = storyboards(Workload(1, 64, 1, 50, side=32), PLAIN)
    (small,) = storyboards(Workload(1, 1, 1, 1, side=32), PLAIN)
    with StoryboardClient(server.grpc_url, retries=0) as client:
        holding = [client.events(boards[0]) for _ in range(PLACES)]
        for events in holding:
            next(events)
        query = ask(client, small)
        for events in holding:
            events.close()
    assert (query.outcome, query.panels) == ("refused", ())
    assert "at most 3 storyboards at a time" in query.error


def test_a_first_panel_waits_for_those_ahead(server: Supervisor) -> None:
    what = queue_ahead.QUICK
    assert max(what.ahead) < PLACES
    (row,) = queue_ahead.measure_queues(server, what, silent)
    assert row["ahead"] == [0, 1, 2]
    assert row["samples"] == [what.repeats] * 3
    assert min(row["first_panel_p50"]) > 0
    assert {"seconds_per_storyboard", "bend", "worst_against_proportional"} <= set(row)


def test_a_server_is_watched_while_its_bank_lets_go(server: Supervisor) -> None:
    what = endurance.QUICK
    samples = measure_endurance(server, what, silent)
    names = {SERVER, CLIENT, *server.models}
    assert [sample.storyboards for sample in samples] == [0, 3, 6, 9, 12]
    for sample in samples:
        assert set(sample.resident) == names
        assert min(sample.resident.values()) > 2**20
        for counted in (sample.handles, sample.threads):
            assert set(counted) == set(sample.resident)
            assert min(counted.values()) > 0
        assert sample.shared_files > 0
        assert sample.bank_bytes <= 2**20
    assert samples[-1].bank_entries > 0
    growth = growth_after(samples, what.warm_up)
    assert growth["samples"] == 4
    assert set(growth["resident_mib"]) == {"total"} | names


def test_every_point_of_growth_is_drawn(server: Supervisor) -> None:
    what = growth_axes.QUICK
    drawn = growth_axes.points(what)
    rows = growth_axes.measure_axes(server, what, silent)
    assert len(rows) == len(drawn) == 3 + 3
    for point, row in zip(drawn, rows, strict=True):
        assert (row["axis"], row["injection"]) == (point.axis, point.injection)
        assert row["seconds_per_panel"] > 0
        assert row["engine_seconds_per_panel"] > 0
    rows_of = {(row["axis"], row["injection"], row["characters"]): row for row in rows}
    plain = rows_of["characters", "none", 0]["rows_per_call"]
    many = rows_of["characters", "published", 4]["rows_per_call"]
    assert plain == 2 * what.panels
    assert many > plain
    assert rows_of["characters", "fixed level, known", 4]["rows_per_call"] == plain


def test_growth_is_fitted_after_the_warm_up_and_without_the_client() -> None:
    def sample(number: int, size: int) -> Held:
        resident = {SERVER: size * 2**20, "storyboard": 5 * 2**20, CLIENT: number * 2**20}
        handles, threads = {SERVER: 3, CLIENT: number}, {"storyboard": 8 + number // 10, SERVER: 1}
        return Held(number, 1.0, resident, handles, threads, 1, 2**20, 3, 4, 5)

    samples = [sample(0, 900), sample(10, 10), sample(20, 11), sample(30, 12)]
    growth = growth_after(samples, 10)
    assert growth["samples"] == 3
    assert growth["resident_mib"]["total"]["per_1000"] == pytest.approx(100)
    assert growth["resident_mib"]["total"]["error"] == pytest.approx(0, abs=1e-9)
    assert growth["resident_mib"]["storyboard"]["per_1000"] == 0
    assert growth["resident_mib"][CLIENT]["per_1000"] == pytest.approx(1000)
    assert growth["handles"]["total"]["per_1000"] == 0
    assert growth["threads"]["total"]["per_1000"] == pytest.approx(100)
    assert growth["threads"]["storyboard"] == growth["threads"]["total"]
    assert total(samples[0].resident) == 905 * 2**20
    with pytest.raises(ValueError, match="warm_up: got 990, allowed at most 950"):
        Endurance(warm_up=990)


def test_a_stub_is_known_by_its_model() -> None:
    stub = ["backends/python/triton_python_backend_stub", "a/models/vae_decoder/1/model.py", "x"]
    assert model_of(stub) == "vae_decoder"
    assert model_of(["bin/tritonserver", "--a=b"]) == "tritonserver"
    assert model_of([]) == "ended"


def test_loadgens_log_is_read_in_seconds() -> None:
    lines = [
        {"key": "loadgen_version", "value": "6"},
        {"key": "result_validity", "value": "INVALID"},
        {"key": "result_99.00_percentile_latency_ns", "value": 1_500_000_000},
    ]
    text = "\n".join(f":::MLLOG {json.dumps(line)}" for line in lines)
    found = parse_detail(f"something else\n{text}\n")
    assert found == {"result_validity": "INVALID", "result_99.00_percentile_latency": 1.5}
    with pytest.raises(ValueError, match="got no result_validity"):
        parse_detail(text.splitlines()[0])


def test_a_parameter_that_is_set_already_is_not_set_again(repository: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="artifacts: got one in"):
        served_copy(repository, tmp_path / "copy", artifacts=1)


def test_storyboards_have_the_characters_and_the_size_that_are_asked_for() -> None:
    for count in range(5):
        (board,) = storyboards(Workload(1, 2, 1, 2, characters=count, side=32), KEPT, first=3)
        assert len({character.reference for character in board.characters}) == count
        names = tuple(character.name for character in board.characters)
        assert [panel.characters for panel in board.panels] == [names, names]
        assert (board.width, board.height) == (32, 32)
    with pytest.raises(ValueError, match="characters: got 5, allowed 0 to 4"):
        Workload(1, 1, 1, 1, characters=5)


def test_every_storyboard_of_a_long_run_has_a_reference_of_its_own() -> None:
    boards = storyboards(Workload(60, 1, 1, 2), PUBLISHED)
    assert len({board.characters[0].reference for board in boards}) == 60
