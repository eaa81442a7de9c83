import Foundation

/// Lets the cancellation of a task reach the Rust future that the task waits for. The generated code makes one for each
/// call: `cancel` may come from any thread at any time, and after `end` it does nothing, since the future is gone then.
final class Cancellation: @unchecked Sendable {
    private let lock = NSLock()
    private var future: UInt64?
    private let cancelFuture: @Sendable (UInt64) -> Void

    init(_ future: UInt64, _ cancelFuture: @escaping @Sendable (UInt64) -> Void) {
        self.future = future
        self.cancelFuture = cancelFuture
    }

    func cancel() {
        lock.lock()
        defer { lock.unlock() }
        if let future {
            cancelFuture(future)
        }
    }

    func end() {
        lock.lock()
        defer { lock.unlock() }
        future = nil
    }
}
