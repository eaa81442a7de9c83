//! Takes the program out of the Rust guide, so that what stands there is what is built and run.

use std::path::Path;

fn main() {
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/guide/rust.md");
    println!("cargo:rerun-if-changed={}", guide.display());
    let text = std::fs::read_to_string(&guide).unwrap_or_else(|e| panic!("reading {}: {e}", guide.display()));
    let program = text
        .split_once("<!-- program: list -->\n```rust,no_run\n")
        .and_then(|(_, rest)| rest.split_once("\n```\n"))
        .map_or_else(|| panic!("{} has no program `list`", guide.display()), |(program, _)| program);
    let out = std::env::var_os("OUT_DIR").expect("cargo sets it for build scripts");
    std::fs::write(Path::new(&out).join("guide_list.rs"), program)
        .expect("the output folder can be written to");
}
