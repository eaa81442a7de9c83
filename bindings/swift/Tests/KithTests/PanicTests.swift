import Testing

import Kith
import KithTesting
import func KithNative.provokePanic
import func KithNative.provokePanicLater

/// A defect in the library. Only libraries of the tests panic when they are told to: with another one the package has no such file.
@Suite struct PanicTests {
    // scenario: panic_in_the_library
    @Test func aPanicInTheLibraryIsAnErrorAndTheNodeGoesOn() async throws {
        try await withTwoNodes { node, _ in
            let context = try await node.createContext()
            let writes = (0..<20).map { _ in Task { try await context.add(key("n"), 1) } }
            for number in 0..<5 {
                #expect(throws: KithError.internal("on purpose \(number)")) {
                    try translated { try provokePanic(words: "on purpose \(number)") }
                }
                await #expect(throws: KithError.internal("ä \(number)")) {
                    try await translated { try await provokePanicLater(words: "ä \(number)") }
                }
            }
            var sums = Set<Int64>()
            for write in writes {
                sums.insert(try await write.value)
            }
            #expect(sums == Set(1...20))
            #expect(try await context.add(key("n"), 1) == 21)
        }
    }
}
