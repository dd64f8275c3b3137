//! The company's time zone as its hosting service told it, kept for the processes to come.

use std::{fs, io::Write, path::Path};

use crate::paths::{create_private_folder, private_file};

/// Longer than any name in the time zone database.
const LONGEST: usize = 64;

/// What was told last, if that can be a name.
pub fn read(file: &Path) -> Option<String> {
    plausible(&fs::read_to_string(file).ok()?)
}

/// A name such as `America/Chicago`; whether there is such a zone is seen when it is used.
pub fn plausible(text: &str) -> Option<String> {
    let name = text.trim();
    let usual = |c: char| c.is_ascii_alphanumeric() || "/_+-".contains(c);
    let is_name = (1..=LONGEST).contains(&name.len()) && name.chars().all(usual);
    is_name.then(|| name.to_owned())
}

/// Keeps what was told now; without one the machine's own counts again. A profile that cannot be written goes on as
/// it is.
pub fn keep(file: &Path, told: Option<&str>) {
    if read(file).as_deref() == told {
        return;
    }
    let kept = match told {
        Some(name) => write(file, name),
        None => fs::remove_file(file),
    };
    if let Err(problem) = kept
        && problem.kind() != std::io::ErrorKind::NotFound
    {
        tracing::debug!(%problem, "the company's time zone is not kept");
    }
}

fn write(file: &Path, name: &str) -> std::io::Result<()> {
    if let Some(folder) = file.parent() {
        create_private_folder(folder)?;
    }
    // Written beside it and renamed: nobody reads half a name.
    let beside = file.with_extension(format!("{}.new", std::process::id()));
    private_file()
        .write(true)
        .truncate(true)
        .open(&beside)?
        .write_all(format!("{name}\n").as_bytes())?;
    crate::paths::replace(&beside, file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_kept_until_nothing_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("default").join("time-zone");
        keep(&file, Some("America/Chicago"));
        keep(&file, Some("Pacific/Auckland"));
        assert_eq!(read(&file).as_deref(), Some("Pacific/Auckland"));
        keep(&file, None);
        assert_eq!(read(&file), None);
        assert_eq!(fs::read_dir(file.parent().unwrap()).unwrap().count(), 0);
    }

    #[test]
    fn only_names_are_taken() {
        for text in ["", "../../etc/passwd", "a\nb", &"x".repeat(65)] {
            assert_eq!(plausible(text), None, "{text}");
        }
        assert_eq!(plausible("Etc/GMT+5\n").as_deref(), Some("Etc/GMT+5"));
    }
}
