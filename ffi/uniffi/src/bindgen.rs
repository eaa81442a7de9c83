//! Generates the bindings of each language from the built library.
fn main() {
    uniffi::uniffi_bindgen_main();
}
