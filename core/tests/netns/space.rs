//! Network namespaces, and what is done to their interfaces with `ip` and `tc`.

use std::fs::File;
use std::process::{Command, Stdio};

use crate::wire;

/// Names of ours, with the number of the process that made them.
const PREFIX: &str = "kith-";

fn run(program: &str, words: &[&str]) -> Result<(), String> {
    let output = Command::new(program).args(words).stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("{program} cannot be run: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("`{program} {}`: {}", words.join(" "), String::from_utf8_lossy(&output.stderr).trim()))
}

/// Namespaces with one interface each, in which node n has the address 10.77.0.(n + 1). They go with this, whatever happens.
pub(crate) struct Spaces {
    names: Vec<String>,
}

impl Drop for Spaces {
    fn drop(&mut self) {
        for name in &self.names {
            let _ = run("ip", &["netns", "del", name]);
        }
    }
}

impl Spaces {
    /// The namespaces, and the other ends of their interfaces; or why this machine does not allow it.
    pub(crate) fn new(count: usize) -> Result<(Self, Vec<File>), String> {
        remove_orphans();
        if !std::path::Path::new("/dev/net/tun").exists() {
            // Bare systems have the device and not its name.
            let _ = std::fs::create_dir_all("/dev/net");
            run("mknod", &["/dev/net/tun", "c", "10", "200"])?;
        }
        let (mut spaces, mut ends) = (Self { names: Vec::new() }, Vec::new());
        for node in 0..count {
            let name = format!("{PREFIX}{}-{node}", std::process::id());
            run("ip", &["netns", "add", &name])?;
            spaces.names.push(name.clone());
            let device = format!("kith{node}");
            // Made under a name that nobody else has meanwhile.
            let made = format!("kt{}n{node}", std::process::id());
            let end = wire::interface(&made).map_err(|error| format!("no interface can be made: {error}"))?;
            run("ip", &["link", "set", &made, "netns", &name, "name", &device])?;
            run("ip", &["-n", &name, "link", "set", "lo", "up"])?;
            run("ip", &["-n", &name, "addr", "add", &format!("{}/24", address(node)), "dev", &device])?;
            run("ip", &["-n", &name, "link", "set", &device, "up"])?;
            ends.push(end);
        }
        Ok((spaces, ends))
    }

    /// A command that runs inside.
    pub(crate) fn command(&self, node: usize, program: &std::path::Path) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.names[node]]).arg(program);
        command
    }

    /// The cable is pulled, or put in again. The address stays; the routes go with the link.
    pub(crate) fn cable(&self, node: usize, plugged: bool) {
        let state = if plugged { "up" } else { "down" };
        run("ip", &["-n", &self.names[node], "link", "set", &device(node), state])
            .expect("the interface is there");
    }

    /// What the node sends goes no faster than this, or as fast as it likes.
    pub(crate) fn narrow(&self, node: usize, kilobits: Option<u32>) {
        let name = &self.names[node];
        let device = device(node);
        match kilobits {
            Some(rate) => {
                let rate = format!("{rate}kbit");
                let words = [
                    "netns", "exec", name, "tc", "qdisc", "add", "dev", &device, "root", "tbf", "rate", &rate,
                ];
                let more = ["burst", "16kb", "latency", "400ms"];
                run("ip", &[&words[..], &more[..]].concat()).expect("tbf");
            }
            None => run("ip", &["netns", "exec", name, "tc", "qdisc", "del", "dev", &device, "root"])
                .expect("tbf"),
        }
    }
}

fn device(node: usize) -> String {
    format!("kith{node}")
}

pub(crate) fn address(node: usize) -> String {
    format!("10.77.0.{}", node + 1)
}

/// Namespaces of a run that was killed.
fn remove_orphans() {
    let Ok(output) = Command::new("ip").args(["netns", "list"]).output() else { return };
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let name = line.split(' ').next().unwrap_or_default();
        let Some(owner) = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next()) else { continue };
        if owner.parse::<u32>().is_ok() && !std::path::Path::new("/proc").join(owner).exists() {
            let _ = run("ip", &["netns", "del", name]);
        }
    }
}
