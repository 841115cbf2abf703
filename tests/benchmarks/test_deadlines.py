"""A short run of `benchmarks.deadlines`, with the server's batcher on a pretended clock."""

import json
from pathlib import Path

import pytest

from benchmarks import deadlines
from model_infos import bare_repository, save_facts


def test_every_policy_has_its_shares_of_every_load(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deadlines, "LOADS", (0.2, 3.0))
    repository = bare_repository(tmp_path / "repository")
    save_facts(repository)
    deadlines.main(repository, count=12, out=tmp_path)
    said = json.loads((tmp_path / "deadlines.json").read_text(encoding="utf-8"))
    rows = said["rows"]
    assert [(row["load"], row["policy"]) for row in rows] == [
        (load, policy) for load in (0.2, 3.0) for policy in deadlines.POLICIES
    ]
    assert all(0 <= row[name] <= 1 for row in rows for name in ("of_all", "of_accepted", "refused"))
    assert all(row["refused"] == 0 for row in rows if row["policy"] != "deadlines, refusing")
    assert (tmp_path / "deadlines.png").is_file()
