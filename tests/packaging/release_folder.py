"""A release's folder on loopback HTTP, and install.sh run against it in a home of its own."""

import functools
import hashlib
import http.server
import os
import platform
import subprocess
import tarfile
import tempfile
import threading
import unittest
from io import BytesIO
from pathlib import Path

ROOT = Path(__file__).parents[2]
INSTALLER = ROOT / "install.sh"
MACHINE = {"x86_64": "x64", "amd64": "x64", "aarch64": "arm64", "arm64": "arm64"}[platform.machine().lower()]
PLATFORM = "darwin-universal" if platform.system() == "Darwin" else f"linux-{MACHINE}"


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves the folder; of names in `cut` only half arrives of what was announced."""

    cut: set[str] = set()

    def log_message(self, *_args: object) -> None:
        pass

    def copyfile(self, source, outputfile) -> None:  # noqa: ANN001 (the base class's)
        data = source.read()
        whole = Path(self.path).name not in self.cut
        outputfile.write(data if whole else data[: len(data) // 2])


class ReleaseTest(unittest.TestCase):
    """Each test has a home, a folder that is served, and an address."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory(prefix="sf-mcp-install-")
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.home, self.release, self.scratch = (self.folder / name for name in ("home", "release", "scratch"))
        for path in (self.home, self.release, self.scratch):
            path.mkdir()
        self.handler = type("OwnHandler", (Handler,), {"cut": set()})
        serve = functools.partial(self.handler, directory=str(self.release))
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), serve)
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{server.server_port}"

    def publish(self, version: str, *, program: str | None = None, platform: str = PLATFORM, pages: int = 1) -> Path:
        """An archive whose program knows its version alone, and the list. A release has one version."""
        if program is None:
            program = f'#!/bin/sh\n[ "$1" = --version ] && echo "sf-mcp {version}"\n'
        archive = self.release / f"sf-mcp-{version}-{platform}.tar.gz"
        with tarfile.open(archive, "w:gz") as packed:
            put(packed, "sf-mcp", program.encode(), 0o755)
            for number in range(pages):
                put(packed, f"man/sf-mcp-page{number}.1", b".TH sf-mcp 1\n")
            for name in ("sf-mcp.bash", "_sf-mcp", "sf-mcp.fish"):
                put(packed, f"completions/{name}", b"# completions\n")
        self.write_list()
        return archive

    def write_list(self) -> None:
        lines = [
            f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n"
            for path in sorted(self.release.glob("*.tar.gz"))
        ]
        (self.release / "SHA256SUMS").write_text("".join(lines))

    def withdraw(self) -> None:
        for path in self.release.iterdir():
            path.unlink()

    def run_installer(
        self,
        *arguments: str,
        shell: tuple[str, ...] = ("sh",),
        script: Path = INSTALLER,
        path: str | None = None,
        timeout: int = 300,
        **variables: str,
    ) -> subprocess.CompletedProcess[str]:
        environment = {
            "HOME": str(self.home),
            "PATH": path or os.environ["PATH"],
            "TMPDIR": str(self.scratch),
            "SF_MCP_BASE_URL": self.url,
            **variables,
        }
        return subprocess.run(
            [*shell, str(script), *arguments], env=environment, capture_output=True, text=True, timeout=timeout, check=False
        )

    def install(self, *arguments: str, **options) -> str:  # noqa: ANN003 (those above)
        ran = self.run_installer(*arguments, **options)
        self.assertEqual(ran.returncode, 0, ran.stderr)
        self.assertEqual(ran.stderr, "")
        self.assert_nothing_is_left()
        return ran.stdout

    def refused(self, *arguments: str, **options) -> str:  # noqa: ANN003 (those above)
        ran = self.run_installer(*arguments, **options)
        self.assertEqual(ran.returncode, 1, ran.stdout + ran.stderr)
        self.assertRegex(ran.stderr, r"\Ainstall\.sh: ")
        self.assert_nothing_is_left()
        return ran.stderr

    def assert_nothing_is_left(self) -> None:
        self.assertEqual([path.name for path in self.scratch.iterdir()], [])
        self.assertEqual([str(path) for path in self.home.rglob("*.new")], [])

    def version(self, prefix: Path | None = None) -> str:
        program = (prefix or self.home / ".local") / "bin/sf-mcp"
        return subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout.strip()

    def files(self) -> list[str]:
        return sorted(str(path.relative_to(self.home)) for path in self.home.rglob("*") if path.is_file())


def put(packed: tarfile.TarFile, name: str, data: bytes, mode: int = 0o644) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(data), mode
    packed.addfile(entry, BytesIO(data))
