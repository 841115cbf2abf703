"""perf_analyzer's binary out of its wheel, what it is fed and what it writes."""

import base64
import json
import zipfile
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tritonclient.utils import deserialize_bytes_tensor

from benchmarks.load.perf_analyzer import (
    BINARY,
    PerfAnalyzer,
    PerfAnalyzerError,
    link_libraries,
    unpack,
)
from benchmarks.load.perf_input import array_entries, storyboard_entries, tensor_entry, write_input
from benchmarks.load.perf_report import (
    panel_seconds,
    parse_csv,
    parse_profile,
    requests_per_second,
    stream_figures,
)
from benchmarks.throughput.workload import PUBLISHED, Workload, storyboards
from lafi.wire.contract import storyboard_from_tensors
from lafi.wire.model_spec import bytes_tensor

CSV = """\
Concurrency,Inferences/Second,Response Throughput,Client Send,Network+Server Send/Recv,\
Server Queue,\
Server Compute Input,Server Compute CallModel,Server Compute Output,Client Recv,\
p50 latency,p90 latency,p95 latency,p99 latency
1,0.499927,6.49905,0,1714780,65,97,11082,2,0,1458271,2297424,2297424,2297424
"""


def wheel(folder: Path, script: str) -> Path:
    path = folder / "a.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(BINARY, script)
    return path


def test_the_binary_of_the_right_wheel_runs(tmp_path: Path) -> None:
    path = wheel(tmp_path, '#!/bin/sh\necho "$LD_LIBRARY_PATH" "$@"\nexit 0\n')
    binary = tmp_path / "perf_analyzer"
    unpack(path, binary, sha256(path.read_bytes()).hexdigest())
    said = PerfAnalyzer(binary, tmp_path / "libraries").run(["-m", "storyboard"], 20)
    assert said.split(" ", 1)[0].split(":")[0] == str(tmp_path / "libraries")
    assert said.endswith(" -m storyboard\n")


def test_another_wheel_a_failure_and_silence_are_told_apart(tmp_path: Path) -> None:
    path = wheel(tmp_path, "#!/bin/sh\necho no such model\nexit 3\n")
    with pytest.raises(PerfAnalyzerError, match=r"SHA-256: got .*, allowed abc"):
        unpack(path, tmp_path / "binary", "abc")
    assert not (tmp_path / "binary").exists()
    binary = tmp_path / "perf_analyzer"
    unpack(path, binary, sha256(path.read_bytes()).hexdigest())
    with pytest.raises(PerfAnalyzerError, match=r"ended with code 3: [\s\S]*no such model"):
        PerfAnalyzer(binary, tmp_path).run([], 20)
    binary.write_text("#!/bin/sh\nexec sleep 20\n")
    with pytest.raises(PerfAnalyzerError, match="no end after 0 s"):
        PerfAnalyzer(binary, tmp_path).run([], 0.1)


def test_libraries_get_the_names_that_are_asked_for(tmp_path: Path) -> None:
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    (wheels / "libb64-98cb6333.so.0d").write_text("b64")
    links = tmp_path / "links"
    with pytest.raises(PerfAnalyzerError, match=r"got no libcudart-\*"):
        link_libraries(wheels, links)
    (wheels / "libcudart-09529672.so.12.6.77").write_text("cudart")
    for _ in range(2):
        link_libraries(wheels, links)
    assert (links / "libb64.so.0d").read_text() == "b64"
    assert (links / "libcudart.so.12").read_text() == "cudart"


def bytes_of(entry: dict[str, Any]) -> np.ndarray[Any, Any]:
    raw = base64.b64decode(entry["content"]["b64"])
    return deserialize_bytes_tensor(raw).reshape(entry["shape"])


@given(st.lists(st.binary(max_size=30), min_size=1, max_size=4))
def test_bytes_come_back_as_they_were(elements: list[bytes]) -> None:
    assert bytes_of(tensor_entry(bytes_tensor(*elements))).tolist() == elements


def test_a_storyboard_in_an_input_file_is_that_storyboard(tmp_path: Path) -> None:
    boards = storyboards(Workload(2, 2, 1, 3), PUBLISHED)
    write_input(tmp_path / "data.json", storyboard_entries(boards))
    entries = json.loads((tmp_path / "data.json").read_text())["data"]
    read = [
        storyboard_from_tensors(bytes_of(entry["STORYBOARD"]), bytes_of(entry["REFERENCES"]))
        for entry in entries
    ]
    assert read == boards


def test_numbers_are_flat_beside_their_shape() -> None:
    (entry,) = array_entries("LATENT", [np.arange(6, dtype=np.float32).reshape(1, 2, 3)])
    assert entry["LATENT"] == {"content": [0, 1, 2, 3, 4, 5], "shape": [1, 2, 3]}


def test_the_report_is_read_in_seconds() -> None:
    found = parse_csv(CSV)
    assert found["p50"] == pytest.approx(1.458271)
    assert found["p99"] == pytest.approx(2.297424)
    assert found["mean_parts"]["Server Compute CallModel"] == pytest.approx(0.011082)
    assert found["its_requests_per_second"] == pytest.approx(0.499927)
    with pytest.raises(ValueError, match="got 0 rows, allowed 1"):
        parse_csv(CSV.splitlines()[0])


def request(began: int, *events: tuple[int, str]) -> dict[str, Any]:
    return {
        "timestamp": began,
        "response_timestamps": [began + after for after, _ in events],
        "response_outputs": [
            {"EVENT": json.dumps({"kind": kind}) if kind else ""} for _, kind in events
        ],
    }


SECOND = 10**9
STREAM = [
    request(
        SECOND,
        (0, "accepted"),
        (SECOND, "panel"),
        (2 * SECOND, "panel"),
        (2 * SECOND, "finished"),
        (3 * SECOND, ""),
    ),
    request(2 * SECOND, (3 * SECOND, "panel"), (4 * SECOND, "finished")),
]


def test_panels_are_timed_by_the_events_of_the_profile() -> None:
    assert panel_seconds(STREAM[0]) == [1.0, 2.0]
    found = stream_figures(STREAM)
    assert (found["first_panel_p50"], found["first_panel_p99"]) == (1.0, 3.0)
    assert (found["panel_p50"], found["panel_p99"]) == (2.0, 3.0)
    assert (found["storyboard_p50"], found["storyboard_p99"]) == (3.0, 4.0)
    assert requests_per_second(STREAM) == pytest.approx(2 / 5)
    with pytest.raises(ValueError, match="allowed with finished"):
        panel_seconds(request(0, (1, "accepted")))


def test_a_profile_with_raw_bytes_in_it_is_read() -> None:
    text = json.dumps({"experiments": [{"requests": STREAM}]})
    raw = text.encode().replace(b'"EVENT"', b'"IMAGE": "\x89PNG\x0c\xff", "EVENT"')
    assert [panel_seconds(each) for each in parse_profile(raw)] == [[1.0, 2.0], [3.0]]
    with pytest.raises(ValueError, match="got 0 runs, allowed 1"):
        parse_profile(b'{"experiments": []}')
