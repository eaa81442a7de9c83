//! Installs the C library: the shared library under its versioned name with its links, the static one, the headers, and what pkg-config
//! and CMake find it by.

use std::path::{Path, PathBuf};

use crate::tools::{During, Failed, Options, Result, command, empty_folder, library_for_c, root, run};

/// What a static Rust library needs of the system on Linux.
pub(crate) const STATIC_NEEDS: [&str; 4] = ["-lpthread", "-ldl", "-lm", "-lgcc_s"];

/// What is for programs in C and C++.
pub(crate) const HEADERS: [&str; 7] = [
    "kith.h",
    "kith.hpp",
    "kith/application.hpp",
    "kith/context.hpp",
    "kith/events.hpp",
    "kith/node.hpp",
    "kith/sealing.hpp",
];

/// Builds the library and installs it.
pub(crate) fn install(options: &Options, prefix: &Path) -> Result<()> {
    let prefix = std::path::absolute(prefix).during(format!("finding {}", prefix.display()))?;
    for path in lay_out(&library_for_c(options)?, &prefix)? {
        println!("{}", path.display());
    }
    Ok(())
}

/// The version of the library, and the number of its binary interface, as the header has them.
fn numbers() -> Result<(String, String)> {
    let header = std::fs::read_to_string(root().join("include/kith.h")).during("reading include/kith.h")?;
    let number = |name: &str| {
        let found = header.lines().find_map(|line| line.strip_prefix(&format!("#define {name} ")));
        found
            .map(|value| value.trim_matches('"').to_owned())
            .ok_or_else(|| Failed(format!("the header has no {name}")))
    };
    Ok((number("KITH_VERSION")?, number("KITH_ABI_VERSION")?))
}

/// Puts everything where it belongs below the prefix; what was put.
fn lay_out(output: &Path, prefix: &Path) -> Result<Vec<PathBuf>> {
    let (version, abi) = numbers()?;
    let library = prefix.join("lib");
    let mut put = Vec::new();
    let mut write = |path: PathBuf, bytes: &[u8]| -> Result<()> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).during(format!("making {}", folder.display()))?;
        }
        // A new file, not new bytes in the old one: programs that run may have that mapped.
        let fresh = path.with_extension("new");
        std::fs::write(&fresh, bytes).during(format!("writing {}", path.display()))?;
        std::fs::rename(&fresh, &path).during(format!("naming {}", path.display()))?;
        put.push(path);
        Ok(())
    };
    let read = |path: &Path| std::fs::read(path).during(format!("reading {}", path.display()));
    let real = format!("libkith.so.{abi}.{version}");
    for header in HEADERS {
        write(prefix.join("include").join(header), &read(&root().join("include").join(header))?)?;
    }
    write(library.join(&real), &read(&output.join("libkith.so"))?)?;
    write(library.join("libkith.a"), &read(&reduced(&output.join("libkith.a"))?)?)?;
    write(library.join("pkgconfig/kith.pc"), pkg_config(prefix, &version).as_bytes())?;
    write(library.join("cmake/kith/kith-config.cmake"), cmake(&real, &abi).as_bytes())?;
    write(library.join("cmake/kith/kith-config-version.cmake"), cmake_version(&version).as_bytes())?;
    for (name, to) in
        [(format!("libkith.so.{abi}"), &real), ("libkith.so".into(), &format!("libkith.so.{abi}"))]
    {
        let link = library.join(name);
        match std::fs::remove_file(&link) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Failed(format!("replacing {}: {error}", link.display())));
            }
            _ => {}
        }
        std::os::unix::fs::symlink(to, &link).during(format!("linking {}", link.display()))?;
        put.push(link);
    }
    Ok(put)
}

/// A static library with the same functions, of whose symbols others see `kith_*` only: Rust's runtime and what else is inside cannot
/// meet that of another library in one program. One object is made of all of them, for these see each other by their symbols.
/// Elsewhere than on Linux it is left as it is.
pub(crate) fn reduced(archive: &Path) -> Result<PathBuf> {
    if !cfg!(target_os = "linux") {
        return Ok(archive.to_owned());
    }
    let folder = empty_folder("static")?;
    run(command("ld")
        .current_dir(&folder)
        .args(["-r", "--strip-debug", "-o", "all.o", "--whole-archive"])
        .arg(archive))?;
    // What is left of the compiler's own representation stands in the way of tools that know another version of it.
    run(command("objcopy").current_dir(&folder).args([
        "--wildcard",
        "--keep-global-symbol=kith_*",
        "--remove-section=.llvmbc",
        "--remove-section=.llvmcmd",
        "all.o",
        "kith.o",
    ]))?;
    run(command("ar").current_dir(&folder).args(["crs", "libkith.a", "kith.o"]))?;
    for object in ["all.o", "kith.o"] {
        std::fs::remove_file(folder.join(object)).during("removing an object")?;
    }
    Ok(folder.join("libkith.a"))
}

fn pkg_config(prefix: &Path, version: &str) -> String {
    format!(
        "prefix={}\nincludedir=${{prefix}}/include\nlibdir=${{prefix}}/lib\n\n\
         Name: kith\nDescription: Contexts that peers share, with no server between them\nVersion: {version}\n\
         Cflags: -I${{includedir}}\nLibs: -L${{libdir}} -lkith\nLibs.private: {}\n",
        prefix.display(),
        STATIC_NEEDS.join(" "),
    )
}

/// The package finds itself by where it lies, so that a prefix can be moved.
fn cmake(real: &str, abi: &str) -> String {
    let needs = STATIC_NEEDS.map(|flag| flag.trim_start_matches("-l")).join(";");
    format!(
        "# find_package(kith) gives the targets kith::kith (shared) and kith::static.\n\
         get_filename_component(KITH_PREFIX \"${{CMAKE_CURRENT_LIST_DIR}}/../../..\" ABSOLUTE)\n\
         if(NOT TARGET kith::kith)\n  \
           add_library(kith::kith SHARED IMPORTED)\n  \
           set_target_properties(kith::kith PROPERTIES\n    \
             IMPORTED_LOCATION \"${{KITH_PREFIX}}/lib/{real}\"\n    \
             IMPORTED_SONAME \"libkith.so.{abi}\"\n    \
             INTERFACE_INCLUDE_DIRECTORIES \"${{KITH_PREFIX}}/include\")\n  \
           add_library(kith::static STATIC IMPORTED)\n  \
           set_target_properties(kith::static PROPERTIES\n    \
             IMPORTED_LOCATION \"${{KITH_PREFIX}}/lib/libkith.a\"\n    \
             INTERFACE_INCLUDE_DIRECTORIES \"${{KITH_PREFIX}}/include\"\n    \
             INTERFACE_LINK_LIBRARIES \"{needs}\")\n\
         endif()\n"
    )
}

/// Before 1.0 each minor version is one of its own.
fn cmake_version(version: &str) -> String {
    let series = version.rsplit_once('.').map_or(version, |(series, _)| series);
    format!(
        "set(PACKAGE_VERSION \"{version}\")\n\
         if(PACKAGE_FIND_VERSION VERSION_GREATER PACKAGE_VERSION OR PACKAGE_FIND_VERSION VERSION_LESS \"{series}\")\n  \
           set(PACKAGE_VERSION_COMPATIBLE FALSE)\n\
         else()\n  \
           set(PACKAGE_VERSION_COMPATIBLE TRUE)\n  \
           if(PACKAGE_FIND_VERSION VERSION_EQUAL PACKAGE_VERSION)\n    \
             set(PACKAGE_VERSION_EXACT TRUE)\n  \
           endif()\n\
         endif()\n"
    )
}
