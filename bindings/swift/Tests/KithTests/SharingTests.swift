import Foundation
import Testing

import Kith
import KithTesting

/// What is shared between nodes, and taken away again.
@Suite(.timeLimit(.minutes(3))) struct SharingTests {
    // scenario: two_members_share, status_names_peers, invitation_is_read, joining_tells_how_far
    @Test func twoNodesShareAContext() async throws {
        try await withTwoNodes { one, other in
            let mine = try await one.createContext(name: "shared")
            try await mine.put(key("early"), bytes("by one"))
            let token = try await mine.invite(expiresIn: .seconds(3600), note: "for the test")
            let info = try other.inspect(token)
            #expect(info.context == mine.id && info.inviter == mine.me && info.role == .writer)
            #expect(info.application == "kv" && info.note == "for the test" && !info.isMember)
            let ends = try #require(info.expiresAt).timeIntervalSinceNow
            #expect((3000...3600).contains(ends))
            let stream = try await mine.events()
            let progress = Shared<[(Int, Int)]>([])
            let theirs = try await other.join(token) { done, total in progress.change { $0.append((done, total)) } }
            #expect(try other.inspect(token.text).isMember)
            #expect(try await theirs.get(key("early")) == bytes("by one"))
            #expect(theirs.name == "shared")
            #expect(!progress.value.isEmpty && progress.value.allSatisfy { $0.0 <= $0.1 })
            let came = try await next(stream) {
                if case .memberJoined(let member, let role) = $0.kind { (member, role) } else { nil }
            }
            #expect(came == (theirs.me, .writer))

            try await theirs.put(key("later"), bytes("by other"))
            _ = try await next(stream) { event in
                if case .changed(let keys) = event.kind, keys.contains(key("later")) { true } else { nil }
            }
            #expect(try await mine.get(key("later")) == bytes("by other"))
            try await theirs.waitSynced()
            let commitment = try await mine.commitment()
            #expect(try await theirs.commitment() == commitment)
            let history = try await mine.history()
            #expect(try await theirs.history() == history)
            let status = try await mine.status()
            #expect(status.peers.map(\.peer) == [other.id] && status.peers.map(\.member) == [theirs.me])
            #expect(status.blocked == nil && status.frozen == nil && status.missing.isEmpty)
            #expect(status.commitment == commitment)
            #expect(status.transactions == history.count && status.pending == 0 && status.waiting == 0)
            let seen = try await one.status()
            #expect(seen.id == one.id && seen.contexts == [mine.id])
            #expect(seen.peers.first { $0.peer == other.id }?.isConnected == true)
            #expect(Set(try await mine.members().map(\.id)) == [mine.me, theirs.me])
        }
    }

    // scenario: both_write_at_once
    @Test func bothWriteAtOnceAndEndEqual() async throws {
        try await withTwoMembers { mine, theirs in
            try await withThrowingTaskGroup(of: Void.self) { group in
                for (context, name) in [(mine, "one"), (theirs, "other")] {
                    group.addTask {
                        for number in 0..<20 {
                            try await context.put(key("contended"), bytes("\(name) \(number)"))
                            try await context.add(key("counter"), 1)
                        }
                    }
                }
                try await group.waitForAll()
            }
            try await equal(mine, theirs)
            #expect(try await mine.get(key("counter")) == counter(40))
            let orders = [try await mine.history(), try await theirs.history()]
            #expect(orders[0] == orders[1] && orders[0].count > 80)
        }
    }

    // scenario: roles_are_obeyed, member_is_removed
    @Test func rolesRemovalAndWhoMay() async throws {
        try await withTwoMembers { mine, theirs in
            let stream = try await mine.events()
            await expect(.permissionDenied) { _ = try await theirs.invite() }
            await expect(.permissionDenied) { try await theirs.remove(mine.me) }
            try await mine.setRole(of: theirs.me, to: .reader)
            let changed = try await next(stream) { if case .roleChanged(_, let role) = $0.kind { role } else { nil } }
            #expect(changed == .reader)
            try await eventually("the other one knows that it is a reader") { theirs.role == .reader }
            await expect(.permissionDenied) { try await theirs.put(key("x"), bytes("y")) }
            try await mine.remove(theirs.me)
            let removed = try await next(stream) { if case .memberRemoved(let member) = $0.kind { member } else { nil } }
            #expect(removed == theirs.me)
            #expect(try await mine.members().map(\.id) == [mine.me])
            try await eventually("the other one knows that it is out") { theirs.role == nil }
            await expect(anyOf: [.notMember, .permissionDenied, .closed]) { try await theirs.put(key("x"), bytes("y")) }
        }
    }

    // scenario: member_leaves, last_admin_stays
    @Test func aMemberLeaves() async throws {
        try await withTwoNodes { one, other in
            let mine = try await one.createContext()
            let theirs = try await other.join(try await mine.invite())
            await expect(.permissionDenied) { try await mine.leave() }
            let stream = try await mine.events()
            let who = theirs.me
            try await theirs.leave()
            let left = try await next(stream) { if case .memberLeft(let member) = $0.kind { member } else { nil } }
            #expect(left == who)
            #expect(try other.contexts().isEmpty)
            await expect(.closed) { try await theirs.put(key("x"), bytes("y")) }
            try await mine.leave()
            #expect(try one.contexts().isEmpty)
        }
    }

    // scenario: invitation_used_up, invitation_revoked, invitation_expired
    @Test func invitationsAreListedUsedUpAndRevoked() async throws {
        let third = try await Node.forTests()
        try await third.use { third in
            try await withTwoNodes { one, other in
                let mine = try await one.createContext()
                let token = try await mine.invite(role: .reader, expiresIn: nil)
                let revoked = try await mine.invite()
                let listed = try #require(try await mine.invitations().first { $0.id == token.id })
                #expect(listed.uses == 0 && listed.maxUses == 1 && listed.expiresAt == nil && !listed.isRevoked)
                #expect(try await other.join(token).role == .reader)
                #expect(try await mine.invitations().first { $0.id == token.id }?.uses == 1)
                await expect(.invitationUsed) { _ = try await third.join(token) }
                try await mine.revoke(revoked)
                #expect(try await mine.invitations().first { $0.id == revoked.id }?.isRevoked == true)
                await expect(.invitationRevoked) { _ = try await third.join(revoked) }
                let short = try await mine.invite(expiresIn: .milliseconds(1))
                try await eventually("the invitation's time is over") { (try third.inspect(short).expiresAt)! < Date() }
                await expect(.invitationExpired) { _ = try await third.join(short) }
                let damaged = String(token.text.dropLast()) + (token.text.hasSuffix("q") ? "p" : "q")
                await expect(.invitationInvalid) { _ = try third.inspect(damaged) }
                await expect(.invitationInvalid) { _ = try await third.join("kith1nonsense") }
                #expect(try third.contexts().isEmpty)
            }
        }
    }

    // scenario: invitation_as_text_bytes_and_picture
    @Test func anInvitationIsTextBytesAndAPicture() async throws {
        try await withTwoNodes { one, other in
            let mine = try await one.createContext()
            let token = try await mine.invite()
            #expect(token.text.hasPrefix("kith1") && token.data.count < token.text.utf8.count && "\(token)" == token.text)
            #expect(try Invitation(data: token.data) == token)
            #expect(try Invitation(token.text) == token)
            #expect(try token.qrText().split(separator: "\n").count > 20)
            #expect(try await other.join(Invitation(data: token.data)).id == mine.id)
            let second = try await mine.invite()
            try await mine.revoke(second.id)
            #expect(try await mine.invitations().first { $0.id == second.id }?.isRevoked == true)
        }
    }

    // scenario: joining_nobody
    @Test func joiningNobodyEndsInTimeAndLeavesNothing() async throws {
        let one = try await Node.forTests()
        let token = try await one.createContext().invite()
        try await one.shutdown()
        try await Node.forTests().use { other in
            await expect(anyOf: [.timeout, .unreachable]) { _ = try await other.join(token, timeout: .milliseconds(500)) }
            let held = try other.contexts()
            #expect(held.isEmpty)
        }
    }

    // scenario: peer_out_of_reach
    @Test func aPeerThatIsGoneIsUnreachable() async throws {
        let address = try await Node.inMemory(here).use { try #require($0.addresses.first) }
        try await Node.inMemory(here).use { node in
            await expect(.unreachable) { try await node.connect(to: address) }
        }
    }

    @Test func strangersAreCounted() async throws {
        let hub = Hub()
        try await Node.forTests(in: hub).use { node in
            let before = try await node.status().strangers
            #expect((before.linked, before.ended, before.unfinished) == (0, 0, 0))
            try await Node.forTests(in: hub).use { other in
                try await other.connect(to: try #require(node.addresses.first))
                try await eventually("somebody has come") { try await node.status().strangers.linked == 1 }
            }
            try await eventually("it has gone") {
                let strangers = try await node.status().strangers
                return (strangers.linked, strangers.ended) == (0, 1)
            }
            let after = try await node.status().strangers
            #expect((after.refused, after.unfinished, after.misbehaved) == (0, 0, 0))
            #expect((after.version, after.timeout) == (0, 0))
        }
    }

    // scenario: over_sockets
    @Test func nodesMeetOverSockets() async throws {
        try await Node.inMemory(here).use { one in
            try await Node.inMemory(here).use { other in
                let mine = try await one.createContext()
                let theirs = try await other.join(try await mine.invite())
                try await theirs.put(key("x"), bytes("y"))
                try await theirs.waitSynced()
                #expect(try await mine.get(key("x")) == bytes("y"))
                try await other.connect(to: try #require(one.addresses.first))
            }
        }
    }

    // scenario: names_of_members
    @Test func membersAndContextsAreCalledWhatTheySay() async throws {
        try await withTwoMembers { mine, theirs in
            let stream = try await mine.events()
            let renamed: (Event) -> (Data?, String)? = {
                if case .renamed(let member, let name) = $0.kind { (member, name) } else { nil }
            }
            try await theirs.setDisplayName("Ben")
            #expect(try await next(stream, renamed) == (theirs.me, "Ben"))
            #expect(Set(try await mine.members().map(\.name)) == ["Ben", ""])
            try await mine.setName("home")
            #expect(try await next(stream, renamed) == (nil, "home"))
            #expect(mine.name == "home")
            await expect(.permissionDenied) { try await theirs.setName("mine") }
        }
    }

    // scenario: partition_heals
    @Test func aPartitionIsSeenAndHeals() async throws {
        let hub = Hub()
        try await withTwoNodes(in: hub) { one, other in
            let mine = try await one.createContext()
            let theirs = try await other.join(try await mine.invite())
            let stream = try await mine.events()
            try hub.partition(one, other)
            _ = try await next(stream) { if case .peerDisconnected = $0.kind { true } else { nil } }
            try await theirs.put(key("apart"), bytes("x"))
            #expect(try await mine.get(key("apart")) == nil)
            try hub.heal(one, other)
            try await eventually("it comes over") { try await mine.get(key("apart")) == bytes("x") }
        }
    }
}
