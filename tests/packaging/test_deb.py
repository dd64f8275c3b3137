"""What the Debian packages bring, as cargo-deb reads it from the packages' metadata; nothing is built."""

import functools
import glob
import json
import subprocess
import unittest
from pathlib import Path

from release_folder import ROOT


@functools.cache
def packages() -> dict[str, dict]:
    listed = subprocess.run(
        ["cargo", "metadata", "--locked", "--no-deps", "--format-version", "1"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )
    return {package["name"]: package for package in json.loads(listed.stdout)["packages"]}


def brought(name: str) -> dict[str, str]:
    """Each file of the repository that a package brings, and where it is put."""
    package = packages()[name]
    folder = Path(package["manifest_path"]).parent
    files: dict[str, str] = {}
    for source, to, _mode in package["metadata"]["deb"]["assets"]:
        if "target/packaging/" in source:
            continue  # packaging/deb.sh makes it
        found = [Path(path).resolve() for path in glob.glob(str(folder / source))]
        if not found:
            raise AssertionError(f"{name} is to bring {source}, which is not there")
        for path in found:
            files[str(path.relative_to(ROOT))] = to + path.name if to.endswith("/") else to
    return files


class Packages(unittest.TestCase):
    def test_the_service_brings_its_units_its_site_its_alerts_and_its_pages(self) -> None:
        files = brought("sf-supervisor")
        documentation = "usr/share/doc/sf-supervisor/"
        expected = {
            "supervisor/README.md": documentation + "README.md",
            "docs/runbook.md": documentation + "runbook.md",
            "docs/capacity.md": documentation + "capacity.md",
            "packaging/nginx/sf-supervisor.conf": documentation + "nginx/sf-supervisor.conf",
            "packaging/monitoring/alerts.yml": documentation + "monitoring/alerts.yml",
            "packaging/monitoring/dashboard.json": documentation + "monitoring/dashboard.json",
            "packaging/systemd/sf-supervisor.service": "usr/lib/systemd/system/sf-supervisor.service",
            "packaging/systemd/backup": "usr/lib/sf-supervisor/backup",
        }
        self.assertEqual({file: files.get(file) for file in expected}, expected)
        for folder in ("systemd", "nginx", "monitoring"):
            kept = {str(path.relative_to(ROOT)) for path in (ROOT / "packaging" / folder).iterdir()}
            self.assertEqual(kept - set(files), set(), "the package leaves these out")

    def test_the_program_brings_its_pages(self) -> None:
        documentation = "usr/share/doc/sf-mcp/"
        pages = ("README.md", "CHANGELOG.md", "docs/using.md")
        self.assertEqual(brought("sf-mcp"), {page: documentation + page for page in pages})

    def test_where_the_pages_say_that_something_is_it_is(self) -> None:
        put = set(brought("sf-supervisor").values())
        for page in ("supervisor/README.md", "docs/runbook.md", "packaging/nginx/sf-supervisor.conf"):
            text = (ROOT / page).read_text(encoding="utf-8")
            for word in text.replace("`", " ").replace("]", " ").replace(")", " ").split():
                place = word.rstrip(".,;:")
                if place.startswith("/usr/share/doc/sf-supervisor/") or place.startswith("/usr/lib/sf-supervisor/"):
                    with self.subTest(page=page, place=place):
                        self.assertTrue(any(file.startswith(place[1:]) for file in put), "the package has no such file")


if __name__ == "__main__":
    unittest.main()
