//! Writes the C header to standard output: `kith-header ffi/capi`.

use std::io::Write;
use std::process::ExitCode;

const PREAMBLE: &str = include_str!("preamble.h");

/// What callbacks of the host return, in the source: a plain number, of which the header makes a `kith_status`.
const OF_HOST: &str = "kith_status_of_host";

/// What only the libraries of the tests have.
const PROVOKED: [&str; 2] = ["kith_provoke_panic", "kith_provoke_panic_later"];

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
    config.export.exclude.extend(PROVOKED.map(String::from));
    let bindings = cbindgen::Builder::new()
        .with_crate(folder)
        .with_config(config)
        .generate()
        .map_err(|error| error.to_string())?;
    let mut header = Vec::new();
    bindings.write(&mut header);
    let header = String::from_utf8(header).map_err(|error| error.to_string())?;
    // What Rust calls safety is for C what each call needs of its caller.
    let header = header.replace(" * # Safety\n", " * Needs:\n").replace(OF_HOST, "kith_status");
    Ok(with_sizes(&header).into_bytes())
}

/// Puts a macro behind each function that is told the size of a struct, by which programs pass the size that it has in their header. Where
/// there is a function of the macro's own name, it stands before, for programs that were built without the macro.
fn with_sizes(header: &str) -> String {
    let mut whole = String::new();
    let mut sized = None;
    for line in header.lines() {
        whole.push_str(line);
        whole.push('\n');
        if let Some((name, _)) = line.strip_prefix("void ").and_then(|rest| rest.split_once("_init_sized(")) {
            sized = Some(name);
        }
        if line.ends_with(");")
            && let Some(name) = sized.take()
        {
            whole.push_str(&format!(
                "\n/**\n * Sets a `{name}` to its defaults, as long as it is in this header. NULL: nothing happens.\n */\n\
                 #define {name}_init(place) {name}_init_sized((place), sizeof({name}))\n"
            ));
        }
    }
    whole
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_that_is_told_a_size_has_its_macro_behind_it() {
        let plain = "/** Words of kith_x_init_sized(…). */\nvoid kith_x_init(kith_x *x);\n\nvoid kith_x_init_sized(kith_x *x,\n    size_t size);\n";
        let whole = with_sizes(&format!("{plain}\nvoid kith_y(void);\n"));
        let behind = whole.strip_prefix(plain).unwrap_or_default();
        assert!(behind.starts_with("\n/**\n * Sets a `kith_x`"), "{whole}");
        let define = "#define kith_x_init(place) kith_x_init_sized((place), sizeof(kith_x))\n";
        assert!(behind.ends_with(&format!("{define}\nvoid kith_y(void);\n")), "{whole}");
        assert_eq!(with_sizes("void kith_y(void);\n"), "void kith_y(void);\n");
    }
}
