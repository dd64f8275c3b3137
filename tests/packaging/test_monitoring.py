"""The alert rules and the dashboard ask for figures that exist, with labels that they have."""

import json
import re
import unittest
from pathlib import Path

ROOT = Path(__file__).parents[2]
MONITORING = ROOT / "packaging/monitoring"
COUNTED = re.compile(r'metrics::(counter|gauge|histogram)!\(\s*"(\w+)"((?:(?!metrics::)[^;])*)')
LABEL = re.compile(r'"(\w+)"\s*=>')
ASKED = re.compile(r"\b(sf_supervisor_\w+)(?:\{([^}]*)\})?")
# What Prometheus itself adds.
ADDED = {"job", "instance", "le"}


def figures() -> dict[str, set[str]]:
    """Every figure in the code with its labels, histograms under the name they are scraped with."""
    found: dict[str, set[str]] = {}
    for source in (ROOT / "supervisor/src").rglob("*.rs"):
        for kind, name, rest in COUNTED.findall(source.read_text(encoding="utf-8")):
            name = name + "_bucket" if kind == "histogram" else name
            found.setdefault(name, set()).update(LABEL.findall(rest))
    return found


def expressions(value: object) -> list[str]:
    if isinstance(value, dict):
        own = [value["expr"]] if "expr" in value else []
        return own + [expression for inner in value.values() for expression in expressions(inner)]
    if isinstance(value, list):
        return [expression for inner in value for expression in expressions(inner)]
    return []


def rules() -> list[tuple[str, str]]:
    """Name and expression of each alert; of YAML this file uses little, so no parser is needed."""
    text = (MONITORING / "alerts.yml").read_text(encoding="utf-8")
    parts = re.split(r"^ {6}- alert: (\w+)$", text, flags=re.MULTILINE)[1:]
    found = []
    for name, body in zip(parts[::2], parts[1::2], strict=True):
        expression = re.search(r"^ {8}expr: (.*(?:\n {10,}.*)*)", body, flags=re.MULTILINE)
        assert expression, name
        found.append((name, expression[1].removeprefix(">-")))
    return found


class Monitoring(unittest.TestCase):
    def assert_known(self, expression: str) -> set[str]:
        known = figures()
        asked = ASKED.findall(expression)
        for name, selector in asked:
            self.assertIn(name, known, expression)
            for label in re.findall(r"(\w+)\s*(?:=|!)", selector):
                self.assertIn(label, known[name] | ADDED, expression)
        labels = [label for name, _ in asked for label in known[name]]
        for group in re.findall(r"\bby \(([^)]*)\)", expression):
            self.assertLessEqual(set(re.split(r",\s*", group)), {*labels, *ADDED}, expression)
        return {name for name, _ in asked}

    def test_the_alerts_ask_for_what_there_is_and_the_runbook_knows_them(self) -> None:
        found = rules()
        self.assertGreater(len(found), 5)
        runbook = (ROOT / "docs/runbook.md").read_text(encoding="utf-8")
        for name, expression in found:
            with self.subTest(name):
                self.assertTrue(self.assert_known(expression) or expression.strip().startswith("up{"))
                self.assertIn(f"`{name}`", runbook)

    def test_the_dashboard_shows_every_figure(self) -> None:
        dashboard = json.loads((MONITORING / "dashboard.json").read_text(encoding="utf-8"))
        shown = {name for expression in expressions(dashboard) for name in self.assert_known(expression)}
        self.assertEqual(shown, set(figures()))
        ids = [panel["id"] for panel in dashboard["panels"]]
        self.assertEqual(len(ids), len(set(ids)))


if __name__ == "__main__":
    unittest.main()
