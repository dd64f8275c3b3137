"""install.sh against a release on loopback: what a new user meets, and everything that can go wrong on the way."""

import os
import re
import shutil
import subprocess
import unittest
from pathlib import Path

from release_folder import INSTALLER, PLATFORM, ROOT, ReleaseTest


class Installing(ReleaseTest):
    def test_a_fresh_machine_gets_it_and_is_told_how_to_go_on_and_how_to_undo_it(self) -> None:
        self.publish("1.2.3")
        said = self.install()

        self.assertEqual(self.version(), "sf-mcp 1.2.3")
        self.assertIn(f"sf-mcp 1.2.3 is in {self.home}/.local/bin/sf-mcp.", said)
        self.assertIn(f'export PATH="{self.home}/.local/bin:$PATH"', said)
        self.assertIn("To undo: sh install.sh --uninstall ", said)
        self.assertEqual(
            self.files(),
            [
                ".local/bin/sf-mcp",
                ".local/share/bash-completion/completions/sf-mcp",
                ".local/share/fish/vendor_completions.d/sf-mcp.fish",
                ".local/share/man/man1/sf-mcp-page0.1",
                ".local/share/sf-mcp/installed",
                ".local/share/zsh/site-functions/_sf-mcp",
            ],
        )

    def test_again_changes_nothing_and_mends_what_was_damaged(self) -> None:
        self.publish("1.2.3")
        self.install()
        program = self.home / ".local/bin/sf-mcp"
        before = program.stat()
        again = self.install()
        after = program.stat()

        self.assertIn("nothing was done", again)
        self.assertEqual((before.st_ino, before.st_mtime_ns), (after.st_ino, after.st_mtime_ns))

        (self.home / ".local/share/man/man1/sf-mcp-page0.1").unlink()
        self.assertIn("is in", self.install())
        self.assertIn("nothing was done", self.install())

    def test_an_old_version_is_replaced_with_what_belonged_to_it(self) -> None:
        self.publish("1.2.3", pages=3)
        self.install()
        running = os.open(self.home / ".local/bin/sf-mcp", os.O_RDONLY)
        self.addCleanup(os.close, running)
        self.withdraw()
        self.publish("1.3.0", pages=1)
        said = self.install()

        self.assertIn("; it replaced 1.2.3.", said)
        self.assertEqual(self.version(), "sf-mcp 1.3.0")
        self.assertIn(b"1.2.3", os.read(running, 1000), "a running program keeps the file it was started from")
        pages = sorted(path.name for path in (self.home / ".local/share/man/man1").iterdir())
        self.assertEqual(pages, ["sf-mcp-page0.1"])

    def test_one_that_does_not_run_any_more_is_replaced(self) -> None:
        program = self.home / ".local/bin/sf-mcp"
        program.parent.mkdir(parents=True)
        program.write_text("#!/nowhere/at/all\n")
        program.chmod(0o755)
        self.publish("1.2.3")
        self.assertIn("it replaced one that does not run", self.install())

    def test_it_goes_where_it_is_told_even_with_a_space_in_the_name(self) -> None:
        self.publish("1.2.3")
        prefix = self.folder / "some where"
        said = self.install("--prefix", str(prefix), path=f"{prefix}/bin:{os.environ['PATH']}")

        self.assertEqual(self.version(prefix), "sf-mcp 1.2.3")
        self.assertIn(f"--uninstall --prefix '{prefix}'", said)
        self.assertNotIn("export PATH", said)
        self.assertEqual(self.files(), [])

    def test_a_folder_on_this_machine_is_a_release_too(self) -> None:
        self.publish("1.2.3")
        self.install("--base-url", f"file://{self.release}")
        self.assertEqual(self.version(), "sf-mcp 1.2.3")

    def test_the_version_asked_for_is_the_one_that_comes(self) -> None:
        self.publish("1.2.3")
        self.install("--version", "v1.2.3")
        self.assertIn("is 1.2.3, not 9.9.9", self.refused("--version", "9.9.9"))

    def test_a_released_copy_knows_where_its_versions_are(self) -> None:
        script = self.folder / "released.sh"
        script.write_text(INSTALLER.read_text().replace("\nreleases=\n", f"\nreleases={self.url}\n"))
        self.publish("1.2.3")
        for place in ("latest/download", "download/v1.2.3"):
            shutil.copytree(self.release, self.folder / "copy" / place)
        shutil.move(self.folder / "copy/latest", self.release)
        shutil.move(self.folder / "copy/download", self.release)

        self.install(script=script, SF_MCP_BASE_URL="")
        self.assertIn("nothing was done", self.install("--version=1.2.3", script=script, SF_MCP_BASE_URL=""))
        self.assertIn("could not be downloaded", self.refused("--version=2.0.0", script=script, SF_MCP_BASE_URL=""))

    def test_without_curl_it_uses_wget(self) -> None:
        if not shutil.which("wget"):
            self.skipTest("wget is not here")
        self.publish("1.2.3")
        programs = self.folder / "programs"
        programs.mkdir()
        for folder in os.environ["PATH"].split(":"):
            for program in Path(folder).iterdir() if Path(folder).is_dir() else ():
                if program.name != "curl" and not (programs / program.name).exists():
                    (programs / program.name).symlink_to(program)
        self.install(path=str(programs))
        self.assertEqual(self.version(), "sf-mcp 1.2.3")
        self.withdraw()
        self.assertIn("404", self.refused(path=str(programs)))

    def test_where_the_next_login_finds_it_nothing_is_to_be_added(self) -> None:
        self.publish("1.2.3")
        (self.home / ".profile").write_text('if [ -d "$HOME/.local/bin" ]; then PATH="$HOME/.local/bin:$PATH"; fi\n')
        self.assertIn("when you have logged in again", self.install())
        self.assertIn("add it to ~/.profile", self.install(f"--prefix={self.home}/elsewhere"))

    def test_a_build_that_does_not_run_here_makes_room_for_the_next_one(self) -> None:
        if not PLATFORM.startswith("linux"):
            self.skipTest("only Linux has two builds")
        self.publish("1.2.3", program="#!/bin/sh\nexit 127\n")
        self.assertIn("no build of the release runs on this machine", self.refused())
        self.publish("1.2.3", platform=f"{PLATFORM}-musl")
        said = self.install()
        self.assertIn("does not run on this machine", said)
        self.assertEqual(self.version(), "sf-mcp 1.2.3")


class FromSource(ReleaseTest):
    """Really built, but in a hurry: what the compiler makes of it is not what is tested here."""

    def setUp(self) -> None:
        super().setUp()
        # Without a checkout around it.
        self.alone = self.folder / "install.sh"
        shutil.copy(INSTALLER, self.alone)

    def built(self) -> str:
        real_home = Path(os.environ["HOME"])
        quick = {"LTO": "off", "OPT_LEVEL": "0", "CODEGEN_UNITS": "16", "STRIP": "none"}
        ran = self.run_installer(
            "--from-source",
            script=self.alone,
            timeout=2400,
            CARGO_HOME=os.environ.get("CARGO_HOME", str(real_home / ".cargo")),
            RUSTUP_HOME=os.environ.get("RUSTUP_HOME", str(real_home / ".rustup")),
            CARGO_TARGET_DIR=str(ROOT / "target/from-source"),
            **{f"CARGO_PROFILE_RELEASE_{name}": value for name, value in quick.items()},
        )
        self.assertEqual(ran.returncode, 0, ran.stderr)
        self.assert_nothing_is_left()
        return ran.stdout

    def test_a_release_s_source_is_built_and_installed_like_a_build_of_it(self) -> None:
        version = re.search(r'^version = "(.*)"$', (ROOT / "Cargo.toml").read_text(), re.MULTILINE)[1]
        archive = self.release / f"sf-mcp-{version}-source.tar.gz"
        subprocess.run(["git", "archive", "--format=tar.gz", "--output", archive, "HEAD"], cwd=ROOT, check=True)
        self.write_list()
        said = self.built()

        self.assertEqual(self.version(), f"sf-mcp {version}")
        self.assertIn(f"sf-mcp {version} is in {self.home}/.local/bin/sf-mcp.", said)
        completions = (self.home / ".local/share/bash-completion/completions/sf-mcp").read_text()
        self.assertIn("sf-mcp", completions)
        demo = [self.home / ".local/bin/sf-mcp", "--demo", "call", "search_jobs"]
        ran = subprocess.run(demo, check=True, capture_output=True, text=True, env={"HOME": str(self.home)})
        self.assertRegex(ran.stdout, r"\Ajobs \(\d+\)\n")

        self.install("--uninstall")
        self.assertEqual(self.files(), [])

    def test_another_version_than_the_one_asked_for_is_not_built(self) -> None:
        (self.release / "sf-mcp-1.2.3-source.tar.gz").write_bytes(b"")
        self.write_list()
        said = self.refused("--from-source", "--version", "1.2.4", script=self.alone)
        self.assertIn("is 1.2.3, not 1.2.4", said)
        said = self.refused("--from-source", "--version", "1.2.3")
        self.assertIn("this checkout is built as it is", said)

    def test_a_release_without_source(self) -> None:
        self.publish("1.2.3")
        self.assertIn("has no source", self.refused("--from-source", script=self.alone))


class Refusing(ReleaseTest):
    """Nothing is changed, nothing is left, and the message says why."""

    def setUp(self) -> None:
        super().setUp()
        self.publish("1.2.3")
        self.install()
        self.withdraw()
        self.archive = self.publish("1.3.0")

    def tearDown(self) -> None:
        self.assertEqual(self.version(), "sf-mcp 1.2.3")

    def test_an_archive_that_was_replaced(self) -> None:
        listed = (self.release / "SHA256SUMS").read_text()
        self.archive.write_bytes(self.archive.read_bytes() + b"!")
        self.assertIn(f"should be {listed[:64]}", self.refused())

    def test_a_download_that_breaks_off(self) -> None:
        self.handler.cut.add(self.archive.name)
        self.assertIn("could not be downloaded", self.refused())

    def test_half_an_archive_that_passes_for_a_whole_one(self) -> None:
        data = self.archive.read_bytes()
        self.archive.write_bytes(data[: len(data) // 2])
        self.assertIn("is not what the release says", self.refused())

    def test_an_archive_that_is_none(self) -> None:
        self.archive.write_bytes(b"no archive")
        self.write_list()
        self.assertIn("cannot be unpacked", self.refused())

    def test_a_list_that_is_missing(self) -> None:
        (self.release / "SHA256SUMS").unlink()
        self.assertIn("the list of what is in the release could not be downloaded", self.refused())

    def test_a_list_without_this_machine(self) -> None:
        (self.release / "SHA256SUMS").write_text(f"{'0' * 64}  sf-mcp-1.3.0-plan9-x64.tar.gz\n")
        self.assertIn("has no build for this machine", self.refused())

    def test_a_list_that_names_a_file_elsewhere(self) -> None:
        (self.release / "SHA256SUMS").write_text(f"{'0' * 64}  sf-mcp-../../etc/passwd-{PLATFORM}.tar.gz\n")
        self.assertIn("has no build for this machine", self.refused())

    def test_an_archive_that_is_gone(self) -> None:
        self.archive.unlink()
        self.assertIn("404", self.refused())

    def test_plain_http_from_elsewhere_and_addresses_that_only_look_like_this_machine(self) -> None:
        for url in ("http://example.com/r", "http://127.0.0.1.example.com/r", "http://localhost@example.com/r"):
            self.refused("--base-url", url)
        self.assertIn("is no address", self.refused("--base-url", "ftp://127.0.0.1/r"))

    def test_a_copy_that_does_not_know_where_releases_are(self) -> None:
        self.assertIn("give --base-url URL", self.refused(SF_MCP_BASE_URL=""))

    def test_an_unknown_system_or_processor(self) -> None:
        programs = self.folder / "programs"
        programs.mkdir()
        uname = programs / "uname"
        path = f"{programs}:{os.environ['PATH']}"
        for system, machine, said in (("Plan9", "x86_64", "this system (Plan9)"), ("Linux", "sparc", "this processor (sparc)")):
            uname.write_text(f'#!/bin/sh\n[ "$1" = -m ] && echo {machine} || echo {system}\n')
            uname.chmod(0o755)
            self.assertIn(f"there is no build for {said}", self.refused(path=path))

    def test_a_folder_that_cannot_be_written(self) -> None:
        file = self.folder / "file"
        file.write_text("")
        self.assertIn("nothing can be written in", self.refused("--prefix", str(file / "below")))
        self.assertIn("Choose another folder with --prefix", self.refused("--prefix", "/proc/sf-mcp"))

    def test_a_read_only_folder(self) -> None:
        if os.getuid() == 0:
            self.skipTest("root may write everywhere")
        folder = self.folder / "read-only"
        folder.mkdir(0o555)
        self.assertIn("nothing can be written in", self.refused("--prefix", str(folder)))

    def test_a_disk_that_is_full(self) -> None:
        # A limit on the size of files stands for it: the first large one cannot be written whole.
        large = "#!/bin/sh\necho 'sf-mcp 1.3.0'\nexit\n" + os.urandom(64 * 1024).hex()
        self.publish("1.3.0", program=large)
        sums = (self.release / "SHA256SUMS").stat().st_size
        limited = ("sh", "-c", f'trap "" XFSZ; ulimit -f {max(sums // 512, 8)}; exec sh "$0" "$@"')
        self.assertIn("Nothing was changed", self.refused(shell=limited))

    def test_a_disk_that_fills_up_while_it_is_copied(self) -> None:
        small = self.small_disk()
        self.publish("1.3.0", program="#!/bin/sh\necho 'sf-mcp 1.3.0'\nexit\n" + os.urandom(200 * 1024).hex())
        self.assertIn(f"nothing more can be written in {small}", self.refused("--prefix", str(small)))
        self.assertEqual([path for path in small.rglob("*") if path.is_file()], [])

    def small_disk(self) -> Path:
        folder = self.folder / "small"
        folder.mkdir()
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(folder)], capture_output=True, check=False
        )
        if mounted.returncode != 0:
            self.skipTest("this user may not mount a small disk")
        self.addCleanup(subprocess.run, ["umount", str(folder)], check=True)
        return folder

    def test_sudo(self) -> None:
        programs = self.folder / "programs"
        programs.mkdir()
        (programs / "id").write_text("#!/bin/sh\necho 0\n")
        (programs / "id").chmod(0o755)
        said = self.refused(path=f"{programs}:{os.environ['PATH']}", SUDO_USER="carol")
        self.assertIn("run it as carol, without sudo", said)

    def test_options_that_do_not_exist(self) -> None:
        for arguments in (["--prefx", "x"], ["--version"], ["--version", "1; rm"], ["--prefix", ""]):
            with self.subTest(arguments):
                self.refused(*arguments)

    def test_half_of_the_script_does_nothing(self) -> None:
        text = INSTALLER.read_text()
        half = self.folder / "half.sh"
        for share in (0.3, 0.6, 0.9, 0.999):
            half.write_text(text[: int(len(text) * share)])
            self.run_installer(script=half)
            self.assert_nothing_is_left()
            self.assertEqual(self.version(), "sf-mcp 1.2.3")


class Uninstalling(ReleaseTest):
    def test_it_takes_out_what_it_put_there_and_nothing_else(self) -> None:
        self.publish("1.2.3")
        self.install()
        mine = self.home / ".local/bin/mine"
        mine.write_text("mine")
        said = self.install("--uninstall")

        self.assertIn(f"Removed {self.home}/.local/bin/sf-mcp", said)
        self.assertIn("sign-in and settings were left alone", said)
        self.assertEqual(self.files(), [".local/bin/mine"])
        self.assertFalse((self.home / ".local/share").exists())
        self.assertIn("has installed nothing", self.install("--uninstall"))

    def test_a_program_that_it_did_not_install_stays(self) -> None:
        program = self.home / ".local/bin/sf-mcp"
        program.parent.mkdir(parents=True)
        program.write_text("built by hand")
        self.assertIn("has installed nothing", self.install("--uninstall"))
        self.assertTrue(program.exists())

    def test_a_receipt_that_names_something_else_is_not_followed(self) -> None:
        self.publish("1.2.3")
        self.install()
        victim = self.home / ".local/precious"
        victim.write_text("precious")
        with (self.home / ".local/share/sf-mcp/installed").open("a") as receipt:
            receipt.write(f"{'0' * 64} share/../precious\n")
        self.assertIn("does not install", self.refused("--uninstall"))
        self.assertTrue(victim.exists())


if __name__ == "__main__":
    unittest.main()
