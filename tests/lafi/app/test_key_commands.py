"""`lafi keys`: what it prints once opens the door, and the file never holds it."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from lafi.app.cli import app
from lafi.front.keys import KeyRing, read_keys

runner = CliRunner(env={"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"})


def test_a_key_is_printed_once_listed_without_it_and_removed(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    made = runner.invoke(
        app,
        [
            "keys",
            "add",
            str(file),
            "studio",
            "--right",
            "draw",
            "--right",
            "enrol",
            "--megapixel-steps",
            "50",
        ],
    )
    assert made.exit_code == 0
    key = made.stdout.strip()
    assert "studio may: draw, enrol. Its key is shown only now" in made.stderr
    assert key not in file.read_text()
    found = KeyRing(file).find(key)
    assert found is not None
    assert (found.name, found.rights, found.megapixel_steps) == ("studio", ("draw", "enrol"), 50)
    plain = runner.invoke(app, ["keys", "add", str(file), "guest"]).stdout.strip()
    listed = runner.invoke(app, ["keys", "list", str(file)])
    for word in ("studio", "draw, enrol", "50", "guest", "no limit"):
        assert word in listed.output
    assert key not in listed.output
    assert runner.invoke(app, ["keys", "remove", str(file), "studio"]).exit_code == 0
    ring = KeyRing(file)
    assert ring.find(key) is None
    guest = ring.find(plain)
    assert guest is not None
    assert guest.rights == ("draw",)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["add", "FILE", "mia"], "got mia, which has a key"),
        (["add", "FILE", "a b"], "name: "),
        (["add", "FILE", "tom", "--right", "all"], "rights: "),
        (["add", "FILE", "tom", "--megapixel-steps", "-1"], "megapixel_steps: "),
        (["remove", "FILE", "tom"], "got tom, allowed: a name in"),
        (["list", "FILE.not"], "cannot be read"),
    ],
)
def test_what_is_not_allowed_is_named_and_changes_nothing(
    tmp_path: Path, arguments: list[str], text: str
) -> None:
    file = tmp_path / "keys.json"
    runner.invoke(app, ["keys", "add", str(file), "mia"])
    before = read_keys(file)
    refused = runner.invoke(app, ["keys", *(each.replace("FILE", str(file)) for each in arguments)])
    assert refused.exit_code == 2
    assert text in refused.stderr
    assert read_keys(file) == before
