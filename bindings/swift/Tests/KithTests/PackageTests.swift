import Foundation
import Testing

@testable import Kith
import func KithNative.errorKinds
import func KithNative.parts
import func KithNative.version

@Suite struct PackageTests {
    @Test func packageAndLibraryAreOfOneVersion() throws {
        #expect(Node.version == KithNative.version())
        try Node.check(library: Node.version)
        #expect(throws: KithError.versionMismatch("the package is Kith \(Node.version), but its library is 9.9.9")) {
            try Node.check(library: "9.9.9")
        }
    }

    // scenario: kinds_are_the_same
    @Test func theKindsAreThoseOfTheLibraryAndEachHasItsCase() {
        let names = KithError.Kind.allCases.map { "\($0)".lowercased() }
        #expect(names == errorKinds().map { $0.lowercased() })
        for (number, kind) in KithError.Kind.allCases.enumerated() {
            #expect(kind.rawValue == UInt32(number + 1))
            let error = KithError(kind, "text")
            #expect(error.kind == kind && error.message == "text")
            #expect("\(error)" == "\(kind.title): text" && error.errorDescription == "\(error)")
            #expect((error as any Error).localizedDescription == "\(error)")
        }
        #expect(KithError.permissionDenied("no").errorDescription == "Permission denied: no")
        #expect("\(KithError.timeout(""))" == "Timeout")
    }

    @Test func thePartsAreThoseOfTheLibrary() {
        #expect(Part.allCases.map(\.rawValue) == parts())
    }

    // scenario: wrong_lengths
    @Test func keysHave32BytesAndSaySo() async throws {
        let key = StateKey("notes", "2026-11-22")
        #expect(key.data.count == 32 && key.data.starts(with: StateKey.collection("notes")))
        #expect(key != StateKey("notes", "2026-11-23"))
        #expect(key.data.suffix(16) == StateKey("other", "2026-11-22").data.suffix(16))
        #expect(StateKey.random() != StateKey.random() && StateKey.random().data.count == 32)
        #expect(try StateKey(key.data) == key && "\(key)".count == 64)
        for count in [0, 3, 31, 33] {
            await expect(.invalidArgument, "32 bytes, not \(count)") { _ = try StateKey(Data(count: count)) }
        }
        let sorted = (0..<20).map { StateKey("sorted", "\($0)") }.sorted()
        #expect(zip(sorted, sorted.dropFirst()).allSatisfy { $0.data.hexadecimal < $1.data.hexadecimal })
    }

    @Test(arguments: ["", "ä ö ü", "漢字", "👩‍👩‍👧‍👦", "e\u{301}", "a\0b", "עברית"])
    func anyTextNamesAKey(name: String) {
        #expect(StateKey("texts", name).data.count == 32)
        #expect(StateKey("texts", name) != StateKey("texts", name + "x"))
    }

    @Test func hexadecimalGoesBothWays() {
        let all = Data(0...255)
        #expect(Data(hexadecimal: all.hexadecimal) == all)
        #expect(Data([0, 9, 171]).hexadecimal == "0009ab")
    }

    @Test func timesThatAreNoneAreRefused() async throws {
        #expect(try milliseconds(.milliseconds(1500), "it") == 1500)
        #expect(try milliseconds(.zero, "it") == 0)
        for wrong in [Duration.milliseconds(-1), .seconds(-5), .seconds(Int64.max)] {
            await expect(.invalidArgument, "it is") { _ = try milliseconds(wrong, "it") }
        }
    }

    @Test func theDefaultDirectoryIsNamedForTheProgram() async throws {
        #expect(try Node.defaultDirectory(for: "notes").lastPathComponent == "notes")
        for name in ["", "..", "a/b"] {
            await expect(.invalidArgument) { _ = try Node.defaultDirectory(for: name) }
        }
    }

    // scenario: invitation_garbage
    @Test(arguments: ["", "kith1", "kith1nonsense", "http://example.org", "kith1" + String(repeating: "q", count: 10_000), "k\0th1", "ķith1qqqq"])
    func garbageIsNoInvitation(token: String) async throws {
        await expect(.invitationInvalid) { _ = try Invitation(token) }
        // The first byte is the version.
        await expect(anyOf: [.invitationInvalid, .versionMismatch]) { _ = try Invitation(data: bytes(token)) }
    }

    // scenario: invitation_of_another_version
    @Test func anInvitationOfAnotherVersionIsNamed() async {
        await expect(.versionMismatch, "another version") { _ = try Invitation(data: Data([9, 1, 2, 3])) }
    }
}
