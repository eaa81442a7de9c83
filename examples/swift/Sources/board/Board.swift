import Foundation
import Kith

/// The call is against the rules.
struct Refused: Error, CustomStringConvertible {
    let description: String
}

private func need(_ condition: Bool, _ why: String) throws {
    if !condition { throw Refused(description: why) }
}

func hex(_ data: Data) -> String {
    data.map { String(format: "%02x", $0) }.joined()
}

/// `nil` if the text is not made of pairs of hexadecimal digits.
func bytes(hex text: Substring) -> Data? {
    let digits = text.map(\.hexDigitValue)
    guard digits.count % 2 == 0, digits.allSatisfy({ $0 != nil }) else { return nil }
    return Data(stride(from: 0, to: digits.count, by: 2).map { UInt8(digits[$0]! * 16 + digits[$0 + 1]!) })
}

private func little<Number: FixedWidthInteger>(_ number: Number) -> Data {
    withUnsafeBytes(of: number.littleEndian) { Data($0) }
}

/// An application of the host's own, in Swift: a board of 8 x 8 cells on which members place pieces and move them. Every member's node
/// executes every move, and all of them come to the same board: the same application is there in Rust, Python, C and Kotlin.
///
/// Throwing refuses the call, on every member alike.
struct Board: Application {
    let size = 8
    let most = 8

    private func cell(_ x: UInt8, _ y: UInt8) -> StateKey { StateKey("board", "\(x),\(y)") }

    private func pieces(_ state: ContextState) throws -> [Data] {
        try state.entries(prefix: StateKey.collection("board"), limit: size * size).map(\.value)
    }

    private func scoreKey(_ member: Data) -> StateKey { StateKey("moves", hex(member)) }

    private func score(_ member: Data, _ state: ContextState) throws -> UInt64 {
        try (state.get(scoreKey(member)) ?? Data()).reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }

    func execute(_ call: Call, state: ContextState) throws -> Data {
        switch call.method {
        case "place": try place(call, state)
        case "move": try move(call, state)
        case "fault": throw Refused(description: "on purpose")
        default: throw Refused(description: "unknown method")
        }
    }

    private func place(_ call: Call, _ state: ContextState) throws -> Data {
        let at = [UInt8](call.arguments)
        try need(at.count == 2, "arguments")
        try need(at.allSatisfy { $0 < size }, "off the board")
        try need(try state.get(cell(at[0], at[1])) == nil, "occupied")
        let own = try pieces(state).filter { $0 == call.member }.count
        try need(own < most, "too many pieces")
        try state.put(cell(at[0], at[1]), call.member)
        return Data([UInt8(own + 1)])
    }

    private func move(_ call: Call, _ state: ContextState) throws -> Data {
        let at = [UInt8](call.arguments)
        try need(at.count == 4, "arguments")
        try need(at.allSatisfy { $0 < size }, "off the board")
        let (from, to) = (cell(at[0], at[1]), cell(at[2], at[3]))
        try need(try state.get(from) == call.member, "not yours")
        try need(try state.get(to) != call.member, "occupied")
        let distance = max(abs(Int(at[0]) - Int(at[2])), abs(Int(at[1]) - Int(at[3])))
        try need(distance == 1, "too far")
        try state.delete(from)
        try state.put(to, call.member)
        let moves = little(try score(call.member, state) + 1)
        try state.put(scoreKey(call.member), moves)
        try state.emit("moved", call.arguments)
        return moves
    }

    func query(_ method: String, arguments: Data, state: ContextState) throws -> Data {
        switch method {
        case "count":
            return little(UInt32(try pieces(state).count))
        case "score":
            try need(arguments.count == 32, "arguments")
            return little(try score(arguments, state))
        default:
            throw Refused(description: "unknown method")
        }
    }
}
