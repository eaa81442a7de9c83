//! What a program takes for a terminal, and what can be read off it.

use std::fs::{File, OpenOptions};
use std::os::fd::OwnedFd;
use std::process::Stdio;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};

use crate::tools::{During, Failed, Result};

/// What draws a line white on black, whatever the colours of the terminal are, and what ends that.
const WHITE_ON_BLACK: &str = "\u{1b}[97;40m";
const AS_BEFORE: &str = "\u{1b}[0m";

/// A terminal without a person: it shows nothing that is written to it by itself.
pub(crate) struct Terminal {
    ours: File,
    programs: File,
}

impl Terminal {
    pub(crate) fn open() -> Result<Self> {
        let doing = "making a terminal";
        let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).during(doing)?;
        grantpt(&ours).during(doing)?;
        unlockpt(&ours).during(doing)?;
        let name = ptsname(&ours, Vec::new()).during(doing)?;
        let name = name.to_str().map_err(|_| Failed("a terminal without a name".into()))?;
        let programs = OpenOptions::new().read(true).write(true).open(name).during(doing)?;
        let mut settings = tcgetattr(&programs).during(doing)?;
        settings.make_raw();
        tcsetattr(&programs, OptionalActions::Now, &settings).during(doing)?;
        Ok(Self { ours: ours.into(), programs })
    }

    /// For one of a program's streams.
    pub(crate) fn stdio(&self) -> Result<Stdio> {
        Ok(OwnedFd::from(self.programs.try_clone().during("using a terminal")?).into())
    }

    /// What is written to it is read by the program, and the other way round. Reading fails once nobody has it any more.
    pub(crate) fn ours(self) -> Result<(File, File)> {
        Ok((self.ours.try_clone().during("using a terminal")?, self.ours))
    }
}

/// What a camera sees of the QR code in these lines; `None` if there is none.
pub(crate) fn seen_by_a_camera(lines: &[String]) -> Option<String> {
    let drawn = lines
        .iter()
        .filter_map(|line| line.strip_prefix(WHITE_ON_BLACK)?.strip_suffix(AS_BEFORE))
        .collect::<Vec<_>>();
    let rows: Vec<Vec<bool>> = drawn
        .iter()
        .flat_map(|line| {
            let dark = |lights: &'static str| line.chars().map(|c| !lights.contains(c)).collect();
            [dark("█▀"), dark("█▄")]
        })
        .collect();
    // The border is light, so the first dark module is the code's corner; the code is as high as it is wide.
    let top = rows.iter().position(|row| row.contains(&true))?;
    let left = rows[top].iter().position(|dark| *dark)?;
    let size = rows[top].len().checked_sub(2 * left)?;
    let at = |x: usize, y: usize| rows.get(y + top).and_then(|row| row.get(x + left)) == Some(&true);
    Some(rqrr::Grid::new(rqrr::SimpleGrid::from_func(size, at)).decode().ok()?.1)
}

/// How far the last bar in this text has come, as it is drawn and as its numbers say.
pub(crate) fn last_bar(text: &str) -> Option<(usize, u64, u64)> {
    let (bar, numbers) = text.rsplit_once("\r[")?.1.split_once(']')?;
    let (done, total) = numbers.lines().next()?.split_once(" of ")?;
    Some((bar.matches('#').count(), done.trim().parse().ok()?, total.trim().parse().ok()?))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::process::Command;

    use super::*;

    #[test]
    fn a_program_takes_it_for_one() {
        let terminal = Terminal::open().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "test -t 0 && echo in; test -t 1 && echo out; test -t 2 || echo not here"]);
        command.stdin(terminal.stdio().unwrap()).stdout(terminal.stdio().unwrap()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        drop(command);
        let (_, read) = terminal.ours().unwrap();
        let lines: Vec<String> = BufReader::new(read).lines().map_while(std::io::Result::ok).collect();
        assert_eq!(lines, ["in", "out", "not here"]);
        assert!(child.wait().unwrap().success());
    }

    #[test]
    fn a_bar_is_read_and_only_the_last_one() {
        assert_eq!(last_bar("\r[#   ] 1 of 4\r[####] 4 of 4\n"), Some((4, 4, 4)));
        assert_eq!(last_bar("\r[#   ] 1 of 4\r[## "), None);
        assert_eq!(last_bar("no bar"), None);
    }

    #[test]
    fn where_nothing_is_drawn_a_camera_sees_nothing() {
        let lines = ["token kith1abc".to_owned(), format!("{WHITE_ON_BLACK}██{AS_BEFORE}")];
        assert_eq!(seen_by_a_camera(&lines), None);
    }
}
