import Foundation
package import KithNative

/// What a member may do.
public enum Role: String, Hashable, Sendable, CaseIterable {
    /// Writes, invites, removes, and gives roles.
    case admin
    /// Writes.
    case writer
    /// Reads.
    case reader

    init(native name: String) throws {
        guard let role = Role(rawValue: name) else {
            throw KithError.internal("the library names a role `\(name)`")
        }
        self = role
    }
}

/// Which state is read.
public enum Level: Hashable, Sendable {
    /// With everything that is known, in an order that may still move.
    case tentative
    /// Only what never changes again. `KithError.unsupported` until finality is there.
    case final
}

/// Whether what was acknowledged survives the loss of power, or only the death of the process.
public enum Durability: String, Hashable, Sendable {
    /// The loss of power.
    case power
    /// The death of the process.
    case process
}

/// The engine that keeps a node's directory.
public enum StorageEngine: String, Hashable, Sendable {
    /// The one that the directory has; for a new one redb.
    case auto
    /// sled.
    case sled
    /// redb.
    case redb
}

/// An invitation, to be handed to who shall join.
public struct Invitation: Hashable, Sendable, CustomStringConvertible {
    /// As text: `kith1…`.
    public let text: String
    /// As bytes: shorter, and as good.
    public let data: Data
    /// Names the invitation; for `Context.revoke(_:)`.
    public let id: Data

    /// An invitation from its text; `KithError.invitationInvalid` if it is damaged.
    public init(_ text: String) throws {
        self = try translated { Invitation(native: try readInvitation(text: text, bytes: Data())) }
    }

    /// An invitation from its bytes; `KithError.invitationInvalid` if it is damaged.
    public init(data: Data) throws {
        self = try translated { Invitation(native: try readInvitation(text: nil, bytes: data)) }
    }

    init(native: KithNative.Invitation) {
        (text, data, id) = (native.text, native.bytes, native.id)
    }

    /// The text.
    public var description: String { text }

    /// The invitation as a QR code for a terminal: lines of half blocks, to be shown light on dark.
    public func qrText() throws -> String {
        try translated { try KithNative.qrText(token: text) }
    }
}

/// What an invitation says.
public struct InvitationInfo: Hashable, Sendable {
    /// The id of the context.
    public let context: Data
    /// The name of its application.
    public let application: String
    /// The member that invites.
    public let inviter: Data
    /// What who joins will be.
    public let role: Role
    /// `nil`: never.
    public let expiresAt: Date?
    /// For people.
    public let note: String
    /// Where the context's peers may be reached.
    public let addresses: [String]
    /// Whether this node is a member of the context already.
    public let isMember: Bool

    init(native: KithNative.InvitationInfo) throws {
        (context, application, inviter) = (native.context, native.application, native.inviter)
        role = try Role(native: native.role)
        expiresAt = native.expiresAt.map(date)
        (note, addresses, isMember) = (native.note, native.addresses, native.member)
    }
}

/// An invitation of a context, as its members see it.
public struct IssuedInvitation: Hashable, Sendable, Identifiable {
    /// Names the invitation; for `Context.revoke(_:)`.
    public let id: Data
    /// The member that invites.
    public let inviter: Data
    /// What who joins will be.
    public let role: Role
    /// `nil`: never.
    public let expiresAt: Date?
    /// How often it may be used.
    public let maxUses: Int
    /// How often it has been used.
    public let uses: Int
    /// Whether it has been taken back.
    public let isRevoked: Bool
    /// For people.
    public let note: String

    init(native: KithNative.IssuedInvitation) throws {
        (id, inviter) = (native.id, native.inviter)
        role = try Role(native: native.role)
        expiresAt = native.expiresAt.map(date)
        (maxUses, uses) = (Int(native.maxUses), Int(native.uses))
        (isRevoked, note) = (native.revoked, native.note)
    }
}

/// A context that a node holds.
public struct ContextInfo: Hashable, Sendable, Identifiable {
    /// The context's id: 32 bytes.
    public let id: Data
    /// What it is called.
    public let name: String
    /// The name of its application.
    public let application: String
    /// Whether joining it has not come to its end.
    public let isJoining: Bool

    init(native: KithNative.ContextInfo) {
        (id, name, application, isJoining) = (native.id, native.name, native.application, native.joining)
    }
}

/// A member of a context.
public struct Member: Hashable, Sendable, Identifiable {
    /// The member's id: 32 bytes.
    public let id: Data
    /// What it may do.
    public let role: Role
    /// The transaction that added it.
    public let added: Data
    /// What it calls itself; empty: nothing. Nobody vouches for it: two members may have the same.
    public let name: String

    init(native: KithNative.MemberInfo) throws {
        (id, role) = (native.id, try Role(native: native.role))
        (added, name) = (native.added, native.name)
    }
}

/// The answer to a call.
public struct Receipt: Hashable, Sendable {
    /// The transaction that carries the call: 32 bytes.
    public let transaction: Data
    /// The application's answer, at the tentative place.
    public let output: Data
}

/// An entry of the state.
public struct Entry: Hashable, Sendable {
    /// Its name.
    public let key: StateKey
    /// Its value.
    public let value: Data

    package init(native: KithNative.Entry) {
        (key, value) = (StateKey(native: native.key), native.value)
    }
}

/// How it stands with a transaction.
public struct TransactionInfo: Hashable, Sendable, Identifiable {
    /// What a transaction did at its place.
    public enum Outcome: Hashable, Sendable {
        /// It has not been executed here.
        case pending
        /// It counts; the application's answer.
        case accepted(Data)
        /// It does nothing; why.
        case rejected(String)
    }

    /// The transaction's id: 32 bytes.
    public let id: Data
    /// The member that made it.
    public let author: Data
    /// Its number in its author's chain.
    public let sequence: UInt64
    /// Its place in the order: 48 bytes that sort like places. Tentative until something is final.
    public let place: Data
    /// The author's clock.
    public let timestamp: Date
    /// The number of its kind.
    public let kind: UInt8
    /// Of a call: its method.
    public let method: String?
    /// Of a call: its arguments.
    public let arguments: Data
    /// What it did.
    public let outcome: Outcome
    /// What the application emitted, in order.
    public let emitted: [Message]

    init(native: KithNative.TransactionInfo) {
        (id, author, sequence, place) = (native.id, native.author, native.sequence, native.place)
        (timestamp, kind) = (date(native.timestamp), native.kind)
        (method, arguments) = (native.method, native.arguments)
        emitted = native.emitted.map(Message.init(native:))
        if !native.executed {
            outcome = .pending
        } else if let reason = native.rejection {
            outcome = .rejected(reason)
        } else {
            outcome = .accepted(native.output ?? Data())
        }
    }
}

/// Something that an application said to the hosts of all members.
public struct Message: Hashable, Sendable {
    /// Its name.
    public let name: String
    /// What it says.
    public let data: Data

    init(native: KithNative.Message) {
        (name, data) = (native.name, native.data)
    }
}
