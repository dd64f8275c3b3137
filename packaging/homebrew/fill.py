#!/usr/bin/env python3
"""fill.py REPOSITORY VERSION DIST: Homebrew's formula for the archives in DIST, as DIST/sf-mcp.rb.

Nothing is written, and it says so, while an archive is missing that the formula names."""

import hashlib
import sys
from pathlib import Path

TEMPLATE = Path(__file__).with_name("sf-mcp.rb")
PLATFORMS = ["darwin-universal", "linux-x64", "linux-arm64"]


def main(repository: str, version: str, dist: str) -> None:
    archives = {platform: Path(dist) / f"sf-mcp-{version}-{platform}.tar.gz" for platform in PLATFORMS}
    missing = [path.name for path in archives.values() if not path.is_file()]
    if missing:
        print(f"no Homebrew formula: {', '.join(missing)} missing")
        return
    formula = TEMPLATE.read_text(encoding="utf-8").split("\n", 1)[1]
    for platform, path in archives.items():
        word = "SHA256_" + platform.replace("-", "_").upper()
        formula = formula.replace(f'"{word}"', f'"{hashlib.sha256(path.read_bytes()).hexdigest()}"')
    formula = formula.replace("REPOSITORY", repository).replace("VERSION", version)
    (Path(dist) / "sf-mcp.rb").write_text(formula, encoding="utf-8")


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
