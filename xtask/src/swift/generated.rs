//! What is changed in the code that UniFFI generates for Swift: there, the cancellation of a task does not reach Rust.
//!
//! The version of UniFFI is pinned, and each change names what it expects: where a later version writes something else, putting the
//! package together fails.

/// The C module; linking to it links the library.
pub(super) const MODULE_MAP: &str = "\
module kith_nativeFFI {
    header \"kith_nativeFFI.h\"
    link \"kith_uniffi\"
    export *
}
";

/// What is there once, and what takes its place.
const CHANGES: [(&str, &str); 5] = [
    (
        "    freeFunc: (UInt64) -> (),\n",
        "    freeFunc: (UInt64) -> (),\n    cancelFunc: @escaping @Sendable (UInt64) -> (),\n",
    ),
    (
        "    defer {\n        freeFunc(rustFuture)\n    }\n    var pollResult: Int8;\n    repeat {",
        "    let cancellation = Cancellation(rustFuture, cancelFunc)\n    defer {\n        cancellation.end()\n        \
         freeFunc(rustFuture)\n    }\n    await withTaskCancellationHandler {\n    var pollResult: Int8;\n    repeat {",
    ),
    (
        "    } while pollResult != UNIFFI_RUST_FUTURE_POLL_READY\n",
        "    } while pollResult != UNIFFI_RUST_FUTURE_POLL_READY\n    } onCancel: { cancellation.cancel() }\n",
    ),
    ("fatalError(\"Cancellation not supported yet\")", "throw CancellationError()"),
    (BYTES, BYTES_AT_ONCE),
];

/// How bytes are written. By what stands there for every type, an argument is copied into an array, and that into a buffer of Rust's; and an
/// answer into bytes, these into an array and that into bytes.
const BYTES: &str = "\
    public static func write(_ value: Data, into buf: inout [UInt8]) {
        let len = Int32(value.count)
        writeInt(&buf, len)
        writeBytes(&buf, value)
    }
";
/// The same, and the two ways without what lies between: the length, big-endian, and the bytes. A buffer of Rust's that is not empty has a place, so `data!` is there.
const BYTES_AT_ONCE: &str = "\
    public static func write(_ value: Data, into buf: inout [UInt8]) {
        let len = Int32(value.count)
        writeInt(&buf, len)
        writeBytes(&buf, value)
    }

    public static func lower(_ value: Data) -> RustBuffer {
        let buffer = try! rustCall { ffi_kith_uniffi_rustbuffer_alloc(UInt64(value.count + 4), $0) }
        UnsafeMutableRawPointer(buffer.data!).storeBytes(of: Int32(value.count).bigEndian, as: Int32.self)
        value.copyBytes(to: buffer.data! + 4, count: value.count)
        return buffer
    }

    public static func lift(_ buf: RustBuffer) throws -> Data {
        defer { buf.deallocate() }
        guard buf.len >= 4, let data = buf.data else { throw UniffiInternalError.bufferOverflow }
        let count = Int(Int32(bigEndian: UnsafeRawPointer(data).loadUnaligned(as: Int32.self)))
        guard count >= 0, count + 4 == Int(buf.len) else { throw UniffiInternalError.incompleteData }
        return Data(bytes: data + 4, count: count)
    }
";

const CALL: &str = "await uniffiRustCallAsync(\n";
const FREE: &str = "            freeFunc: ffi_kith_uniffi_rust_future_free_";

/// The generated code, with calls that a cancelled task ends: `Cancellation` of the hand-written layer tells Rust.
pub(super) fn cancellable(generated: &str) -> Result<String, String> {
    let mut text = generated.to_owned();
    for (found, wanted) in CHANGES {
        let times = text.matches(found).count();
        if times != 1 {
            return Err(format!("the generated code has this {times} times, not once:\n{found}"));
        }
        text = text.replacen(found, wanted, 1);
    }
    let mut told = 0;
    let mut changed = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        changed.push_str(line);
        if let Some(rest) = line.strip_prefix(FREE) {
            changed.push_str("            cancelFunc: ffi_kith_uniffi_rust_future_cancel_");
            changed.push_str(rest);
            told += 1;
        }
    }
    let calls = text.matches(CALL).count();
    if calls == 0 || calls != told {
        return Err(format!("{calls} async calls are generated, and {told} of them free a future"));
    }
    Ok(changed)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The places that are changed, as UniFFI writes them.
    fn generated(calls: usize) -> String {
        let mut text = CHANGES.map(|(found, _)| found).join("\n");
        for _ in 0..calls {
            text += &format!("\n    try  {CALL}{FREE}void,\n            liftFunc: {{ $0 }},\n");
        }
        text
    }

    #[test]
    fn every_call_is_told_how_its_future_is_cancelled() {
        let text = cancellable(&generated(3)).expect("it is as UniFFI writes it");
        assert_eq!(text.matches("cancelFunc: ffi_kith_uniffi_rust_future_cancel_void,\n").count(), 3);
        assert!(text.contains("onCancel: { cancellation.cancel() }") && !text.contains("fatalError"));
    }

    #[test]
    fn code_that_looks_different_is_refused() {
        for (found, _) in CHANGES {
            assert!(cancellable(&generated(1).replace(found, "")).is_err(), "without {found}");
            assert!(cancellable(&(generated(1) + found)).is_err(), "twice {found}");
        }
        assert!(cancellable(&generated(0)).is_err());
        assert!(cancellable(&generated(2).replacen(FREE, "            free: ", 1)).is_err());
        // The control: the changes are not refused for another reason.
        assert!(cancellable(&generated(2)).is_ok());
    }
}
