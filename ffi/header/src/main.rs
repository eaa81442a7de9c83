//! Writes the C header to standard output: `kith-header ffi/capi`.

use std::io::Write;
use std::process::ExitCode;

const PREAMBLE: &str = include_str!("preamble.h");

/// What callbacks of the host return, in the source: a plain number, of which the header makes a `kith_status`.
const OF_HOST: &str = "kith_status_of_host";

fn main() -> ExitCode {
    let Some(folder) = std::env::args_os().nth(1) else {
        eprintln!("usage: kith-header FOLDER-OF-KITH-CAPI");
        return ExitCode::FAILURE;
    };
    match generate(std::path::Path::new(&folder)) {
        Ok(header) => match std::io::stdout().write_all(&header) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&error.to_string()),
        },
        Err(error) => fail(&error),
    }
}

fn fail(message: &str) -> ExitCode {
    eprintln!("kith-header: {message}");
    ExitCode::FAILURE
}

fn generate(folder: &std::path::Path) -> Result<Vec<u8>, String> {
    let mut config = cbindgen::Config {
        language: cbindgen::Language::C,
        cpp_compat: true,
        include_guard: Some("KITH_H".into()),
        no_includes: true,
        sys_includes: ["stdbool.h", "stddef.h", "stdint.h"].map(String::from).to_vec(),
        header: Some(PREAMBLE.trim_end().into()),
        after_includes: Some(version_macros()),
        documentation_style: cbindgen::DocumentationStyle::Doxy,
        style: cbindgen::Style::Type,
        usize_is_size_t: true,
        line_length: 110,
        tab_width: 4,
        ..cbindgen::Config::default()
    };
    config.function.args = cbindgen::Layout::Auto;
    config.export.exclude.push(OF_HOST.into());
    let bindings = cbindgen::Builder::new()
        .with_crate(folder)
        .with_config(config)
        .generate()
        .map_err(|error| error.to_string())?;
    let mut header = Vec::new();
    bindings.write(&mut header);
    let header = String::from_utf8(header).map_err(|error| error.to_string())?;
    // What Rust calls safety is for C what each call needs of its caller.
    Ok(header.replace(" * # Safety\n", " * Needs:\n").replace(OF_HOST, "kith_status").into_bytes())
}

/// The version of the header, from the workspace's Cargo.toml.
fn version_macros() -> String {
    format!(
        "\n/** The version of this header; kith_version() is the library's. */\n\
         #define KITH_VERSION \"{}\"\n\
         /** Its first number. */\n\
         #define KITH_VERSION_MAJOR {}\n\
         /** Its second number. */\n\
         #define KITH_VERSION_MINOR {}\n\
         /** Its third number. */\n\
         #define KITH_VERSION_PATCH {}",
        env!("CARGO_PKG_VERSION"),
        env!("CARGO_PKG_VERSION_MAJOR"),
        env!("CARGO_PKG_VERSION_MINOR"),
        env!("CARGO_PKG_VERSION_PATCH"),
    )
}
