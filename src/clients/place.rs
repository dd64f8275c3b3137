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
    /// Where Linux keeps the folders of Flatpak programs.
    pub flatpaks: Option<PathBuf>,
    /// `~/.local/state`, where there is such a folder.
    pub state: Option<PathBuf>,
}

impl Folders {
    /// `None` when the platform names no home folder.
    pub fn of_this_user() -> Option<Self> {
        let base = BaseDirs::new()?;
        Some(Self {
            home: base.home_dir().to_owned(),
            config: base.config_dir().to_owned(),
            packages: cfg!(windows).then(|| base.data_local_dir().join("Packages")),
            flatpaks: cfg!(target_os = "linux").then(|| base.home_dir().join(".var").join("app")),
            state: base.state_dir().map(Path::to_owned),
        })
    }
}

/// A file that a client reads.
#[derive(Debug, PartialEq, Eq)]
pub struct Location {
    pub file: PathBuf,
    /// Whether the client has left any trace of itself there.
    pub installed: bool,
    /// Whether what the client starts sees the folders of a Flatpak instead of this user's.
    pub flatpak: bool,
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
    /// The client's id as a Flatpak. A Flatpak does not read the usual file. (Snaps of these clients do.)
    pub(super) flatpak: Option<&'static str>,
}

impl Place {
    /// What most clients have in common.
    pub(super) const USUAL: Self = Self {
        root: Root::Config,
        file: "",
        folder: "",
        moved_by: None,
        package: None,
        flatpak: None,
    };

    /// At least one; a client may be installed in more than one way.
    pub(super) fn locations(&self, folders: &Folders) -> Vec<Location> {
        if let Some(folder) = self.moved_by.and_then(std::env::var_os)
            && !folder.is_empty()
        {
            return vec![self.moved_to(Path::new(&folder))];
        }
        let mut locations = self.packaged(folders);
        locations.extend(self.in_flatpak(folders));
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
            flatpak: false,
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
            flatpak: false,
            file,
        }
    }

    /// Its folder is there once the client has run.
    fn in_flatpak(&self, folders: &Folders) -> Option<Location> {
        let folder = folders.flatpaks.as_ref()?.join(self.flatpak?);
        folder.is_dir().then(|| Location {
            file: below(&folder.join("config"), self.file),
            installed: true,
            flatpak: true,
        })
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
                flatpak: false,
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

    fn files(client: &str, folders: &Folders) -> Vec<PathBuf> {
        let client = Client::find(client).unwrap();
        let locations = client.locations(folders);
        locations.into_iter().map(|at| at.file).collect()
    }

    fn folders(machine: &Path) -> Folders {
        Folders {
            home: machine.to_owned(),
            config: machine.join("Roaming"),
            packages: Some(machine.join("Packages")),
            flatpaks: Some(machine.join(".var/app")),
            state: None,
        }
    }

    #[test]
    fn on_windows_the_package_comes_first_and_the_old_folder_only_if_it_is_there() {
        let machine = tempfile::tempdir().unwrap();
        let folders = folders(machine.path());
        let usual = machine
            .path()
            .join("Roaming/Claude/claude_desktop_config.json");
        assert_eq!(files("claude-desktop", &folders), [usual.as_path()]);

        std::fs::create_dir_all(machine.path().join("Packages/Claude_pzs8sxrjxfjjc")).unwrap();
        std::fs::create_dir_all(machine.path().join("Packages/Other_x")).unwrap();
        let packaged = machine.path().join(
            "Packages/Claude_pzs8sxrjxfjjc/LocalCache/Roaming/Claude/claude_desktop_config.json",
        );
        assert_eq!(files("claude-desktop", &folders), [packaged.as_path()]);

        std::fs::create_dir_all(machine.path().join("Roaming/Claude")).unwrap();
        assert_eq!(files("claude-desktop", &folders), [packaged, usual]);
    }

    #[test]
    fn a_flatpak_comes_first_and_the_usual_folder_only_if_it_is_there() {
        for (client, id, name) in [
            ("vscode", "com.visualstudio.code", "Code"),
            ("vscodium", "com.vscodium.codium", "VSCodium"),
        ] {
            let machine = tempfile::tempdir().unwrap();
            let folders = folders(machine.path());
            let usual = machine.path().join(format!("Roaming/{name}/User/mcp.json"));
            assert_eq!(files(client, &folders), [usual.as_path()]);

            std::fs::create_dir_all(machine.path().join(".var/app").join(id)).unwrap();
            let flatpak = machine
                .path()
                .join(format!(".var/app/{id}/config/{name}/User/mcp.json"));
            assert_eq!(files(client, &folders), [flatpak.as_path()]);

            std::fs::create_dir_all(machine.path().join(format!("Roaming/{name}"))).unwrap();
            assert_eq!(files(client, &folders), [flatpak, usual]);
        }
    }
}
