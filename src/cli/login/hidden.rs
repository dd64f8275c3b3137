//! A line typed at the terminal without being shown.

use std::io;
#[cfg(unix)]
use std::io::{BufRead, Write};

#[cfg(unix)]
use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr,
};

/// What Ctrl+C types where it is no signal.
#[cfg(unix)]
const CTRL_C: u8 = 3;

/// The terminal as it was; becomes so again when dropped.
#[cfg(unix)]
struct Silent(Termios);

#[cfg(unix)]
impl Silent {
    /// Shows nothing that is typed. Ctrl+C ends the line instead of the program, which would leave the terminal silent.
    fn begin() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut silent = before.clone();
        silent
            .local_modes
            .remove(LocalModes::ECHO | LocalModes::ISIG);
        silent.special_codes[SpecialCodeIndex::VEOL] = CTRL_C;
        tcsetattr(io::stdin(), OptionalActions::Drain, &silent)?;
        Ok(Self(before))
    }
}

#[cfg(unix)]
impl Drop for Silent {
    fn drop(&mut self) {
        // A terminal that is gone needs no mending.
        let _ = tcsetattr(io::stdin(), OptionalActions::Drain, &self.0);
    }
}

/// The line without its end; `None` when the input ends or Ctrl+C is pressed.
#[cfg(unix)]
pub(super) fn line(prompt: &str) -> io::Result<Option<String>> {
    let silent = Silent::begin()?;
    eprint!("{prompt}");
    io::stderr().flush()?;
    let typed = read(&mut io::stdin().lock());
    drop(silent);
    if matches!(typed, Ok(Some(_))) {
        eprintln!();
    }
    typed
}

/// Elsewhere Ctrl+C leaves the terminal as it was.
#[cfg(not(unix))]
pub(super) fn line(prompt: &str) -> io::Result<Option<String>> {
    let typed = dialoguer::Password::new()
        .with_prompt(prompt.trim_end_matches(": "))
        .allow_empty_password(true)
        .interact();
    typed.map(Some).map_err(io::Error::other)
}

#[cfg(unix)]
fn read(input: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut typed = Vec::new();
    loop {
        let new = match input.fill_buf() {
            Ok(new) => new,
            Err(problem) if problem.kind() == io::ErrorKind::Interrupted => continue,
            Err(problem) => return Err(problem),
        };
        if new.contains(&CTRL_C) || (new.is_empty() && typed.is_empty()) {
            return Ok(None);
        }
        let end = new.iter().position(|byte| *byte == b'\n');
        let length = end.unwrap_or(new.len());
        typed.extend_from_slice(&new[..length]);
        let is_over = end.is_some() || new.is_empty();
        input.consume(length + usize::from(end.is_some()));
        if is_over {
            break;
        }
    }
    String::from_utf8(typed)
        .map(Some)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "what was typed is no text"))
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_line_ends_with_enter_and_no_line_with_ctrl_c() {
        let typed = |mut bytes: &[u8]| read(&mut bytes).unwrap();
        assert_eq!(typed(b"secret\nmore\n").as_deref(), Some("secret"));
        assert_eq!(typed(b"secret").as_deref(), Some("secret"));
        assert_eq!(typed(b"\n").as_deref(), Some(""));
        assert_eq!(typed(b""), None);
        assert_eq!(typed(b"sec\x03"), None);
    }
}
