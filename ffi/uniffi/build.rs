//! How the shared library is linked.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    for argument in arguments(&std::env::var("CARGO_CFG_TARGET_OS").unwrap_or_default()) {
        println!("cargo:rustc-cdylib-link-arg={argument}");
    }
}

/// What the linker of a system is told. The library stays where it was loaded: threads of its own run in it, and destructors of the host's
/// threads lie there. Android's devices with pages of 16 KB refuse what is laid out for smaller ones.
fn arguments(system: &str) -> &'static [&'static str] {
    match system {
        "linux" => &["-Wl,-z,nodelete"],
        "android" => &["-Wl,-z,nodelete", "-Wl,-z,max-page-size=16384"],
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The alignment of each segment that is loaded, of an empty library that is linked like this.
    fn alignments(system: &str) -> Vec<u64> {
        let path = std::env::temp_dir().join(format!("kith-linked-for-{system}-{}.so", std::process::id()));
        let mut link = std::process::Command::new("cc");
        link.args(["-shared", "-nostdlib", "-x", "c", "/dev/null", "-o"]).arg(&path).args(arguments(system));
        assert!(link.status().unwrap().success());
        let library = std::fs::read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let number = |at: usize, length: usize| {
            library[at..at + length].iter().rev().fold(0_u64, |number, byte| number << 8 | u64::from(*byte))
        };
        assert_eq!(library[4], 2, "of 64 bits");
        let (headers, size, count) = (number(32, 8) as usize, number(54, 2) as usize, number(56, 2) as usize);
        let segments = (0..count).map(|index| headers + index * size);
        segments.filter(|at| number(*at, 4) == 1).map(|at| number(at + 48, 8)).collect()
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn for_android_segments_lie_on_pages_of_16_kb() {
        let android = alignments("android");
        assert!(!android.is_empty() && android.iter().all(|alignment| *alignment == 16_384), "{android:?}");
        // The control: by themselves they do not, on this machine's kind.
        if cfg!(target_arch = "x86_64") {
            assert!(alignments("linux").contains(&4096));
        }
    }
}
