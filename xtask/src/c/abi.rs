//! The binary interface of `libkith.so`: compared with the one that is committed.
//!
//! What is compared is made from the header alone. A library with the same functions and types, and nothing in them, is compiled from
//! it; so neither Rust's types nor the compiler's version nor the profile show, and it takes a second. That `libkith.so` exports just
//! these functions is another test.

use std::path::{Path, PathBuf};

use crate::tools::{During, Failed, Result, capture, command, empty_folder, headline, root, run};

fn baseline() -> PathBuf {
    root().join("ffi/capi/abi/libkith.abi")
}

/// The functions that a header declares, each as it stands there without its semicolon.
fn prototypes(header: &str) -> Vec<String> {
    let code = header.split_once("extern \"C\" {").map_or("", |(_, code)| code);
    let mut plain = String::new();
    for (at, piece) in code.split("/*").enumerate() {
        plain.push_str(if at == 0 { piece } else { piece.split_once("*/").map_or("", |(_, rest)| rest) });
    }
    let lines: Vec<&str> = plain.lines().filter(|line| !line.trim_start().starts_with(['#', '}'])).collect();
    let pieces = lines.join("\n");
    let trimmed = pieces.split(';').map(str::trim);
    trimmed.filter(|piece| piece.contains("kith_") && piece.ends_with(')')).map(str::to_owned).collect()
}

/// The numbers that a header defines, but for those of its version.
fn constants(header: &str) -> Vec<&str> {
    let defined = header.lines().filter_map(|line| line.strip_prefix("#define ")?.split_once(' '));
    defined
        .filter(|(name, value)| value.parse::<i32>().is_ok() && !name.contains("_VERSION"))
        .map(|(name, _)| name)
        .collect()
}

/// The macros of a header that look like functions. Functions of the same names are behind some of them.
fn macros(header: &str) -> Vec<&str> {
    let defined = header.lines().filter_map(|line| line.strip_prefix("#define ")?.split_once('('));
    defined.map(|(name, _)| name).filter(|name| !name.contains(' ')).collect()
}

/// The source of a library with the interface of a header and nothing behind it. Its numbers become an enumeration, to be seen.
fn view(header: &str) -> String {
    let mut source = String::from("#include \"kith.h\"\n\n");
    for name in macros(header) {
        source.push_str(&format!("#undef {name}\n"));
    }
    source.push_str("\ntypedef enum {\n");
    for name in constants(header) {
        source.push_str(&format!("    VIEW_{name} = {name},\n"));
    }
    source.push_str("} kith_constants;\n\nvoid kith_constants_are(kith_constants numbers);\n");
    source.push_str("void kith_constants_are(kith_constants numbers) { (void)numbers; }\n");
    for prototype in prototypes(header) {
        source.push_str(&format!("\n{prototype} {{ __builtin_trap(); }}\n"));
    }
    source
}

/// The interface of a header, as libabigail writes it down.
fn interface(header: &str, folder: &Path) -> Result<PathBuf> {
    std::fs::create_dir_all(folder).during("making a folder")?;
    std::fs::write(folder.join("kith.h"), header).during("writing the header")?;
    std::fs::write(folder.join("view.c"), view(header)).during("writing the view")?;
    let number = header
        .lines()
        .find_map(|line| line.strip_prefix("#define KITH_ABI_VERSION "))
        .ok_or_else(|| Failed("the header has no KITH_ABI_VERSION".into()))?;
    run(command("gcc")
        .current_dir(folder)
        .args(["-std=c11", "-g", "-shared", "-fPIC", "-I.", "view.c", "-o", "view.so"])
        .arg(format!("-Wl,-soname,libkith.so.{number}")))?;
    let written = capture(command("abidw").current_dir(folder).args([
        "--no-corpus-path",
        "--no-comp-dir-path",
        "--no-show-locs",
        "view.so",
    ]))?;
    // The compiler's name of the file would be the machine's.
    let text = String::from_utf8_lossy(&written).replace(&*folder.to_string_lossy(), "");
    let path = folder.join("libkith.abi");
    std::fs::write(&path, text).during("writing the interface")?;
    Ok(path)
}

/// What keeps a program that was built with the old interface from running with the new one. `None`: nothing.
fn broken(old: &Path, new: &Path) -> Result<Option<String>> {
    let output = command("abidiff")
        .args(["--no-added-syms", "--suppressions"])
        .arg(root().join("ffi/capi/abi/allowed"))
        .args([old, new])
        .output()
        .during("running abidiff")?;
    match output.status.code() {
        Some(0) => Ok(None),
        // Bits 0 and 1 are errors of its own.
        Some(code) if code & 3 == 0 => Ok(Some(String::from_utf8_lossy(&output.stdout).into_owned())),
        _ => Err(Failed(format!("abidiff failed: {}", String::from_utf8_lossy(&output.stderr)))),
    }
}

fn header() -> Result<String> {
    std::fs::read_to_string(root().join("include/kith.h")).during("reading include/kith.h")
}

/// Fails if something is removed or changed. What is added is said, and may be.
pub(super) fn check() -> Result<()> {
    let folder = empty_folder("abi")?;
    let header = header()?;
    let now = interface(&header, &folder.join("now"))?;
    if let Some(report) = broken(&baseline(), &now)? {
        return Err(Failed(format!(
            "the binary interface is not what it was. Take the change back, or raise KITH_ABI_VERSION (and the \
             SONAME in ffi/capi/build.rs) and run `cargo xtask abi`.\n{report}"
        )));
    }
    let known = std::fs::read_to_string(baseline()).during("reading the interface that is committed")?;
    let added: Vec<_> = prototypes(&header)
        .iter()
        .filter_map(|prototype| prototype.split('(').next()?.rsplit([' ', '*']).next().map(str::to_owned))
        .filter(|name| !known.contains(&format!("<elf-symbol name='{name}'")))
        .collect();
    if !added.is_empty() {
        println!("added, and not promised before `cargo xtask abi` is run: {}", added.join(", "));
    }
    controls(&header, &folder)
}

/// Each change that breaks programs is found, and one that does not is not.
fn controls(header: &str, folder: &Path) -> Result<()> {
    let breaking = [
        ("a function is removed", "kith_status kith_cancel_fire(kith_cancel *cancel);", ""),
        ("an argument is narrower", "int64_t number", "int32_t number"),
        ("a member of a struct is gone", "    uint8_t place[48];\n", ""),
        ("an error has another number", "KITH_BUSY = 13", "KITH_BUSY = 113"),
        ("an event has another number", "#define KITH_EVENT_SYNCED 13", "#define KITH_EVENT_SYNCED 113"),
        (
            "an option stands before others",
            "    bool discovery;\n",
            "    uint64_t first;\n    bool discovery;\n",
        ),
    ];
    let harmless = [
        (
            "a function is added",
            "uint32_t kith_abi_version(void);",
            "uint32_t kith_abi_version(void);\nvoid kith_new(void);",
        ),
        ("an error is added", "    KITH_INTERNAL = 26,\n", "    KITH_INTERNAL = 26,\n    KITH_NEW = 27,\n"),
        (
            "an option is added at the end",
            "} kith_node_options;\n",
            "    uint64_t last;\n} kith_node_options;\n",
        ),
    ];
    let original = interface(header, &folder.join("original"))?;
    let cases = breaking.iter().map(|case| (case, true)).chain(harmless.iter().map(|case| (case, false)));
    for ((what, from, to), wanted) in cases {
        if !header.contains(from) {
            return Err(Failed(format!(
                "the control \"{what}\" changes nothing: `{from}` is not in the header"
            )));
        }
        let changed = interface(&header.replacen(from, to, 1), &folder.join("changed"))?;
        if broken(&original, &changed)?.is_some() != wanted {
            let verdict = if wanted { "is not found" } else { "is taken for a breach" };
            return Err(Failed(format!("control: {what}, and that {verdict}")));
        }
    }
    println!("unchanged; {} breaches are found, {} additions are let pass", breaking.len(), harmless.len());
    Ok(())
}

/// Writes the interface that is promised from now on. What was promised under the same number stays.
pub(crate) fn write() -> Result<()> {
    headline("the binary interface of libkith.so");
    let fresh = interface(&header()?, &empty_folder("abi")?)?;
    let soname = |path: &Path| -> Result<String> {
        let text = std::fs::read_to_string(path).during("reading an interface")?;
        Ok(text.split("soname='").nth(1).and_then(|rest| rest.split('\'').next()).unwrap_or("").to_owned())
    };
    if baseline().exists()
        && soname(&baseline())? == soname(&fresh)?
        && let Some(report) = broken(&baseline(), &fresh)?
    {
        return Err(Failed(format!(
            "this takes back what was promised: raise KITH_ABI_VERSION first\n{report}"
        )));
    }
    std::fs::copy(&fresh, baseline()).during("writing ffi/capi/abi/libkith.abi")?;
    println!("ffi/capi/abi/libkith.abi: {} functions", prototypes(&header()?).len());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_view_has_each_function_and_each_number() {
        let header = "/** kith_comment(x); */\n#define KITH_A 1\n#define KITH_VERSION_MAJOR 0\n#define KITH_T \"x (y)\"\n\
                      #define kith_one(a) kith_one_sized((a), 1)\nextern \"C\" {\n#endif\n/**\n * Of kith_one(…); see it.\n */\nkith_status kith_one(int a,\n    \
                      int b);\nconst char *kith_two(void);\n#ifdef __cplusplus\n}\n#endif\n";
        assert_eq!(
            prototypes(header),
            ["kith_status kith_one(int a,\n    int b)", "const char *kith_two(void)"]
        );
        assert_eq!(constants(header), ["KITH_A"]);
        assert_eq!(macros(header), ["kith_one"]);
        assert!(view(header).contains("VIEW_KITH_A = KITH_A,") && view(header).contains("#undef kith_one\n"));
    }
}
