"""What the pages say of the code: links lead somewhere, and modules import as docs/architecture.md draws them."""

import re
import subprocess
import unittest
from pathlib import Path

from release_folder import ROOT

ARCHITECTURE = ROOT / "docs/architecture.md"
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
CODE_BLOCK = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
USE = re.compile(r"^\s*(?:pub(?:\([^)]*\))? )?use crate::(.*?);", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"\bcrate::(\w+)::")


def pages() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "*.md"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [ROOT / name for name in listed.stdout.split()]


def anchors(page: Path) -> set[str]:
    """A page's headings as links name them."""
    text = CODE_BLOCK.sub("", page.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def table(name: str) -> list[list[str]]:
    """The rows of a marked table, each as the words in backticks of its cells."""
    text = ARCHITECTURE.read_text(encoding="utf-8")
    kind = name.split(":")[0]
    (body,) = re.findall(rf"<!-- {re.escape(name)} -->\n(.*?)<!-- {kind}: end -->", text, re.DOTALL)
    return [re.findall(r"`(\w+)`", row) for row in body.splitlines()[2:]]


def top_level(names: str) -> list[str]:
    """The modules that `use crate::…` names: one, or those between its outermost braces."""
    names = names.strip()
    if not names.startswith("{"):
        return re.findall(r"^\w+", names)
    while re.search(r"\{[^{}]*\{", names):
        names = re.sub(r"\{([^{}]*)\}(?=[^{]*\})", "", names)
    return re.findall(r"(?:^\{|,)\s*(\w+)", names)


def imports(source: str) -> dict[str, set[str]]:
    """Which module of a crate imports which, tests aside."""
    found: dict[str, set[str]] = {}
    for file in (ROOT / source).rglob("*.rs"):
        inside = file.relative_to(ROOT / source)
        module = inside.parts[0].removesuffix(".rs")
        if module in ("main", "lib") or "tests" in file.stem or "tests" in inside.parts:
            continue
        text = file.read_text(encoding="utf-8").split("#[cfg(test)]\nmod tests")[0]
        text = re.sub(r"//.*", "", text)
        named = {name.strip() for names in USE.findall(text) for name in top_level(names)}
        named |= set(INLINE.findall(text))
        found.setdefault(module, set()).update(named - {module})
    return found


class Pages(unittest.TestCase):
    def test_every_link_leads_to_a_file_and_a_heading_that_are_there(self) -> None:
        for page in pages():
            for link in LINK.findall(CODE_BLOCK.sub("", page.read_text(encoding="utf-8"))):
                if re.match(r"[a-z]+:", link):
                    continue
                path, _, anchor = link.partition("#")
                target = (page.parent / path).resolve() if path else page
                with self.subTest(page=str(page.relative_to(ROOT)), link=link):
                    self.assertTrue(target.exists(), "there is no such file")
                    if anchor:
                        self.assertIn(anchor, anchors(target))

    def test_each_file_that_is_named_is_there(self) -> None:
        named = re.compile(r"`((?:src|supervisor|tests|packaging|docs|benches)/[\w./-]+\.(?:rs|sql|md|sh|py|conf|json|yml|png))`")
        for page in pages():
            for path in named.findall(page.read_text(encoding="utf-8")):
                if path == "src/tools/departments.rs":
                    continue  # what CONTRIBUTING.md has its readers write
                with self.subTest(page=page.name, path=path):
                    self.assertTrue((ROOT / path).exists() or (page.parent / path).exists())


class Layers(unittest.TestCase):
    def layers(self, source: str) -> dict[str, int]:
        rows = table(f"layers: {source}")
        layers = {module: number for number, row in enumerate(rows) for module in row}
        self.assertEqual(len(layers), sum(len(row) for row in rows), "a module stands in two rows")
        self.assertEqual(set(layers), set(imports(source)), "the table has every module and no other")
        return layers

    def test_sf_mcps_modules_import_downwards_only(self) -> None:
        layers = self.layers("src")
        wrong = [
            f"{module} imports {other}"
            for module, others in imports("src").items() for other in others if layers[other] <= layers[module]
        ]
        self.assertEqual(wrong, [])

    def test_sf_supervisors_modules_import_downwards_but_for_what_is_named(self) -> None:
        layers = self.layers("supervisor/src")
        features = layers["portal"]
        upwards = {
            (module, other)
            for module, others in imports("supervisor/src").items() for other in others
            if layers[other] < layers[module] or layers[other] == layers[module] == features
        }
        self.assertEqual(upwards, {(row[0], row[1]) for row in table("upwards")})


if __name__ == "__main__":
    unittest.main()
