//! sf-mcp for each platform, compressed once per version of its file.

use std::{
    collections::HashMap,
    fs::File,
    io,
    path::{Path, PathBuf},
    time::SystemTime,
};

use tokio::sync::Mutex;

use crate::archive::Part;

/// Where sf-mcp runs, in Node's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Platform {
    pub os: &'static str,
    pub arch: &'static str,
}

impl Platform {
    pub const ALL: [Self; 6] = [
        Self::new("darwin", "arm64"),
        Self::new("darwin", "x64"),
        Self::new("linux", "x64"),
        Self::new("linux", "arm64"),
        Self::new("win32", "x64"),
        Self::new("win32", "arm64"),
    ];

    const fn new(os: &'static str, arch: &'static str) -> Self {
        Self { os, arch }
    }

    /// `None` for a machine that no AI client runs on.
    pub fn of_this_machine() -> Option<Self> {
        let os = match std::env::consts::OS {
            "macos" => "darwin",
            "windows" => "win32",
            other => other,
        };
        let arch = match std::env::consts::ARCH {
            "x86_64" => "x64",
            "aarch64" => "arm64",
            other => other,
        };
        Self::find(Some(os), Some(arch))
    }

    /// The platform of that name; of an operating system alone the usual one, and without a name this machine's.
    pub fn find(os: Option<&str>, arch: Option<&str>) -> Option<Self> {
        if (os, arch) == (None, None) {
            return Self::of_this_machine();
        }
        let this = |platform: &Self| {
            os.is_none_or(|os| os == platform.os) && arch.is_none_or(|arch| arch == platform.arch)
        };
        os?;
        Self::ALL.into_iter().find(this)
    }

    /// As its folder is called.
    pub fn name(self) -> String {
        format!("{}-{}", self.os, self.arch)
    }

    /// The program's name there.
    pub fn program(self) -> &'static str {
        if self.os == "win32" {
            "sf-mcp.exe"
        } else {
            "sf-mcp"
        }
    }
}

/// The files, and what is compressed of them.
#[derive(Debug)]
pub struct Binaries {
    /// This machine's.
    child: PathBuf,
    /// `<os>-<arch>/sf-mcp[.exe]`; `darwin-universal` serves both kinds of Mac.
    folder: Option<PathBuf>,
    packed: Mutex<HashMap<PathBuf, Packed>>,
}

#[derive(Debug)]
struct Packed {
    modified: SystemTime,
    size: u64,
    part: Part,
}

impl Binaries {
    pub fn new(child: PathBuf, folder: Option<PathBuf>) -> Self {
        Self {
            child,
            folder,
            packed: Mutex::default(),
        }
    }

    /// The platforms whose program is here.
    pub fn available(&self) -> Vec<Platform> {
        let here = |platform: &Platform| self.path(*platform).is_some();
        Platform::ALL.into_iter().filter(here).collect()
    }

    fn path(&self, platform: Platform) -> Option<PathBuf> {
        let folder = self.folder.as_deref();
        let within = |name: &str| Some(folder?.join(name).join(platform.program()));
        let universal = (platform.os == "darwin").then_some("darwin-universal");
        let child = Platform::of_this_machine() == Some(platform);
        [
            within(&platform.name()),
            universal.and_then(within),
            child.then(|| self.child.clone()),
        ]
        .into_iter()
        .flatten()
        .find(|path| path.is_file())
    }

    /// The program as `server/sf-mcp[.exe]` of an archive; `None` when there is none for the platform. Those who ask
    /// at once wait for the one that compresses.
    pub async fn packed(&self, platform: Platform) -> io::Result<Option<Part>> {
        let Some(path) = self.path(platform) else {
            return Ok(None);
        };
        let mut packed = self.packed.lock().await;
        let metadata = std::fs::metadata(&path)?;
        if let Some(known) = packed.get(&path)
            && known.modified == metadata.modified()?
            && known.size == metadata.len()
        {
            return Ok(Some(known.part.clone()));
        }
        let from = path.clone();
        let new = tokio::task::spawn_blocking(move || pack(&from, platform)).await??;
        let part = new.part.clone();
        packed.insert(path, new);
        Ok(Some(part))
    }
}

fn pack(path: &Path, platform: Platform) -> io::Result<Packed> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    let name = format!("server/{}", platform.program());
    Ok(Packed {
        modified: metadata.modified()?,
        size: metadata.len(),
        part: Part::pack(&name, true, file)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_platform_has_a_usual_kind_of_machine() {
        let name = |os, arch| Platform::find(os, arch).map(Platform::name);
        assert_eq!(name(Some("darwin"), None).as_deref(), Some("darwin-arm64"));
        assert_eq!(name(Some("win32"), None).as_deref(), Some("win32-x64"));
        assert_eq!(
            name(Some("linux"), Some("arm64")).as_deref(),
            Some("linux-arm64")
        );
        assert_eq!(name(Some("../etc"), None), None);
        assert_eq!(name(None, Some("x64")), None);
    }

    #[tokio::test]
    async fn a_program_is_compressed_again_when_it_changes() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("win32-x64").join("sf-mcp.exe");
        let platform = Platform::find(Some("win32"), None).unwrap();
        let binaries = Binaries::new("/nothing".into(), Some(folder.path().to_owned()));
        assert!(binaries.packed(platform).await.unwrap().is_none());

        std::fs::create_dir_all(program.parent().unwrap()).unwrap();
        std::fs::write(&program, "one").unwrap();
        let pieces = async || {
            let part = binaries.packed(platform).await.unwrap().unwrap();
            crate::archive::archive(&[part]).unwrap()
        };
        let first = pieces().await;
        assert_eq!(first[1].as_ptr(), pieces().await[1].as_ptr());
        std::fs::write(&program, "another").unwrap();
        assert_ne!(first.concat(), pieces().await.concat());
        assert_eq!(binaries.available(), [platform]);
    }
}
