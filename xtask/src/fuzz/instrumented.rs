//! The tests of the C API against a library that is built with AddressSanitizer: every byte that the library's own unsafe code touches is
//! looked at. In the other runs of these tests the library is not instrumented, so that only its calls to the allocator are.

use std::path::Path;

use crate::c::{Instrumented, sources};
use crate::count::Count;
use crate::tools::{Failed, Result, empty_folder, headline};

/// The library comes out of the build of the fuzz targets.
pub(super) fn test(output: &Path) -> Result<Count> {
    let library = output.join("libkith.a");
    let programs = empty_folder("c-asan")?;
    let mut count = Count::default();
    for source in sources()? {
        let name = source.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        headline(&format!("{name}.c, with an instrumented library"));
        count += Instrumented { library: &library }.run(&source, &programs.join(&name)).unwrap_or_else(
            |Failed(message)| {
                eprintln!("failed: {message}");
                Count { failed: 1, ..Count::default() }
            },
        );
    }
    Ok(count)
}
