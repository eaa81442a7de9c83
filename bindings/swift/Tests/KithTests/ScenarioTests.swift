import Foundation
import Testing

import Kith
import KithTesting

/// Scenarios of bindings/scenarios.toml that no other test shows.
@Suite(.timeLimit(.minutes(3))) struct ScenarioTests {
    // scenario: directory_that_cannot_be
    @Test func aFileInTheWayIsAFailureOfTheStore() async throws {
        try await withDirectory { directory in
            let file = directory.appendingPathComponent("file")
            try bytes("in the way").write(to: file)
            await expect(.storage) { _ = try await Node.open(at: file.appendingPathComponent("below"), here) }
        }
    }

    // scenario: damaged_directory
    @Test func aDamagedFileIsToldUntilItIsMended() async throws {
        try await withDirectory { directory in
            let id = try await Node.with(at: directory, here) { try await $0.createContext().id }
            let mark = directory.appendingPathComponent("high-water")
            let good = try Data(contentsOf: mark)
            try (good.dropLast() + [good[good.count - 1] ^ 1]).write(to: mark)
            await expect(.corrupt) { _ = try await Node.open(at: directory, here) }
            try good.write(to: mark)
            let found = try await Node.with(at: directory, here) { try $0.context(id).id }
            #expect(found == id)
        }
    }

    // scenario: node_in_memory
    @Test func aNodeWithoutADirectoryKeepsNothing() async throws {
        let id = try await Node.inMemory(here).use { node in
            let context = try await node.createContext()
            try await context.put(key("x"), bytes("y"))
            #expect(try await context.get(key("x")) == bytes("y"))
            return context.id
        }
        try await Node.inMemory(here).use { node in
            let held = try node.contexts()
            #expect(held.isEmpty)
            await expect(.notFound) { _ = try node.context(id) }
        }
    }

    // scenario: peer_out_of_reach
    @Test func theStatusSaysWhyAPeerIsNotReached() async throws {
        let (id, address) = try await Node.inMemory(here).use { ($0.id, try #require($0.addresses.first)) }
        var configuration = here
        configuration.bootstrap = [address]
        try await Node.inMemory(configuration).use { node in
            try await eventually("the reason") {
                try await node.status().peers.contains { $0.peer == id && $0.lastFailure?.contains("refused") == true }
            }
        }
    }

    // scenario: mistakes_are_named
    @Test func whoIsNoMemberCannotBeRemoved() async throws {
        try await Node.forTests().use { node in
            let context = try await node.createContext()
            await expect(.notMember) { try await context.remove(Data(count: 32)) }
        }
    }
}
