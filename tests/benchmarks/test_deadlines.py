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
    deadlines.main(repository, count=20, out=tmp_path)
    said = json.loads((tmp_path / "deadlines.json").read_text(encoding="utf-8"))
    rows = said["rows"]
    assert [(row["load"], row["policy"]) for row in rows] == [
        (load, policy) for load in (0.2, 3.0) for policy in deadlines.POLICIES
    ]
    found = {(row["load"], row["policy"]): row for row in rows}
    first, refusing = deadlines.POLICIES[0], deadlines.POLICIES[-1]
    assert found[0.2, first]["of_all"] >= 0.8
    assert found[3.0, refusing]["refused"] > 0.3
    assert found[3.0, refusing]["of_accepted"] > found[3.0, first]["of_accepted"]
    assert found[3.0, refusing]["of_all"] > found[3.0, first]["of_all"]
    assert (tmp_path / "deadlines.png").is_file()
