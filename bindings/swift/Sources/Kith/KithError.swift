import Foundation
internal import KithNative

/// A failed call: one case for each kind, with what went wrong in words.
///
/// A call whose task is cancelled throws `CancellationError`, as Swift's own do.
public enum KithError: Error, Hashable, Sendable {
    /// An argument has the wrong shape or size; the message says which.
    case invalidArgument(String)
    /// The thing that was named does not exist.
    case notFound(String)
    /// The caller, or the member that was named, is no member of the context.
    case notMember(String)
    /// The member's role does not allow this.
    case permissionDenied(String)
    /// The application refused the call.
    case rejected(String)
    /// The invitation is damaged, or is not for this.
    case invitationInvalid(String)
    /// The invitation's time is over.
    case invitationExpired(String)
    /// The invitation's uses are used up.
    case invitationUsed(String)
    /// An admin has revoked the invitation.
    case invitationRevoked(String)
    /// No peer that could answer was reached.
    case unreachable(String)
    /// It took longer than the caller allowed.
    case timeout(String)
    /// The node, context or stream has been closed.
    case closed(String)
    /// Somebody else holds what is needed (another process has the directory), or a queue is full.
    case busy(String)
    /// The store failed; the message has the cause.
    case storage(String)
    /// Stored data does not verify.
    case corrupt(String)
    /// Two sides, or the store and this library, do not speak the same version.
    case versionMismatch(String)
    /// This version cannot do that.
    case unsupported(String)
    /// A member has signed two histories.
    case equivocation(String)
    /// The caller cancelled.
    case cancelled(String)
    /// Applying stands still after a local fault; the message has the cause.
    case blocked(String)
    /// No space is left where the store lives.
    case storageFull(String)
    /// The store is sealed and the key is missing or wrong.
    case keyRequired(String)
    /// A limit was passed; the message says which.
    case limitExceeded(String)
    /// The cursor is older than what is kept.
    case cursorExpired(String)
    /// The host has not registered the application of this context.
    case applicationMissing(String)
    /// A defect in Kith.
    case `internal`(String)

    /// The kinds of failure: the same names and numbers in every language.
    public enum Kind: UInt32, CaseIterable, Sendable {
        /// Of ``KithError/invalidArgument(_:)``.
        case invalidArgument = 1
        /// Of ``KithError/notFound(_:)``.
        case notFound
        /// Of ``KithError/notMember(_:)``.
        case notMember
        /// Of ``KithError/permissionDenied(_:)``.
        case permissionDenied
        /// Of ``KithError/rejected(_:)``.
        case rejected
        /// Of ``KithError/invitationInvalid(_:)``.
        case invitationInvalid
        /// Of ``KithError/invitationExpired(_:)``.
        case invitationExpired
        /// Of ``KithError/invitationUsed(_:)``.
        case invitationUsed
        /// Of ``KithError/invitationRevoked(_:)``.
        case invitationRevoked
        /// Of ``KithError/unreachable(_:)``.
        case unreachable
        /// Of ``KithError/timeout(_:)``.
        case timeout
        /// Of ``KithError/closed(_:)``.
        case closed
        /// Of ``KithError/busy(_:)``.
        case busy
        /// Of ``KithError/storage(_:)``.
        case storage
        /// Of ``KithError/corrupt(_:)``.
        case corrupt
        /// Of ``KithError/versionMismatch(_:)``.
        case versionMismatch
        /// Of ``KithError/unsupported(_:)``.
        case unsupported
        /// Of ``KithError/equivocation(_:)``.
        case equivocation
        /// Of ``KithError/cancelled(_:)``.
        case cancelled
        /// Of ``KithError/blocked(_:)``.
        case blocked
        /// Of ``KithError/storageFull(_:)``.
        case storageFull
        /// Of ``KithError/keyRequired(_:)``.
        case keyRequired
        /// Of ``KithError/limitExceeded(_:)``.
        case limitExceeded
        /// Of ``KithError/cursorExpired(_:)``.
        case cursorExpired
        /// Of ``KithError/applicationMissing(_:)``.
        case applicationMissing
        /// Of ``KithError/internal(_:)``.
        case `internal`
    }

    /// An error of a kind.
    public init(_ kind: Kind, _ message: String) {
        switch kind {
        case .invalidArgument: self = .invalidArgument(message)
        case .notFound: self = .notFound(message)
        case .notMember: self = .notMember(message)
        case .permissionDenied: self = .permissionDenied(message)
        case .rejected: self = .rejected(message)
        case .invitationInvalid: self = .invitationInvalid(message)
        case .invitationExpired: self = .invitationExpired(message)
        case .invitationUsed: self = .invitationUsed(message)
        case .invitationRevoked: self = .invitationRevoked(message)
        case .unreachable: self = .unreachable(message)
        case .timeout: self = .timeout(message)
        case .closed: self = .closed(message)
        case .busy: self = .busy(message)
        case .storage: self = .storage(message)
        case .corrupt: self = .corrupt(message)
        case .versionMismatch: self = .versionMismatch(message)
        case .unsupported: self = .unsupported(message)
        case .equivocation: self = .equivocation(message)
        case .cancelled: self = .cancelled(message)
        case .blocked: self = .blocked(message)
        case .storageFull: self = .storageFull(message)
        case .keyRequired: self = .keyRequired(message)
        case .limitExceeded: self = .limitExceeded(message)
        case .cursorExpired: self = .cursorExpired(message)
        case .applicationMissing: self = .applicationMissing(message)
        case .internal: self = .internal(message)
        }
    }

    /// Which kind of failure it is, for switches that do not care for the message.
    public var kind: Kind { parts.0 }

    /// What went wrong, in words.
    public var message: String { parts.1 }

    private var parts: (Kind, String) {
        switch self {
        case .invalidArgument(let message): (.invalidArgument, message)
        case .notFound(let message): (.notFound, message)
        case .notMember(let message): (.notMember, message)
        case .permissionDenied(let message): (.permissionDenied, message)
        case .rejected(let message): (.rejected, message)
        case .invitationInvalid(let message): (.invitationInvalid, message)
        case .invitationExpired(let message): (.invitationExpired, message)
        case .invitationUsed(let message): (.invitationUsed, message)
        case .invitationRevoked(let message): (.invitationRevoked, message)
        case .unreachable(let message): (.unreachable, message)
        case .timeout(let message): (.timeout, message)
        case .closed(let message): (.closed, message)
        case .busy(let message): (.busy, message)
        case .storage(let message): (.storage, message)
        case .corrupt(let message): (.corrupt, message)
        case .versionMismatch(let message): (.versionMismatch, message)
        case .unsupported(let message): (.unsupported, message)
        case .equivocation(let message): (.equivocation, message)
        case .cancelled(let message): (.cancelled, message)
        case .blocked(let message): (.blocked, message)
        case .storageFull(let message): (.storageFull, message)
        case .keyRequired(let message): (.keyRequired, message)
        case .limitExceeded(let message): (.limitExceeded, message)
        case .cursorExpired(let message): (.cursorExpired, message)
        case .applicationMissing(let message): (.applicationMissing, message)
        case .internal(let message): (.internal, message)
        }
    }
}

extension KithError: LocalizedError, CustomStringConvertible {
    /// The kind and the message, for people: "Permission denied: only admins invite".
    public var errorDescription: String? { description }

    /// The kind and the message, for people.
    public var description: String { message.isEmpty ? kind.title : "\(kind.title): \(message)" }
}

extension KithError.Kind {
    /// The kind's name in words: "Permission denied".
    public var title: String {
        var words = ""
        for character in "\(self)" {
            if character.isUppercase {
                words += " "
            }
            words += words.isEmpty ? character.uppercased() : character.lowercased()
        }
        return words
    }
}

extension KithError {
    /// The error for what the generated module threw; what is not from the library stays as it is.
    package static func from(_ error: any Error) -> any Error {
        switch error {
        case let failure as Failure:
            switch failure {
            case .Failed(let kind, let message):
                return KithError(Kind(rawValue: kind) ?? .internal, message)
            }
        case let failure as ApplicationFailure:
            switch failure {
            case .Rejected(let message): return KithError.rejected(message)
            case .Fault(let message): return KithError.storage(message)
            }
        case is KithError, is CancellationError:
            return error
        default: // a panic in the library, say, whose words the generated module has
            return KithError.internal((error as? any LocalizedError)?.errorDescription ?? "\(error)")
        }
    }
}

/// Which callback of the library the current code is in: what needs the library's answer would wait for itself there. Tasks that a
/// callback starts inherit it; detached ones do not.
package enum Callback {
    @TaskLocal package static var name: String?

    static func refuse() throws {
        if let name {
            throw KithError.unsupported("this may not be called from inside \(name)")
        }
    }
}

/// Calls the generated module, with its failures turned into `KithError`.
package func translated<T>(_ body: () throws -> T) throws -> T {
    try Callback.refuse()
    do {
        return try body()
    } catch {
        throw KithError.from(error)
    }
}

/// Calls the generated module, with its failures turned into `KithError`.
package func translated<T: Sendable>(_ body: () async throws -> T) async throws -> T {
    try Callback.refuse()
    do {
        return try await body()
    } catch {
        throw KithError.from(error)
    }
}
