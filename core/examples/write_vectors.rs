//! Writes the known answers anew: `cargo run -p kith-core --example write_vectors`. Formats are frozen, so this is for additions.

#[path = "../tests/vectors/generate.rs"]
#[allow(unreachable_pub)]
mod generate;

fn main() -> std::io::Result<()> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/replica.txt");
    std::fs::write(path, generate::text())
}
