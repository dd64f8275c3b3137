"""A release as it is made: built here, packed, finished, and installed on a machine without anything."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import unittest
import zipfile
from pathlib import Path

import test_registry
from release_folder import PLATFORM, ROOT

REPOSITORY = "https://github.com/someone/sf-mcp"
NODE = os.environ.get("NODE", "node")
MCPB = ROOT / "tests/clients/node_modules/@anthropic-ai/mcpb/dist/cli/cli.js"
VERSION = re.search(r'^version = "(.*)"$', (ROOT / "Cargo.toml").read_text(), re.MULTILINE)[1]


def run(*command: object, **variables: str) -> str:
    environment = {**os.environ, **variables}
    ran = subprocess.run([str(word) for word in command], env=environment, capture_output=True, text=True, check=False)
    if ran.returncode != 0:
        raise AssertionError(f"{command} ended with {ran.returncode}:\n{ran.stdout}{ran.stderr}")
    return ran.stdout


class Release(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        folder = tempfile.TemporaryDirectory(prefix="sf-mcp-release-")
        cls.addClassCleanup(folder.cleanup)
        cls.folder = Path(folder.name)
        cls.dist = cls.folder / "dist"
        run(ROOT / "packaging/build.sh", "--profile", "dev", "--out", cls.dist)
        run(ROOT / "packaging/release.sh", REPOSITORY, cls.dist)

    def test_everything_is_in_the_list_with_its_sum(self) -> None:
        listed = dict(reversed(line.split("  ")) for line in (self.dist / "SHA256SUMS").read_text().splitlines())
        there = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in self.dist.iterdir()}
        there.pop("SHA256SUMS")

        self.assertEqual(listed, there)
        expected = {
            "install.ps1",
            "install.sh",
            "server.json",
            f"sf-mcp-{VERSION}-{PLATFORM}.tar.gz",
            f"sf-mcp-{VERSION}-source.tar.gz",
            f"service-fusion-{VERSION}-{PLATFORM}.mcpb",
        }
        self.assertLessEqual(expected, set(listed))
        self.assertIn(f"\nreleases={REPOSITORY}/releases\n", (self.dist / "install.sh").read_text())
        self.assertIn(f"\n$Releases = '{REPOSITORY}/releases'", (self.dist / "install.ps1").read_text())

    def test_a_new_user_installs_it_and_has_the_demo_the_manual_and_completions(self) -> None:
        home = self.folder / "home"
        home.mkdir()
        own = {"HOME": str(home), "PATH": "/usr/bin:/bin", "SF_MCP_HOME": str(home / "state")}
        said = run("sh", self.dist / "install.sh", "--base-url", f"file://{self.dist}", **own)
        program = home / ".local/bin/sf-mcp"

        self.assertIn(f"sf-mcp {VERSION} is in {program}.", said)
        self.assertIn("mcpServers", run(program, "demo", **own))
        self.assertEqual(program.stat().st_mode & 0o777, 0o755)
        pages = {page.name for page in (home / ".local/share/man/man1").iterdir()}
        self.assertLessEqual({"sf-mcp.1", "sf-mcp-login.1", "sf-mcp-install.1"}, pages)
        self.assertIn("sf-mcp", (home / ".local/share/bash-completion/completions/sf-mcp").read_text())

        run("sh", self.dist / "install.sh", "--uninstall", **own)
        self.assertEqual([path for path in (home / ".local").rglob("*") if path.is_file()], [])

    def test_archives_are_the_same_each_time_and_hold_nobodys_name(self) -> None:
        archive = self.dist / f"sf-mcp-{VERSION}-{PLATFORM}.tar.gz"
        unpacked = self.folder / "unpacked"
        with tarfile.open(archive) as packed:
            self.assertEqual({(entry.uid, entry.uname) for entry in packed}, {(0, "")})
            packed.extractall(unpacked, filter="data")
        again = self.folder / "again.tar.gz"
        run(sys.executable, ROOT / "packaging/pack.py", again, unpacked, SOURCE_DATE_EPOCH="1")
        first = again.read_bytes()
        run(sys.executable, ROOT / "packaging/pack.py", again, unpacked, SOURCE_DATE_EPOCH="1")
        self.assertEqual(first, again.read_bytes())

    def test_the_extension_is_valid_and_asks_for_two_things_that_may_stay_empty(self) -> None:
        if not MCPB.exists():
            self.skipTest("the official mcpb package is not installed: tests/run does that")
        extension = self.dist / f"service-fusion-{VERSION}-{PLATFORM}.mcpb"
        unpacked = self.folder / "extension"
        run(NODE, MCPB, "unpack", extension, unpacked)

        self.assertIn("schema validation passes", run(NODE, MCPB, "validate", unpacked))
        with zipfile.ZipFile(extension) as archive:
            self.assertIsNone(archive.testzip())
            self.assertEqual(archive.namelist(), ["manifest.json", "icon.png", "server/sf-mcp"])
        manifest = json.loads((unpacked / "manifest.json").read_text())
        asked = manifest["user_config"]
        self.assertEqual({name for name, field in asked.items() if field.get("sensitive")}, {"client_secret"})
        self.assertFalse(any(field["required"] for field in asked.values()))

        # A client hands the placeholder itself over for what stayed empty: nobody is signed in then.
        environment = manifest["server"]["mcp_config"]["env"]
        program = unpacked / manifest["server"]["entry_point"]
        home = self.folder / "extension-home"
        status = subprocess.run(
            [program, "status"], env={**environment, "SF_MCP_HOME": str(home), "HOME": str(home)},
            capture_output=True, text=True, check=False,
        )
        self.assertEqual(status.returncode, 3, status.stdout + status.stderr)

    def test_the_registrys_entry_is_as_its_schema_wants_it_and_names_what_is_there(self) -> None:
        server = json.loads((self.dist / "server.json").read_text())
        self.assertEqual(test_registry.problems(server), [])
        self.assertEqual((server["version"], server["repository"]["url"]), (VERSION, REPOSITORY))
        for package in server["packages"]:
            file = self.dist / package["identifier"].rsplit("/", 1)[1]
            self.assertEqual(package["identifier"], f"{REPOSITORY}/releases/download/v{VERSION}/{file.name}")
            self.assertEqual(package["fileSha256"], hashlib.sha256(file.read_bytes()).hexdigest())

    def test_the_formula_waits_for_all_its_archives_and_names_their_sums(self) -> None:
        dist = self.folder / "formula"
        dist.mkdir()
        fill = ROOT / "packaging/homebrew/fill.py"
        self.assertIn("missing", run(sys.executable, fill, REPOSITORY, VERSION, dist))
        for platform in ("darwin-universal", "linux-x64", "linux-arm64"):
            (dist / f"sf-mcp-{VERSION}-{platform}.tar.gz").write_text(platform)
        run(sys.executable, fill, REPOSITORY, VERSION, dist)

        formula = (dist / "sf-mcp.rb").read_text()
        self.assertNotRegex(formula, r"REPOSITORY|VERSION|SHA256")
        for platform in ("darwin-universal", "linux-x64", "linux-arm64"):
            self.assertIn(hashlib.sha256(platform.encode()).hexdigest(), formula)

    def test_the_service_with_its_units_is_in_one_archive(self) -> None:
        if not PLATFORM.startswith("linux"):
            self.skipTest("the service is packed for Linux")
        with tarfile.open(self.dist / f"sf-supervisor-{VERSION}-{PLATFORM}.tar.gz") as packed:
            names = set(packed.getnames())
        self.assertLessEqual(
            {
                "sf-mcp",
                "sf-supervisor",
                "systemd/sf-supervisor.service",
                "nginx/sf-supervisor.conf",
                "man/sf-supervisor-keys-rotate.1",
            },
            names,
        )
        self.assertEqual([name for name in names if re.search(r"^man/.*-help\b", name)], [])


class Service(unittest.TestCase):
    UNITS = ROOT / "packaging/systemd"

    def test_the_units_leave_the_service_little(self) -> None:
        if not shutil.which("systemd-analyze"):
            self.skipTest("systemd-analyze is not here")
        for unit in ("sf-supervisor.service", "sf-supervisor-backup.service"):
            said = run("systemd-analyze", "security", "--offline=true", "--threshold=15", self.UNITS / unit)
            self.assertIn("Overall exposure level", said)
            self.assertNotIn("Unknown", said)

    def test_the_units_words_are_systemds_and_the_timer_has_times(self) -> None:
        if not shutil.which("systemd-analyze"):
            self.skipTest("systemd-analyze is not here")
        root = Path(tempfile.mkdtemp(prefix="sf-mcp-units-"))
        self.addCleanup(shutil.rmtree, root)
        for unit in self.UNITS.glob("sf-supervisor*"):
            # The programs are not installed here.
            text = re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", unit.read_text(), flags=re.MULTILINE)
            (root / unit.name).write_text(text)
        units = sorted(root.iterdir())
        checked = subprocess.run(
            ["systemd-analyze", "verify", "--man=no", *units], capture_output=True, text=True, check=False
        )
        ours = [line for line in checked.stderr.splitlines() if "sf-supervisor" in line]
        self.assertEqual(ours, [], checked.stderr)
        timer = (self.UNITS / "sf-supervisor-backup.timer").read_text()
        run("systemd-analyze", "calendar", re.search(r"^OnCalendar=(.*)$", timer, re.MULTILINE)[1])

    def test_the_nightly_backup_is_restorable_and_former_ones_go_after_it(self) -> None:
        program = os.environ.get("SF_SUPERVISOR_BIN")
        if not program:
            self.skipTest("SF_SUPERVISOR_BIN is not set: tests/run does that")
        folder = Path(tempfile.mkdtemp(prefix="sf-mcp-backup-"))
        self.addCleanup(shutil.rmtree, folder)
        backups = folder / "backups"
        backups.mkdir()
        old, recent, mine = (backups / name for name in
                             ("2020-01-01T000000Z.db", "2020-01-02T000000Z.db", "before-the-move.db"))
        for file in (old, recent, mine):
            file.write_text("")
        for file in (old, mine):
            os.utime(file, (0, 0))
        variables = {
            "SF_SUPERVISOR": program,
            "SF_SUPERVISOR_DATABASE_URL": f"sqlite://{folder}/sf-supervisor-dev/supervisor.db",
            "SF_SUPERVISOR_BACKUP_FOLDER": str(backups),
        }
        service = subprocess.Popen(
            [program, "serve", "--dev", "--listen", "127.0.0.1:0"], cwd=folder, stderr=subprocess.PIPE, text=True
        )
        self.addCleanup(service.stderr.close)
        self.addCleanup(service.wait)
        self.addCleanup(service.terminate)
        self.assertTrue(any("is running" in line for line in service.stderr))
        run(self.UNITS / "backup", **variables)

        (made,) = set(backups.iterdir()) - {recent, mine}
        self.assertNotEqual(made, old)
        run(program, "restore", made, SF_SUPERVISOR_DATABASE_URL=f"sqlite://{folder}/restored.db")
        self.assertEqual(made.stat().st_mode & 0o077, 0)

    def test_a_backup_that_fails_leaves_the_former_ones(self) -> None:
        folder = Path(tempfile.mkdtemp(prefix="sf-mcp-backup-"))
        self.addCleanup(shutil.rmtree, folder)
        old = folder / "2020-01-01T000000Z.db"
        old.write_text("")
        os.utime(old, (0, 0))
        with self.assertRaises(AssertionError):
            run(self.UNITS / "backup", SF_SUPERVISOR="false", SF_SUPERVISOR_BACKUP_FOLDER=str(folder))
        self.assertTrue(old.exists())


if __name__ == "__main__":
    unittest.main()
