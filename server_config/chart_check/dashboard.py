"""Builds the Grafana dashboard, which lies in the chart as JSON.

Every query uses numbers that a running server exports or records of files/rules.yaml; a test
checks the names.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from grafana_foundation_sdk.builders import common, dashboard, prometheus, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import LegendDisplayMode, LegendPlacement
from grafana_foundation_sdk.models.dashboard import DataSourceRef, VariableRefresh

from server_config.chart_check.rendering import CHART

FILE: Final = CHART / "files" / "dashboard.json"
_SOURCE: Final = DataSourceRef(type_val="prometheus", uid="$source")
_ONE: Final = 'namespace="$namespace",service=~"$service"'


class _Graph(NamedTuple):
    """One graph. unit: Grafana's name; lines: legend and query; help: what to look for."""

    title: str
    unit: str
    help: str
    lines: tuple[tuple[str, str], ...]


_ROWS: Final[dict[str, tuple[_Graph, ...]]] = {
    "What clients see": (
        _Graph(
            "Panels a second",
            "short",
            "Drawn ones cost time, found ones do not.",
            (("{{how}}", f"sum by (how) (rate(lafi_panels_total{{{_ONE}}}[5m]))"),),
        ),
        _Graph(
            "Seconds of a panel",
            "s",
            "From its first step until it is handed over; waiting comes before.",
            (
                ("half of them", f"lafi:panel_seconds:p50_10m{{{_ONE}}}"),
                ("99 of 100", f"lafi:panel_seconds:p99_10m{{{_ONE}}}"),
            ),
        ),
        _Graph(
            "Refused, late and failed, each minute",
            "short",
            "Refusals ask for more pods. Late ones and failures should not be there.",
            (
                (
                    "refused",
                    f"60 * sum(rate(lafi_storyboards_refused_total{{{_ONE}}}[5m]))",
                ),
                ("late", f"60 * sum(rate(lafi_deadlines_missed_total{{{_ONE}}}[5m]))"),
                (
                    "failed panels",
                    f'60 * sum(rate(lafi_panels_total{{{_ONE},how="failed"}}[5m]))',
                ),
            ),
        ),
    ),
    "Work": (
        _Graph(
            "Storyboards and panels in flight",
            "short",
            "Panels that wait have no place in a denoiser call.",
            (
                ("storyboards", f"sum(lafi_storyboards_in_flight{{{_ONE}}})"),
                ("panels {{state}}", f"sum by (state) (lafi_panels{{{_ONE}}})"),
            ),
        ),
        _Graph(
            "Foretold work of each pod",
            "s",
            "KEDA adds pods by this.",
            (("{{pod}}", f"lafi_forecast_seconds{{{_ONE}}}"),),
        ),
        _Graph(
            "Pods that take requests",
            "short",
            "",
            (("ready", f"sum(lafi_ready{{{_ONE}}})"), ("all", f"count(lafi_ready{{{_ONE}}})")),
        ),
    ),
    "The denoiser": (
        _Graph(
            "Busy",
            "percentunit",
            "Share of the time within the denoiser; 1 is all a pod can do.",
            (("{{pod}}", f"lafi:denoiser_busy:rate5m{{{_ONE}}}"),),
        ),
        _Graph(
            "Rows a second",
            "short",
            "Padding is wasted; references at a fixed level are no rows.",
            (("{{kind}}", f"sum by (kind) (rate(lafi_denoiser_rows_total{{{_ONE}}}[5m]))"),),
        ),
        _Graph(
            "Steps a second",
            "short",
            "",
            (
                ("all", f"sum(rate(lafi_panel_steps_total{{{_ONE}}}[5m]))"),
                ("without the denoiser", f"sum(rate(lafi_reused_steps_total{{{_ONE}}}[5m]))"),
            ),
        ),
    ),
    "What is kept": (
        _Graph(
            "Store",
            "bytes",
            "Pinned bytes wait for clients to acknowledge them.",
            (
                ("{{pod}} pinned", f"lafi_store_pinned_bytes{{{_ONE}}}"),
                ("{{pod}} all", f"lafi_store_bytes{{{_ONE}}}"),
                ("{{pod}} most", f"lafi_store_max_bytes{{{_ONE}}}"),
            ),
        ),
        _Graph(
            "Share of panels found in the store",
            "percentunit",
            "What is sent again costs nothing.",
            (("found", f"lafi:resent_share:rate1h{{{_ONE}}}"),),
        ),
        _Graph(
            "Kept references",
            "bytes",
            "Keys and values of references at a fixed level, in memory.",
            (("{{pod}}", f"lafi_bank_bytes{{{_ONE}}}"),),
        ),
    ),
    "Faults": (
        _Graph(
            "Restarts in an hour",
            "short",
            "",
            (
                (
                    "{{pod}} {{part}}",
                    f"sum by (pod, part) (increase(lafi_restarts_total{{{_ONE}}}[1h]))",
                ),
            ),
        ),
        _Graph(
            "Faults of the store in an hour",
            "short",
            "",
            (
                ("{{pod}} errors", f"increase(lafi_store_errors_total{{{_ONE}}}[1h])"),
                ("{{pod}} damaged", f"increase(lafi_store_damaged_total{{{_ONE}}}[1h])"),
            ),
        ),
        _Graph(
            "Storyboards in the journals",
            "short",
            "Not finished, or not acknowledged. Pods go to zero only when there are none.",
            (("{{pod}}", f"lafi_journal_storyboards{{{_ONE}}}"),),
        ),
    ),
}


def dashboard_json() -> str:
    """The dashboard as the chart holds it."""
    made = (
        dashboard.Dashboard("LAFI")
        .uid("lafi")
        .tags(["lafi"])
        .refresh("30s")
        .time("now-3h", "now")
        .readonly()
        .with_variable(
            dashboard.DatasourceVariable("source").label("Prometheus").type("prometheus")
        )
        .with_variable(_variable("namespace", "label_values(lafi_ready, namespace)"))
        .with_variable(
            _variable("service", 'label_values(lafi_ready{namespace="$namespace"}, service)')
            .multi(True)
            .include_all(True)
        )
    )
    for title, graphs in _ROWS.items():
        made = made.with_row(dashboard.Row(title))
        for graph in graphs:
            made = made.with_panel(_panel(graph))
    text: str = JSONEncoder(sort_keys=True, indent=2).encode(made.build())
    return f"{text}\n"


def dashboard_problems() -> list[str]:
    """Whether the file is what this module builds."""
    kept = FILE.read_text(encoding="utf-8") if FILE.is_file() else ""
    same = kept == dashboard_json()
    return [] if same else [f"{FILE.name} is not what dashboard.py builds: make chart-golden"]


def _variable(name: str, query: str) -> dashboard.QueryVariable:
    variable = dashboard.QueryVariable(name).datasource(_SOURCE).query(query)
    return variable.refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)


def _panel(graph: _Graph) -> timeseries.Panel:
    legend = common.VizLegendOptions().show_legend(True).placement(LegendPlacement.BOTTOM)
    panel = (
        timeseries.Panel()
        .legend(legend.display_mode(LegendDisplayMode.LIST))
        .title(graph.title)
        .description(graph.help)
        .unit(graph.unit)
        .min(0)
        .datasource(_SOURCE)
        .span(8)
        .height(7)
    )
    for number, (legend, query) in enumerate(graph.lines):
        target = prometheus.Dataquery().expr(query).legend_format(legend)
        panel = panel.with_target(target.ref_id(chr(ord("A") + number)).datasource(_SOURCE))
    return panel
