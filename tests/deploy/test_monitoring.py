"""The alerts and the dashboard: well formed, tested, and made of metrics that a node exports."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.metric_names import OF_PROMETHEUS, TARGET_LABELS, exported
from tests.deploy.promql import Names, names_in

DEPLOY = Path(__file__).parents[2] / "deploy"
RULES = DEPLOY / "prometheus" / "rules.yml"
RULE_TESTS = DEPLOY / "prometheus" / "rules_test.yml"
DASHBOARD: dict[str, Any] = json.loads((DEPLOY / "grafana" / "rustfs.json").read_text())

needs_promtool = pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool (Debian: prometheus) is missing")


def alerts() -> list[dict[str, Any]]:
    """All rules of rules.yml."""
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def data_panels() -> Iterator[dict[str, Any]]:
    """All panels of the dashboard that ask for something."""
    yield from (panel for panel in DASHBOARD["panels"] if panel["type"] != "row")


def dashboard_expressions() -> dict[str, str]:
    """Every expression of the dashboard, by where it stands, its variables filled in as Grafana would."""
    found = {
        f"{panel['title']} {target['refId']}": target["expr"] for panel in data_panels() for target in panel["targets"]
    }
    found |= {note["name"]: note["expr"] for note in DASHBOARD["annotations"]["list"]}
    for variable in DASHBOARD["templating"]["list"]:
        if variable["type"] == "query":
            asked = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["definition"])
            assert asked is not None
            found[f"variable {variable['name']}"] = f"count by ({asked[2]}) ({asked[1]})"
    replaced = {"$__rate_interval": "1m", "$job": "rustfs", "$instance": ".*"}
    return {
        where: re.sub(r"\$\w+", lambda match: replaced[match[0]], expression) for where, expression in found.items()
    }


def promtool(*arguments: str) -> None:
    """Run promtool; fails with what it says."""
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("expression", "metrics", "labels"),
    [
        ("up == 0", {"up"}, set()),
        (
            'sum by (job, le) (rate(a_bucket{kind=~"x y", q!="{b}"}[5m])) > 1e3',
            {"a_bucket"},
            {"job", "le", "kind", "q"},
        ),
        ("a / on (x) group_left (y) b unless c offset 5m", {"a", "b", "c"}, {"x", "y"}),
        ("max by (job) (changes(d[30m:1m])) or vector(0)", {"d"}, {"job"}),
        ("sum(f{}) without (pid)", {"f"}, {"pid"}),
    ],
)
def test_names_are_told_from_functions_and_keywords(expression, metrics, labels):
    assert names_in(expression) == Names(frozenset(metrics), frozenset(labels))


@pytest.mark.parametrize(
    ("where", "expression"),
    [*((rule["alert"], rule["expr"]) for rule in alerts()), *dashboard_expressions().items()],
)
def test_every_metric_and_label_asked_for_is_exported(where, expression):
    known = exported() | OF_PROMETHEUS
    asked = names_in(expression)
    assert asked.metrics, "asks for nothing"
    assert asked.metrics <= known.keys(), where
    labels = TARGET_LABELS.union(*(known[name] for name in asked.metrics))
    assert asked.labels <= labels, where


@needs_promtool
def test_promtool_accepts_configuration_and_rules():
    promtool("check", "config", str(DEPLOY / "prometheus" / "prometheus.yml"))
    promtool("check", "rules", str(RULES))


@needs_promtool
def test_the_alerts_fire_and_keep_silent_as_their_tests_say():
    promtool("test", "rules", str(RULE_TESTS))


@needs_promtool
def test_a_changed_threshold_fails_the_tests_of_the_alerts(tmp_path):
    text = RULES.read_text()
    assert "< 0.03" in text
    (tmp_path / "rules.yml").write_text(text.replace("< 0.03", "< 0.01"))
    shutil.copy(RULE_TESTS, tmp_path)
    command = ["promtool", "test", "rules", str(tmp_path / RULE_TESTS.name)]
    assert subprocess.run(command, capture_output=True, timeout=60, check=False).returncode == 1


def test_every_alert_is_shown_both_to_fire_and_to_keep_silent():
    firing, silent = set(), set()
    for scenario in yaml.safe_load(RULE_TESTS.read_text())["tests"]:
        for each in scenario["alert_rule_test"]:
            (firing if each["exp_alerts"] else silent).add(each["alertname"])
    names = {rule["alert"] for rule in alerts()}
    assert firing == names
    assert silent == names


def test_every_alert_says_how_bad_it_is_and_what_to_do():
    for rule in alerts():
        assert rule["labels"]["severity"] in ("critical", "warning"), rule["alert"]
        assert rule["annotations"].keys() == {"summary", "description"}, rule["alert"]


@needs_promtool
def test_prometheus_parses_every_expression_of_the_dashboard(tmp_path):
    rules = [
        {"record": f"panel_{number}", "expr": expression}
        for number, expression in enumerate(dashboard_expressions().values())
    ]
    wrapped = tmp_path / "dashboard.yml"
    wrapped.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    promtool("check", "rules", str(wrapped))


def test_the_dashboard_is_one_that_grafana_can_import():
    assert DASHBOARD["schemaVersion"] >= 41
    assert "id" not in DASHBOARD, "an id of one Grafana's database"
    variables = [variable["name"] for variable in DASHBOARD["templating"]["list"]]
    assert variables == ["datasource", "job", "instance"]
    identifiers = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(identifiers)) == len(identifiers)
    for panel in data_panels():
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}, panel["title"]
        assert all(target["datasource"] == panel["datasource"] for target in panel["targets"])
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])


def test_the_dashboards_panels_fill_their_rows_without_overlapping():
    taken: dict[tuple[int, int], str] = {}
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        for x in range(at["x"], at["x"] + at["w"]):
            for y in range(at["y"], at["y"] + at["h"]):
                assert taken.setdefault((x, y), panel["title"]) == panel["title"]
    bottom = max(y for _x, y in taken)
    assert len(taken) == 24 * (bottom + 1)


def test_the_dashboard_shows_every_part_of_the_cluster():
    rows = [panel["title"] for panel in DASHBOARD["panels"] if panel["type"] == "row"]
    assert rows == ["Cluster", "S3 traffic and latency", "Nodes and peers", "Drives", "Healing", "Processes"]
    asked = frozenset().union(*(names_in(each).metrics for each in dashboard_expressions().values()))
    stems = {re.sub(r"_(bucket|sum|count)$", "", name) for name in asked}
    offered = {re.sub(r"_(bucket|sum|count)$", "", name) for name in exported()}
    assert offered - stems == set(), "exported, and on no panel"
