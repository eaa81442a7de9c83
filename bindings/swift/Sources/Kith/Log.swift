import Foundation
internal import KithNative

/// What the library says about itself.
public struct LogRecord: Hashable, Sendable {
    /// How much it matters.
    public let level: KithLog.Level
    /// Which part of the library says it, like `kith_core::node::switchboard`.
    public let target: String
    /// The text.
    public let message: String
    /// The name of the thread that said it.
    public let thread: String
}

/// Where the library's records go, for the whole process. Nowhere, until a sink is set.
public enum KithLog {
    /// How much is said.
    public enum Level: String, Hashable, Sendable, CaseIterable, Comparable {
        /// Nothing at all.
        case off
        /// What went wrong, and nobody may have been told of.
        case error
        /// What may go wrong, or went wrong elsewhere.
        case warn
        /// What the node does, in few words.
        case info
        /// The same in many words, to look for a fault.
        case debug
        /// Every step.
        case trace

        /// Less is said on the left.
        public static func < (one: Level, other: Level) -> Bool {
            Level.allCases.firstIndex(of: one)! < Level.allCases.firstIndex(of: other)!
        }
    }

    /// From now on records up to this level go to this sink, and to no other.
    ///
    /// What is below the level is dropped in the library and costs nothing. The sink is called on a thread of the library's own, one
    /// record after another; one that is slow holds up nobody, and what it is too slow for is dropped and counted. It
    /// must not call this library (`KithError.unsupported`).
    public static func send(_ level: Level, to sink: @escaping @Sendable (LogRecord) -> Void) throws {
        try translated { try setLog(level: level.rawValue, sink: Sink(sink)) }
    }

    /// From now on nothing is said.
    public static func stop() throws {
        try send(.off) { _ in }
    }

    /// A sink that writes lines to the standard error.
    public static let standardError: @Sendable (LogRecord) -> Void = { record in
        let line = "\(record.level.rawValue) \(record.target): \(record.message)\n"
        FileHandle.standardError.write(Data(line.utf8))
    }
}

private final class Sink: KithNative.LogSink {
    private let sink: @Sendable (LogRecord) -> Void

    init(_ sink: @escaping @Sendable (LogRecord) -> Void) {
        self.sink = sink
    }

    func log(record: KithNative.LogRecord) throws {
        let level = KithLog.Level(rawValue: record.level) ?? .warn
        Callback.$name.withValue("a log sink") {
            sink(LogRecord(level: level, target: record.target, message: record.message, thread: record.thread))
        }
    }
}
