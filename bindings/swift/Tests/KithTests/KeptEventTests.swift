import Foundation
import Testing

import Kith
import KithTesting

private func hex(_ data: Data) -> String {
    data.map { String(format: "%02x", $0) }.joined()
}

private func said(_ kind: Event.Kind) throws -> String {
    switch kind {
    case .executed(let transaction, let member, let again):
        "Executed transaction=\(hex(transaction)) member=\(hex(member)) again=\(again)"
    case .changed(let keys): "Changed keys=\(keys.map { hex($0.data) }.joined(separator: ","))"
    case .reordered(let first): "Reordered first=\(hex(first))"
    case .rejected(let transaction, let reason): "Rejected transaction=\(hex(transaction)) reason=\(reason)"
    case .memberJoined(let member, let role): "MemberJoined member=\(hex(member)) role=\(role.rawValue)"
    case .memberLeft(let member): "MemberLeft member=\(hex(member))"
    case .memberRemoved(let member): "MemberRemoved member=\(hex(member))"
    case .roleChanged(let member, let role): "RoleChanged member=\(hex(member)) role=\(role.rawValue)"
    case .renamed(let member, let name): "Renamed member=\(member.map(hex) ?? "-") name=\(name)"
    case .equivocation(let member, let one, let other):
        "Equivocation member=\(hex(member)) one=\(hex(one)) other=\(hex(other))"
    case .blocked(let cause): "Blocked cause=\(cause)"
    case .emitted(let transaction, let name, let data):
        "Emitted transaction=\(hex(transaction)) name=\(name) data=\(hex(data))"
    case .closed(let reason): "Closed reason=\(reason)"
    case .keyTrouble(let member, let transaction, let what):
        "KeyTrouble member=\(hex(member)) transaction=\(hex(transaction)) what=\(what)"
    case .keyViolation(let member, let transaction):
        "KeyViolation member=\(hex(member)) transaction=\(hex(transaction))"
    case .syncProgress, .synced, .peerConnected, .peerDisconnected, .lagged, .unknown:
        throw Never(description: "an event that is not kept: \(kind)")
    }
}

/// Every kind of event, with all that it says: those that are kept, from a history in which each has happened, and those that pass.
@Suite(.timeLimit(.minutes(3))) struct KeptEventTests {
    // scenario: every_kept_event
    @Test func everyKindOfEventThatIsKeptComesWithAllItSays() async throws {
        // Put into the package under test, from bindings/events.
        let history = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("../../events")
        let wanted = try String(contentsOf: history.appendingPathComponent("events.txt"), encoding: .utf8)
            .split(separator: "\n").map(String.init)
        try await withDirectory { directory in
            let node = directory.appendingPathComponent("node")
            try await Node.import(
                from: history.appendingPathComponent("history.kith"), sealedUnder: .key(Data(repeating: 7, count: 32)), to: node)
            var events: [Event] = []
            try await Node.with(at: node, here) { node in
                let info = try #require(try node.contexts().first)
                // It ends after the event that says that the context is closed.
                for try await event in try await node.context(info.id).events(after: 0) { events.append(event) }
            }
            let lines = try events.map { "\($0.cursor) \(try said($0.kind))" }
            #expect(lines == wanted)
            let kinds = Set(lines.map { $0.split(separator: " ")[1] })
            #expect(kinds.count == 15)
            let troubles = events.compactMap { if case .keyTrouble(_, _, let what) = $0.kind { what } else { nil } }
            #expect(troubles.allSatisfy { $0.contains("nothing is to be done") })
            #expect(troubles.first?.contains("remove the member") == true && troubles.last?.contains("rotate the keys") == true)
        }
    }

    // scenario: events_that_pass
    @Test func whoComesAndGoesAndHowFarCatchingUpIs() async throws {
        let hub = Hub()
        try await withTwoNodes(in: hub) { one, other in
            let mine = try await one.createContext()
            let theirs = try await other.join(try await mine.invite())
            let stream = try await theirs.events()
            try hub.partition(one, other)
            let gone = try await next(stream) {
                if case .peerDisconnected(let peer, let reason) = $0.kind { [peer, reason] } else { nil }
            }
            #expect(gone == [one.id, "gone: the peers were partitioned"])
            for number in 0..<30 {
                try await mine.put(key("x"), bytes("\(number)"))
            }
            try hub.heal(one, other)
            let there = try await next(stream) {
                if case .peerConnected(let peer, let member) = $0.kind { (peer, member) } else { nil }
            }
            #expect(there == (one.id, mine.me))
            var (done, total) = (0, 0)
            while total < 30 || done < total {
                let peer: String
                (peer, done, total) = try await next(stream) {
                    if case .syncProgress(let peer, let done, let total) = $0.kind { (peer, done, total) } else { nil }
                }
                #expect(peer == one.id && (0...total).contains(done))
            }
            let synced = try await next(stream) { if case .synced(let peer) = $0.kind { peer } else { nil } }
            #expect(synced == one.id)
        }
    }

    // scenario: events_that_pass
    @Test func whoReadsTooSlowlyIsToldHowManyEventsAreMissing() async throws {
        try await Node.forTests(eventRetention: 3).use { node in
            let context = try await node.createContext()
            try await context.put(key("x"), bytes("before"))
            let stream = try await context.events()
            for number in 0..<20 {
                try await context.put(key("x"), bytes("\(number)"))
            }
            let lagged = try await stream.next()
            #expect(lagged.kind == .lagged(missed: 17))
            let after = try await stream.next()
            guard case .executed = after.kind else { throw Never(description: "another event: \(after)") }
            #expect(after.cursor == lagged.cursor + 1)
        }
    }
}
