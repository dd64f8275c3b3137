"""The tool catalogue as tdqs, the tool definition linter, judges it."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

BINARY = os.environ["SF_MCP_BIN"]
TDQS = pathlib.Path(sys.executable).parent / "tdqs"


class Catalogue(unittest.TestCase):
    def test_the_default_tools_pass_without_a_warning(self):
        self.assertClean()

    def test_all_tools_pass_without_a_warning(self):
        self.assertClean("--toolsets", "all")

    def test_the_reading_tools_pass_without_a_warning(self):
        self.assertClean("--read-only")

    def assertClean(self, *options):
        with tempfile.TemporaryDirectory(prefix="sf-mcp-client-test-") as home:
            env = {"PATH": os.environ["PATH"], "HOME": home, "SF_MCP_HOME": home}
            catalogue = subprocess.run(
                [BINARY, "tools", "--json", *options], env=env, stdin=subprocess.DEVNULL,
                capture_output=True, check=True, timeout=60,
            )
            lint = subprocess.run(
                [TDQS, "lint", "--fail-on", "warning", "--file", "-"], env=env, input=catalogue.stdout,
                capture_output=True, timeout=120, check=False,
            )

        report = lint.stdout.decode()
        self.assertEqual(lint.returncode, 0, report + lint.stderr.decode())
        tools = len(json.loads(catalogue.stdout)["tools"])
        self.assertGreater(tools, 0)
        self.assertIn(f"{tools} tools", report)


if __name__ == "__main__":
    unittest.main()
