"""The entry of the MCP registry is as its schema wants it, and an entry that is not is noticed."""

import copy
import hashlib
import json
import subprocess
import sys
import tempfile
import unittest
from collections.abc import Callable
from pathlib import Path

import jsonschema

from release_folder import ROOT

REGISTRY = ROOT / "packaging/registry"
REPOSITORY = "https://github.com/someone/sf-mcp"
VERSION = "1.2.3"


def problems(entry: object) -> list[str]:
    """What is wrong with an entry, each with its place in it."""
    schema = json.loads((REGISTRY / "entry.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    found = jsonschema.Draft202012Validator(schema).iter_errors(entry)
    return sorted(f"{problem.json_path}: {problem.message}" for problem in found)


def fill(dist: Path) -> dict:
    subprocess.run([sys.executable, REGISTRY / "fill.py", REPOSITORY, VERSION, dist], check=True)
    return json.loads((dist / "server.json").read_text(encoding="utf-8"))


class Entry(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        folder = tempfile.TemporaryDirectory(prefix="sf-mcp-registry-")
        cls.addClassCleanup(folder.cleanup)
        cls.dist = Path(folder.name)
        for platform in ("linux-x64", "darwin-universal", "win32-x64"):
            (cls.dist / f"service-fusion-{VERSION}-{platform}.mcpb").write_text(platform)
        cls.entry = fill(cls.dist)

    def test_a_filled_entry_has_nothing_wrong(self) -> None:
        self.assertEqual(problems(self.entry), [])

    def test_each_extension_is_named_with_its_sum(self) -> None:
        for package in self.entry["packages"]:
            file = self.dist / package["identifier"].rsplit("/", 1)[1]
            self.assertEqual(package["identifier"], f"{REPOSITORY}/releases/download/v{VERSION}/{file.name}")
            self.assertEqual(package["fileSha256"], hashlib.sha256(file.read_bytes()).hexdigest())
        self.assertEqual(len(self.entry["packages"]), 3)

    def test_the_template_alone_is_no_entry(self) -> None:
        template = json.loads((REGISTRY / "server.json").read_text(encoding="utf-8"))
        wrong = "\n".join(problems(template))
        for place in ("$.version", "$.repository.url", "$.packages[0].fileSha256", "$.packages[0].identifier"):
            self.assertIn(f"{place}: ", wrong)

    def test_each_thing_that_is_spoiled_is_noticed_in_its_place(self) -> None:
        package = lambda entry: entry["packages"][0]
        secret = lambda entry: package(entry)["environmentVariables"][1]
        spoiled: list[tuple[str, Callable[[dict], object]]] = [
            ("$", lambda entry: entry.pop("description")),
            ("$", lambda entry: entry.update(licence="Apache-2.0")),
            ("$.name", lambda entry: entry.update(name="sf-mcp")),
            ("$.description", lambda entry: entry.update(description="x" * 101)),
            ("$.title", lambda entry: entry.update(title="")),
            ("$.version", lambda entry: entry.update(version="^1.2.3")),
            ("$.repository", lambda entry: entry["repository"].pop("source")),
            ("$.packages", lambda entry: entry.update(packages=[])),
            ("$.packages", lambda entry: entry["packages"].append(copy.deepcopy(package(entry)))),
            ("$.packages[0].version", lambda entry: package(entry).update(version="latest")),
            ("$.packages[0].fileSha256", lambda entry: package(entry).update(fileSha256="A" * 64)),
            ("$.packages[0].identifier", lambda entry: package(entry).update(identifier="service-fusion.mcpb")),
            ("$.packages[0].transport", lambda entry: package(entry).update(transport={"type": "pipe"})),
            ("$.packages[0].environmentVariables[1].isSecret", lambda entry: secret(entry).update(isSecret=False)),
            ("$.packages[0].environmentVariables[1].isSecret", lambda entry: secret(entry).update(isSecret="yes")),
        ]
        for place, spoil in spoiled:
            entry = copy.deepcopy(self.entry)
            spoil(entry)
            wrong = problems(entry)
            with self.subTest(place=place):
                self.assertTrue(any(problem.startswith(f"{place}: ") for problem in wrong), wrong)


if __name__ == "__main__":
    unittest.main()
