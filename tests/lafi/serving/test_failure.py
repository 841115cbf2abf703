import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lafi.serving.failure import log_failure
from lafi.wire.failure import without_paths


def test_the_log_has_what_the_client_is_not_told(caplog: pytest.LogCaptureFixture) -> None:
    error = OSError("no file /srv/models/secret.onnx")
    with caplog.at_level(logging.ERROR):
        text = log_failure(logging.getLogger("test"), error, "a1")
    assert text == "an error inside the server (request a1); its log says more"
    assert "request a1 failed: no file /srv/models/secret.onnx" in caplog.text


def test_every_failure_has_a_number_of_its_own() -> None:
    log = logging.getLogger("test")
    assert log_failure(log, ValueError()) != log_failure(log, ValueError())


@given(st.lists(st.text("abc.-_", min_size=1, max_size=8), min_size=2, max_size=5))
def test_no_absolute_path_is_left(parts: list[str]) -> None:
    path = "/" + "/".join(parts)
    assert path not in without_paths(f"cannot read '{path}': gone")
    assert without_paths(f"({path})") == "((a file))"


def test_other_text_stays() -> None:
    text = "INVALID_ARGUMENT: width: got 1/2, allowed: 32 and/or 64; see http://host/page"
    assert without_paths(text) == text
