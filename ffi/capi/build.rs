//! Gives the shared library its name for the linker. The number is `KITH_ABI_VERSION`; the C tests compare the two.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|system| system == "linux" || system == "android") {
        println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libkith.so.0");
    }
}
