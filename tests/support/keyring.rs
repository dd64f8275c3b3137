//! A private session bus with a real GNOME keyring on it.

use std::{
    io::{BufRead, BufReader, Write},
    os::unix::fs::PermissionsExt,
    process::{Child, Command, Stdio},
    time::Instant,
};

use tempfile::TempDir;

use crate::support::{HANG_GUARD, is_installed};

/// Ends with its daemons when dropped.
pub(crate) struct Session {
    folder: TempDir,
    address: String,
    bus: Child,
    keyring: Option<Child>,
}

impl Session {
    /// `None`, with the reason printed, where the programs are missing; on CI they must not be.
    pub(crate) fn start() -> Option<Self> {
        let mut session = Self::without_keyring()?;
        session.unlock();
        Some(session)
    }

    /// A bus on which nobody keeps secrets.
    pub(crate) fn without_keyring() -> Option<Self> {
        if !is_installed(&["gnome-keyring-daemon", "dbus-daemon", "dbus-send"]) {
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let runtime = folder.path().join("run");
        std::fs::create_dir(&runtime).unwrap();
        std::fs::set_permissions(&runtime, PermissionsExt::from_mode(0o700)).unwrap();
        let settings = folder.path().join("bus.conf");
        // The system's own settings would start services of the desktop.
        let text = format!(
            "<busconfig><type>session</type><listen>unix:path={}</listen><policy context=\"default\">\
             <allow send_destination=\"*\" eavesdrop=\"true\"/><allow eavesdrop=\"true\"/><allow own=\"*\"/></policy></busconfig>",
            runtime.join("bus").display()
        );
        std::fs::write(&settings, text).unwrap();
        let mut bus = Command::new("dbus-daemon")
            .arg(format!("--config-file={}", settings.display()))
            .args(["--nofork", "--print-address"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut address = String::new();
        BufReader::new(bus.stdout.take().unwrap())
            .read_line(&mut address)
            .unwrap();
        Some(Self {
            folder,
            address: address.trim().to_owned(),
            bus,
            keyring: None,
        })
    }

    /// What a program of this session finds in its environment.
    pub(crate) fn variables(&self) -> [(&'static str, String); 3] {
        let folder = |name: &str| self.folder.path().join(name).display().to_string();
        [
            ("DBUS_SESSION_BUS_ADDRESS", self.address.clone()),
            ("XDG_RUNTIME_DIR", folder("run")),
            ("XDG_DATA_HOME", folder("data")),
        ]
    }

    /// Starts the keyring anew, opened with its empty password.
    pub(crate) fn unlock(&mut self) {
        self.start_keyring(&["--unlock"]);
    }

    /// Starts the keyring anew, locked, with nobody there who could open it.
    pub(crate) fn lock(&mut self) {
        self.start_keyring(&[]);
    }

    /// Starts the keyring anew, with nothing in it.
    pub(crate) fn empty(&mut self) {
        self.end_keyring();
        std::fs::remove_dir_all(self.folder.path().join("data")).unwrap();
        self.unlock();
    }

    /// The keyring takes requests and answers none.
    pub(crate) fn freeze(&self) {
        self.signal("-STOP");
    }

    pub(crate) fn thaw(&self) {
        self.signal("-CONT");
    }

    /// How many secrets of this program the keyring holds.
    pub(crate) fn secrets(&self) -> usize {
        let reply = self.ask(&[
            "--dest=org.freedesktop.secrets",
            "/org/freedesktop/secrets",
            "org.freedesktop.Secret.Service.SearchItems",
            "dict:string:string:service,sf-mcp",
        ]);
        reply.matches("/org/freedesktop/secrets/collection").count()
    }

    fn start_keyring(&mut self, flags: &[&str]) {
        self.end_keyring();
        let mut child = Command::new("gnome-keyring-daemon")
            .args(["--foreground", "--components=secrets"])
            .args(flags)
            .envs(self.variables())
            .env("HOME", self.folder.path())
            .env_remove("DISPLAY")
            .env_remove("WAYLAND_DISPLAY")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let _ = child.stdin.take().unwrap().write_all(b"\n");
        self.keyring = Some(child);
        let started = Instant::now();
        while !self.has_owner() {
            assert!(started.elapsed() < HANG_GUARD, "the keyring does not start");
        }
    }

    fn has_owner(&self) -> bool {
        let reply = self.ask(&[
            "--dest=org.freedesktop.DBus",
            "/org/freedesktop/DBus",
            "org.freedesktop.DBus.NameHasOwner",
            "string:org.freedesktop.secrets",
        ]);
        reply.contains("boolean true")
    }

    fn ask(&self, message: &[&str]) -> String {
        let output = Command::new("dbus-send")
            .args(["--session", "--print-reply"])
            .args(message)
            .envs(self.variables())
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    fn signal(&self, signal: &str) {
        let id = self.keyring.as_ref().unwrap().id().to_string();
        let sent = Command::new("kill").args([signal, &id]).status().unwrap();
        assert!(sent.success());
    }

    fn end_keyring(&mut self) {
        if let Some(mut keyring) = self.keyring.take() {
            keyring.kill().unwrap();
            keyring.wait().unwrap();
            let started = Instant::now();
            while self.has_owner() {
                assert!(started.elapsed() < HANG_GUARD, "the keyring does not end");
            }
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        for child in self.keyring.iter_mut().chain([&mut self.bus]) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
