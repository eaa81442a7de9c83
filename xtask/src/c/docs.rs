//! The pages of the C and C++ interface.

use crate::tools::{During, Failed, Result, command, empty_folder, headline, root, run, target};

/// Writes them into `target/doc/c/html`. Whatever has no documentation, or a broken one, is an error.
pub(crate) fn write() -> Result<()> {
    headline("the pages of kith.h and kith.hpp");
    let folder = target().join("doc/c");
    std::fs::create_dir_all(&folder).during(format!("making {}", folder.display()))?;
    doxygen(&format!("OUTPUT_DIRECTORY = {}\n", folder.display()))?;
    println!("{}", folder.join("html/index.html").display());
    Ok(())
}

/// The same as a test, with a control: something without documentation is an error.
pub(super) fn check() -> Result<()> {
    write()?;
    let folder = empty_folder("docs")?;
    std::fs::write(folder.join("bare.h"), "/** @file\n * A header. */\nint kith_bare(void);\n")
        .during("writing a header")?;
    println!("the control: kith_bare is not documented");
    match doxygen(&format!("OUTPUT_DIRECTORY = {0}\nINPUT = {0}\n", folder.display())) {
        Ok(()) => Err(Failed("a function without documentation is let pass".into())),
        Err(_) => Ok(()),
    }
}

fn doxygen(more: &str) -> Result<()> {
    let common = std::fs::read_to_string(root().join("docs/Doxyfile")).during("reading docs/Doxyfile")?;
    let whole = empty_folder("doxygen")?.join("Doxyfile");
    std::fs::write(&whole, common + more).during("writing a Doxyfile")?;
    run(command("doxygen").arg(whole))
}
