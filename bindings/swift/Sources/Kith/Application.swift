import Foundation
package import KithNative

/// Thrown by an application when something is wrong on this machine only.
///
/// Applying halts, says so (`blocked`), and is tried again every few seconds; an admin's ``Context/skip(_:)`` rejects the call for all.
public struct LocalFault: Error, Hashable, Sendable, LocalizedError {
    /// For people.
    public let message: String

    /// A fault, in words.
    public init(_ message: String) {
        self.message = message
    }

    /// The message.
    public var errorDescription: String? { message }
}

/// One method call, as every member sees it.
public struct Call: Hashable, Sendable {
    /// The method's name.
    public let method: String
    /// The arguments, in the application's own format.
    public let arguments: Data
    /// Who calls: 32 bytes.
    public let member: Data
    /// The caller's role at this place in the order.
    public let role: Role
    /// The transaction that carries the call: 32 bytes.
    public let transaction: Data
    /// The author's clock, ms since 1970. The same everywhere, but the author may lie.
    public let timestamp: UInt64
}

/// The state during one call of an application. It is closed when the call ends, and stays on the call's thread.
public final class ContextState {
    private let native: HostState

    fileprivate init(native: HostState) {
        self.native = native
    }

    /// The value under a key.
    public func get(_ key: StateKey) throws -> Data? {
        try state { try native.get(key: key.data) }
    }

    /// Sets a key's value (at most 1 MiB).
    public func put(_ key: StateKey, _ value: Data) throws {
        try state { try native.put(key: key.data, value: value) }
    }

    /// Removes a key; nothing happens if it is absent.
    public func delete(_ key: StateKey) throws {
        try state { try native.delete(key: key.data) }
    }

    /// At most `limit` entries whose keys begin with `prefix` and sort after `after`, in key order.
    public func entries(prefix: Data = Data(), after: StateKey? = nil, limit: Int = 100) throws -> [Entry] {
        let limit = try pageLimit(limit)
        return try state { try native.entries(prefix: prefix, after: after?.data, limit: limit).map(Entry.init(native:)) }
    }

    /// Hands a named message to the hosts of all members, once the call is accepted.
    public func emit(_ name: String, _ data: Data = Data()) throws {
        try state { try native.emit(name: name, data: data) }
    }

    /// The one part of the library that an application may call.
    private func state<T>(_ body: () throws -> T) throws -> T {
        do {
            return try body()
        } catch {
            throw KithError.from(error)
        }
    }
}

/// Deterministic code that executes method calls. Register it with ``Node/register(_:as:)``.
///
/// The same inputs must give the same result on every member, in every language: no clock, no randomness, no I/O, no floats from outside;
/// beware of the order of `Set` and `Dictionary`, and of `hashValue`, which are different in every process.
///
/// Each context calls it on a thread of its own, one call after another: one that hangs holds up its own context and no other. It
/// may use the state that it is given and `StateKey`; other calls of this library from there are `KithError.unsupported`,
/// since the thread that would answer is the one that asks.
///
/// Throwing rejects the call, which is what every member must then do. What says that something is wrong on this machine
/// only is ``LocalFault``, `CancellationError` and this library's own errors, but for `invalidArgument`, `limitExceeded` and `rejected`,
/// which every member gets alike.
public protocol Application: Sendable {
    /// Sets up the state of a new context from its creator's arguments. Unless implemented, it takes none.
    func initialise(arguments: Data, state: ContextState) throws
    /// Executes one call; the bytes are the receipt's output.
    func execute(_ call: Call, state: ContextState) throws -> Data
    /// Answers a read-only call, on this member only; whatever it writes is thrown away. Unless implemented, there is none.
    func query(_ method: String, arguments: Data, state: ContextState) throws -> Data
}

extension Application {
    /// For applications that need no arguments: there must be none, and the state begins empty.
    public func initialise(arguments: Data, state: ContextState) throws {
        if !arguments.isEmpty {
            throw KithError.rejected("this application takes no arguments")
        }
    }

    /// For applications without questions: each is refused by its name.
    public func query(_ method: String, arguments: Data, state: ContextState) throws -> Data {
        throw KithError.rejected("this application has no query `\(method)`")
    }
}

/// An application as the library calls it: bytes in, bytes out, and two kinds of failure.
package final class Hosted: HostApplication {
    private let application: any Application

    package init(_ application: any Application) {
        self.application = application
    }

    package func initialise(arguments: Data, state: HostState) throws {
        try outcome { try application.initialise(arguments: arguments, state: ContextState(native: state)) }
    }

    package func execute(call: KithNative.Call, state: HostState) throws -> Data {
        try outcome {
            let seen = Call(
                method: call.method, arguments: call.arguments, member: call.member, role: try Role(native: call.role),
                transaction: call.transaction, timestamp: call.timestamp)
            return try application.execute(seen, state: ContextState(native: state))
        }
    }

    package func query(method: String, arguments: Data, state: HostState) throws -> Data {
        try outcome { try application.query(method, arguments: arguments, state: ContextState(native: state)) }
    }

    private func outcome<T>(_ body: () throws -> T) throws -> T {
        do {
            return try Callback.$name.withValue("an application's callback", operation: body)
        } catch let error as KithError {
            switch error.kind {
            case .invalidArgument, .limitExceeded, .rejected:
                throw ApplicationFailure.Rejected(message: error.message)
            default:
                throw ApplicationFailure.Fault(message: error.description)
            }
        } catch let fault as LocalFault {
            throw ApplicationFailure.Fault(message: fault.message)
        } catch is CancellationError {
            throw ApplicationFailure.Fault(message: "cancelled")
        } catch let error as any LocalizedError {
            throw ApplicationFailure.Rejected(message: error.errorDescription ?? "\(error)")
        } catch {
            throw ApplicationFailure.Rejected(message: "\(error)")
        }
    }
}
