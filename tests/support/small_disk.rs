//! A home on a disk of its own, to be filled or made read-only.

use std::{
    fs::File,
    io::Write,
    process::{Command, Stdio},
};

use crate::support::Home;

const PAGE: usize = 4096;

/// A file system in memory, mounted on a home. Unmounted when dropped.
pub(crate) struct SmallDisk(Home);

impl SmallDisk {
    /// `None`, with the reason printed, where this user may not mount.
    pub(crate) fn mount() -> Option<Self> {
        let home = Home::new();
        if !mount(&["-t", "tmpfs", "-o", "size=512k,mode=700", "none"], &home) {
            eprintln!("skipped, because mounting a small disk needs root");
            return None;
        }
        Some(Self(home))
    }

    pub(crate) fn home(&self) -> &Home {
        &self.0
    }

    /// A second, read-only mount on top: the first cannot change while a program has a file open in it.
    pub(crate) fn make_read_only(&self) {
        let home = self.0.path().display().to_string();
        assert!(mount(&["--bind", &home], &self.0));
        assert!(mount(&["-o", "remount,bind,ro"], &self.0));
    }

    pub(crate) fn make_writable(&self) {
        unmount(&self.0);
    }

    /// Leaves so many pages of 4 KiB free.
    pub(crate) fn fill(&self, free_pages: u64) {
        let mut filler = File::create(self.0.path().join("filler")).unwrap();
        let mut pages = 0;
        while filler.write_all(&[0x5a; PAGE]).is_ok() {
            pages += 1;
        }
        filler.set_len((pages - free_pages) * PAGE as u64).unwrap();
    }

    pub(crate) fn make_room(&self) {
        std::fs::remove_file(self.0.path().join("filler")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        unmount(&self.0);
    }
}

fn mount(arguments: &[&str], on: &Home) -> bool {
    let status = Command::new("mount")
        .args(arguments)
        .arg(on.path())
        .stderr(Stdio::null())
        .status();
    status.is_ok_and(|status| status.success())
}

fn unmount(home: &Home) {
    let _ = Command::new("umount")
        .arg("--lazy")
        .arg(home.path())
        .status();
}
