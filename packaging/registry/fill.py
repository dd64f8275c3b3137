#!/usr/bin/env python3
"""fill.py REPOSITORY VERSION DIST: server.json of the MCP registry for the extensions in DIST, as DIST/server.json."""

import copy
import hashlib
import json
import re
import sys
from pathlib import Path

TEMPLATE = Path(__file__).with_name("server.json")


def filled(template: object, words: dict[str, str]) -> object:
    """The template with its words in capitals replaced, in values alone."""
    if isinstance(template, dict):
        return {key: filled(value, words) for key, value in template.items()}
    if isinstance(template, list):
        return [filled(value, words) for value in template]
    if isinstance(template, str):
        return re.sub("|".join(words), lambda found: words[found[0]], template)
    return template


def main(repository: str, version: str, dist: str) -> None:
    server = json.loads(TEMPLATE.read_text(encoding="utf-8"))
    (package,) = server.pop("packages")
    owner = repository.split("/")[3]
    words = {"OWNER": owner, "REPOSITORY": repository, "VERSION": version}
    server = filled(server, words)
    server["packages"] = []
    for extension in sorted(Path(dist).glob(f"service-fusion-{version}-*.mcpb")):
        platform = extension.stem.removeprefix(f"service-fusion-{version}-")
        if platform.endswith("-musl"):
            continue  # no desktop client runs there
        sum_ = hashlib.sha256(extension.read_bytes()).hexdigest()
        own = {**words, "PLATFORM": platform, "SHA256": sum_}
        server["packages"].append(filled(copy.deepcopy(package), own))
    if not server["packages"]:
        sys.exit(f"fill.py: {dist} has no extension of {version}")
    text = json.dumps(server, indent=2, ensure_ascii=False) + "\n"
    (Path(dist) / "server.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
