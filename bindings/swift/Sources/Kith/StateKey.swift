import Foundation
internal import KithNative

/// Names an entry of a context's state: 32 bytes.
public struct StateKey: Hashable, Sendable {
    /// The 32 bytes.
    public let data: Data

    /// A key from its 32 bytes; anything else is `KithError.invalidArgument`.
    public init(_ data: Data) throws {
        self.data = try identifier(data, "a state key")
    }

    /// The key of an item of a collection. All keys of a collection begin with ``collection(_:)``.
    public init(_ collection: String, _ name: String) {
        data = stateKeyOf(collection: collection, name: name)
    }

    init(native data: Data) {
        self.data = data
    }

    /// A fresh random key.
    public static func random() -> StateKey {
        var generator = SystemRandomNumberGenerator()
        return StateKey(native: Data((0..<32).map { _ in UInt8.random(in: .min ... .max, using: &generator) }))
    }

    /// The 16 bytes that the keys of a collection begin with, for `entries(prefix:)`.
    public static func collection(_ collection: String) -> Data {
        stateKeyCollection(collection: collection)
    }
}

extension StateKey: Comparable, CustomStringConvertible {
    /// The order in which entries come.
    public static func < (one: StateKey, other: StateKey) -> Bool {
        one.data.lexicographicallyPrecedes(other.data)
    }

    /// The bytes in hexadecimal.
    public var description: String { data.hexadecimal }
}

extension Data {
    /// The bytes in hexadecimal: how ids are shown and written.
    package var hexadecimal: String {
        map { String(format: "%02x", $0) }.joined()
    }

    /// The bytes of a hexadecimal text; empty if it is none.
    init(hexadecimal text: String) {
        let digits = text.compactMap(\.hexDigitValue)
        self.init(stride(from: 0, to: digits.count - digits.count % 2, by: 2).map { UInt8(digits[$0] * 16 + digits[$0 + 1]) })
    }
}

/// An id of 32 bytes.
func identifier(_ data: Data, _ what: String) throws -> Data {
    guard data.count == 32 else {
        throw KithError.invalidArgument("\(what) has 32 bytes, not \(data.count)")
    }
    return data
}

/// A limit of entries, as the library takes it.
func pageLimit(_ limit: Int) throws -> UInt32 {
    guard let limit = UInt32(exactly: limit) else {
        throw KithError.invalidArgument("limit is \(limit)")
    }
    return limit
}

/// A time, as the library takes it.
func milliseconds(_ duration: Duration, _ what: String) throws -> UInt64 {
    let (seconds, attoseconds) = duration.components
    guard (0...1_000_000_000_000).contains(seconds), attoseconds >= 0 else {
        throw KithError.invalidArgument("\(what) is \(duration)")
    }
    return UInt64(seconds) * 1000 + UInt64(attoseconds / 1_000_000_000_000_000)
}

/// A time of the library's, in ms since 1970.
func date(_ milliseconds: UInt64) -> Date {
    Date(timeIntervalSince1970: Double(milliseconds) / 1000)
}

/// A time of the library's, in ms.
func duration(_ milliseconds: UInt64) -> Duration {
    .milliseconds(Int64(clamping: milliseconds))
}
