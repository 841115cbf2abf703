"""The command line: options reach the functions behind them; nothing heavy is imported."""

import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from lafi.app.cli import app
from lafi.server.serve_settings import ServeSettings
from lafi_export.tensorrt_plan import BuildOptions

runner = CliRunner(env={"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"})


def stand_in(monkeypatch: pytest.MonkeyPatch, module: str, function: str) -> list[tuple[Any, ...]]:
    """Puts a module with one recording function, which returns 7, where the real one would be."""
    calls: list[tuple[Any, ...]] = []

    def record(*args: Any, **options: Any) -> int:
        calls.append((args, options))
        return 7

    fake = types.ModuleType(module)
    setattr(fake, function, record)
    monkeypatch.setitem(sys.modules, module, fake)
    return calls


def test_without_a_subcommand_it_shows_all_of_them():
    result = runner.invoke(app, [])
    assert all(name in result.output for name in ("serve", "draw", "export", "doctor"))


def test_version():
    result = runner.invoke(app, ["--version"])
    assert (result.exit_code, result.output) == (0, "lafi 0.1.0\n")


def test_serve_passes_its_options_and_the_exit_code(monkeypatch: pytest.MonkeyPatch):
    calls = stand_in(monkeypatch, "lafi.server.command", "serve_command")
    result = runner.invoke(app, ["serve", "repo", "--grpc-port", "0", "--threads", "3", "-v"])
    assert result.exit_code == 7
    (((repository, settings), _),) = calls
    assert repository == Path("repo")
    kept = {"LAFI_STORE": "state", "LAFI_STORE_MEGABYTES": "4096", "LAFI_RETENTION_DAYS": "7"}
    assert settings == ServeSettings(grpc_port=0, threads=3, verbose=True, environment=kept)


def test_serve_keeps_panels_where_it_is_told_or_nowhere(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.chdir(tmp_path)
    calls = stand_in(monkeypatch, "lafi.server.command", "serve_command")
    for place in ("none", "there", "s3://bucket/panels"):
        runner.invoke(app, ["serve", "repo", "--store", place, "--store-mib", "5"])
    assert [args[1].environment.get("LAFI_STORE") for args, _ in calls] == [
        None,
        str(tmp_path / "there"),
        "s3://bucket/panels",
    ]


def test_serve_opens_http_only_when_asked(monkeypatch: pytest.MonkeyPatch):
    calls = stand_in(monkeypatch, "lafi.server.command", "serve_command")
    runner.invoke(app, ["serve", "repo", "--http-port", "0"])
    runner.invoke(app, ["serve", "repo", "--http", "--http-port", "0"])
    assert [args[1].http_port for args, _ in calls] == [None, 0]


def test_serve_passes_a_default_recipe_as_a_setting_of_the_models(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    calls = stand_in(monkeypatch, "lafi.server.command", "serve_command")
    file = tmp_path / "house.yaml"
    file.write_text("sampling: {steps: 12}\n")
    for named in ("progressive", str(file)):
        arguments = ["serve", "repo", "--default-recipe", named, "--store", "none"]
        assert runner.invoke(app, arguments).exit_code == 7
        assert calls[-1][0][1].environment == {"LAFI_DEFAULT_RECIPE": named}
    refused = runner.invoke(app, ["serve", "repo", "--default-recipe", "progresive"])
    assert refused.exit_code == 2
    assert "got progresive, allowed: fast, progressive" in refused.output
    assert len(calls) == 2


def test_serve_passes_what_is_done_about_words(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    calls = stand_in(monkeypatch, "lafi.server.command", "serve_command")
    file = tmp_path / "words.yaml"
    file.write_text("en: [dragon]\n")
    (tmp_path / "repo/artifacts/classifier").mkdir(parents=True)
    (tmp_path / "repo/artifacts/lafi.json").touch()
    arguments = ["serve", str(tmp_path / "repo"), "--store", "none", "--safety"]
    flags = runner.invoke(app, [*arguments, "flag"])
    assert flags.exit_code == 7
    assert "looks at prompts, not at pictures: lafi export-safety --out REPO" in flags.output
    assert runner.invoke(app, [*arguments, "refuse", "--safety-words", str(file)]).exit_code == 7
    assert [args[1].environment for args, _ in calls] == [
        {"LAFI_SAFETY": "flag"},
        {"LAFI_SAFETY": "refuse", "LAFI_SAFETY_WORDS": str(file)},
    ]
    for more, line in (
        (["refuze"], "allowed: off, flag, refuse"),
        (["off", "--safety-words", str(file)], "a file with flag or refuse"),
    ):
        refused = runner.invoke(app, [*arguments, *more])
        assert refused.exit_code == 2
        assert line in refused.output
    assert "not at pictures" not in runner.invoke(app, [*arguments, "off"]).output
    calls.pop()
    # Where there is no repository, that is what is said, and by who serves it.
    nowhere = ["serve", str(tmp_path / "nowhere"), "--safety", "flag"]
    assert "not at pictures" not in runner.invoke(app, nowhere).output
    calls.pop()
    (tmp_path / "repo/artifacts/classifier/classifier.json").write_text("damaged")
    damaged = runner.invoke(app, [*arguments, "flag"])
    assert damaged.exit_code == 2
    assert "Invalid value for --safety" in damaged.output
    assert "classifier.json" in damaged.output
    alone = runner.invoke(app, ["serve", "repo", "--safety-words", str(file)])
    assert (alone.exit_code, len(calls)) == (2, 2)


def test_draw_passes_its_options(monkeypatch: pytest.MonkeyPatch):
    calls = stand_in(monkeypatch, "lafi_client.commands", "draw")
    arguments = ["draw", "story.yaml", "-o", "there", "--panel", "2", "--panel", "0", "--preview"]
    assert runner.invoke(app, arguments).exit_code == 7
    ((args, options),) = calls
    assert args == ([Path("story.yaml")],)
    assert (options["out"], options["panels"], options["previews"]) == (Path("there"), [2, 0], True)
    assert options["url"] == "127.0.0.1:8001"


def test_draw_and_compare_pass_what_changes_a_storyboard(monkeypatch: pytest.MonkeyPatch):
    more = ["--recipe", "r", "--set", "width=96", "--set", "height=96", "--trigger", "ink"]
    more += ["--negative-file", "n.txt", "--timeout", "5"]
    calls = stand_in(monkeypatch, "lafi_client.commands", "draw")
    several = ["draw", "a.yaml", "b.yaml", "--name", "{title}", "--stage-previews", *more]
    assert runner.invoke(app, several, env={"LAFI_RECIPES": "mine"}).exit_code == 7
    ((args, options),) = calls
    assert args == ([Path("a.yaml"), Path("b.yaml")],)
    assert (options["name"], options["stage_previews"]) == ("{title}", True)
    overrides = options["overrides"]
    assert (overrides.recipe, overrides.recipes) == ("r", Path("mine"))
    assert (overrides.settings, overrides.trigger) == (("width=96", "height=96"), "ink")
    assert overrides.negative_file == Path("n.txt")
    calls = stand_in(monkeypatch, "lafi_client.comparison", "compare")
    varied = ["compare", "a.yaml", "--vary", "width=64,96", "--recipes", "mine", *more]
    assert runner.invoke(app, varied).exit_code == 7
    ((args, options),) = calls
    assert (args, options["variations"]) == ((Path("a.yaml"),), ["width=64,96"])
    assert options["overrides"] == overrides


def test_upscale_is_a_setting_that_counts_last(monkeypatch: pytest.MonkeyPatch):
    calls = stand_in(monkeypatch, "lafi_client.commands", "draw")
    for arguments in (["--upscale", "4", "--set", "upscale=2"], []):
        assert runner.invoke(app, ["draw", "story.yaml", *arguments]).exit_code == 7
    settings = [options["overrides"].settings for _, options in calls]
    assert settings == [("upscale=2", "upscale=4"), ()]
    refused = runner.invoke(app, ["draw", "story.yaml", "--upscale", "5"])
    assert refused.exit_code == 2


def test_export_upscaler_passes_its_options(monkeypatch: pytest.MonkeyPatch):
    calls = stand_in(monkeypatch, "lafi_export.upscaler.command", "upscaler_command")
    rtx = ["--target", "tensorrt-rtx", "--capability", "SM86,SM89"]
    for arguments in (["net.pth"], ["net.pth", "-o", "repo", "--target", "tensorrt"], ["n", *rtx]):
        assert runner.invoke(app, ["export-upscaler", *arguments]).exit_code == 7
    assert calls == [
        (("net.pth", Path("out/repository")), {"options": None}),
        (("net.pth", Path("repo")), {"options": BuildOptions()}),
        (("n", Path("out/repository")), {"options": BuildOptions.for_rtx(("SM86", "SM89"))}),
    ]
    refused = runner.invoke(app, ["export-upscaler", "n", "--capability", "SM89"])
    assert (refused.exit_code, len(calls)) == (2, 3)


def test_draw_takes_the_url_from_the_environment(monkeypatch: pytest.MonkeyPatch):
    calls = stand_in(monkeypatch, "lafi_client.commands", "draw")
    runner.invoke(app, ["draw", "story.yaml"], env={"LAFI_URL": "far:9"})
    assert calls[0][1]["url"] == "far:9"


def test_export_passes_its_options(monkeypatch: pytest.MonkeyPatch):
    calls = stand_in(monkeypatch, "lafi_export.command", "export_command")
    arguments = ["export", "weights", "--out", "repo", "--runtime", "onnxruntime"]
    variants = ["--variant", "ink=a.safetensors:0.5", "--variant", "oil=b.safetensors"]
    assert runner.invoke(app, arguments + variants).exit_code == 7
    assert runner.invoke(app, arguments).exit_code == 7
    (args, options), (_, without) = calls
    assert args[0].checkpoint == Path("weights")
    assert (options["out"], options["runtime"]) == (Path("repo"), "onnxruntime")
    assert options["variants"] == ["ink=a.safetensors:0.5", "oil=b.safetensors"]
    assert without["variants"] == ()


def test_doctor_looks_at_the_ports_it_is_given(monkeypatch: pytest.MonkeyPatch):
    calls = stand_in(monkeypatch, "lafi.app.doctor", "doctor_command")
    assert runner.invoke(app, ["doctor", "--grpc-port", "9001"]).exit_code == 7
    ports = {"grpc": 9001, "health": 8002}
    assert calls == [((), {"repository": None, "ports": ports})]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["serve", "repo", "--grpc-port", "70000"], "less than or equal to 65535"),
        (["draw"], "give storyboards, or --attach with an id"),
        (["draw", "a.yaml", "--attach", "ab"], "give storyboards, or --attach with an id"),
        (["draw", "a.yaml", "--detach", "--panel", "1"], "are not for --attach and --detach"),
        (["draw", "a.yaml", "--panel", "-1"], "greater than or equal to 0"),
        (["export", "weights", "--runtime", "magic"], "'onnxruntime'"),
        (["paint"], "No such command"),
    ],
)
def test_bad_options_are_refused(arguments: list[str], text: str):
    result = runner.invoke(app, arguments)
    assert result.exit_code == 2
    assert text in result.output


def test_a_missing_package_names_its_extra(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delitem(sys.modules, "lafi_export.command", raising=False)
    monkeypatch.setitem(sys.modules, "onnx", None)

    class Finder:
        @staticmethod
        def find_spec(name: str, path: object = None, target: object = None) -> None:
            if name == "lafi_export.command":
                raise ModuleNotFoundError("No module named 'onnx'", name="onnx")

    monkeypatch.setattr(sys, "meta_path", [Finder, *sys.meta_path])
    result = runner.invoke(app, ["export", "weights"])
    assert result.exit_code == 1
    assert "package onnx is not installed; install it with: pip install 'lafi[export]'" in (
        result.output
    )


def test_the_command_line_imports_nothing_heavy():
    heavy = {"torch", "onnx", "grpc"}
    code = f"import lafi.app.cli, lafi.app.doctor, sys; print(sorted({heavy} & set(sys.modules)))"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout == "[]\n"


@pytest.mark.parametrize(
    ("arguments", "function", "passed"),
    [
        (["draw", "--attach", "ab", "-o", "there"], "attach", ("ab", Path("there"))),
        (["draw", "a.yaml", "--detach"], "submit", ([Path("a.yaml")],)),
        (["queue"], "queue", ()),
        (["cancel", "ab"], "cancel", ("ab",)),
    ],
)
def test_storyboards_are_asked_about_by_their_id(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], function: str, passed: tuple[Any, ...]
):
    import lafi_client.control_commands as commands

    calls: list[tuple[Any, ...]] = []
    monkeypatch.setattr(commands, function, lambda *given, **_: calls.append(given) or 7)
    result = runner.invoke(app, [*arguments, "--url", "here:1"])
    assert result.exit_code == 7, result.output
    assert calls == [(*passed, "here:1")]
