//! Where a client keeps its file on this machine.

use std::path::{Path, PathBuf};

use directories::BaseDirs;

/// The folders of the person who runs this.
#[derive(Debug)]
pub struct Folders {
    pub home: PathBuf,
    /// `~/.config`, `~/Library/Application Support` or `%APPDATA%`.
    pub config: PathBuf,
    /// Where Windows keeps the folders of packaged (MSIX) programs.
    pub packages: Option<PathBuf>,
}

impl Folders {
    /// `None` when the platform names no home folder.
    pub fn of_this_user() -> Option<Self> {
        let base = BaseDirs::new()?;
        Some(Self {
            home: base.home_dir().to_owned(),
            config: base.config_dir().to_owned(),
            packages: cfg!(windows).then(|| base.data_local_dir().join("Packages")),
        })
    }
}

/// A file that a client reads.
#[derive(Debug, PartialEq, Eq)]
pub struct Location {
    pub file: PathBuf,
    /// Whether the client has left any trace of itself there.
    pub installed: bool,
}

#[derive(Debug)]
pub(super) enum Root {
    Home,
    Config,
}

/// Where to look for a client's file; paths are below `root`.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) root: Root,
    pub(super) file: &'static str,
    /// The client's own folder: it exists once the client has run.
    pub(super) folder: &'static str,
    /// The variable by which a person moves that folder.
    pub(super) moved_by: Option<&'static str>,
    /// How the client's package begins on Windows. A packaged client does not read the usual file.
    pub(super) package: Option<&'static str>,
}

impl Place {
    /// At least one; on Windows a client may be installed in both ways.
    pub(super) fn locations(&self, folders: &Folders) -> Vec<Location> {
        if let Some(folder) = self.moved_by.and_then(std::env::var_os)
            && !folder.is_empty()
        {
            return vec![self.moved_to(Path::new(&folder))];
        }
        let mut locations = self.packaged(folders);
        let usual = self.usual(folders);
        if usual.installed || locations.is_empty() {
            locations.push(usual);
        }
        locations
    }

    fn moved_to(&self, folder: &Path) -> Location {
        let name = self.file.rsplit('/').next().unwrap_or(self.file);
        Location {
            file: folder.join(name),
            installed: folder.is_dir(),
        }
    }

    fn usual(&self, folders: &Folders) -> Location {
        let root = match self.root {
            Root::Home => &folders.home,
            Root::Config => &folders.config,
        };
        let file = below(root, self.file);
        Location {
            installed: below(root, self.folder).is_dir() || file.is_file(),
            file,
        }
    }

    fn packaged(&self, folders: &Folders) -> Vec<Location> {
        let (Some(prefix), Some(packages)) = (self.package, &folders.packages) else {
            return Vec::new();
        };
        let entries = std::fs::read_dir(packages).into_iter().flatten().flatten();
        let mut found: Vec<Location> = entries
            .filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
            .map(|entry| Location {
                file: below(&entry.path().join("LocalCache").join("Roaming"), self.file),
                installed: true,
            })
            .collect();
        found.sort_by(|left, right| left.file.cmp(&right.file));
        found
    }
}

/// Joins part by part, so that Windows shows one kind of separator.
fn below(root: &Path, path: &str) -> PathBuf {
    path.split('/')
        .fold(root.to_owned(), |at, part| at.join(part))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clients::Client;

    fn desktop_files(folders: &Folders) -> Vec<PathBuf> {
        let client = Client::find("claude-desktop").unwrap();
        let locations = client.locations(folders);
        locations.into_iter().map(|at| at.file).collect()
    }

    #[test]
    fn on_windows_the_package_comes_first_and_the_old_folder_only_if_it_is_there() {
        let machine = tempfile::tempdir().unwrap();
        let folders = Folders {
            home: machine.path().to_owned(),
            config: machine.path().join("Roaming"),
            packages: Some(machine.path().join("Packages")),
        };
        let usual = machine
            .path()
            .join("Roaming/Claude/claude_desktop_config.json");
        assert_eq!(desktop_files(&folders), [usual.as_path()]);

        std::fs::create_dir_all(machine.path().join("Packages/Claude_pzs8sxrjxfjjc")).unwrap();
        std::fs::create_dir_all(machine.path().join("Packages/Other_x")).unwrap();
        let packaged = machine.path().join(
            "Packages/Claude_pzs8sxrjxfjjc/LocalCache/Roaming/Claude/claude_desktop_config.json",
        );
        assert_eq!(desktop_files(&folders), [packaged.as_path()]);

        std::fs::create_dir_all(machine.path().join("Roaming/Claude")).unwrap();
        assert_eq!(desktop_files(&folders), [packaged, usual]);
    }
}
