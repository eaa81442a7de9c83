import Foundation
internal import KithNative

/// What a directory, or an export, is sealed under. It prints nothing of the key.
public struct StorageKey: Hashable, Sendable, CustomStringConvertible, CustomReflectable {
    private enum Secret: Hashable {
        case key(Data)
        case passphrase(String)
    }

    private let secret: Secret

    private init(_ secret: Secret) {
        self.secret = secret
    }

    /// 32 random bytes that the host keeps, in the system's keychain.
    public static func key(_ bytes: Data) -> StorageKey { StorageKey(.key(bytes)) }

    /// A passphrase of 1 to 1,024 bytes of UTF-8, from which the key is worked out: some tenths of a second.
    ///
    /// What people type should be normalised (`precomposedStringWithCanonicalMapping`).
    public static func passphrase(_ text: String) -> StorageKey { StorageKey(.passphrase(text)) }

    /// Nothing of the key.
    public var description: String { "StorageKey(…)" }

    /// Nothing of the key.
    public var customMirror: Mirror { Mirror(self, children: []) }

    var native: KithNative.StorageKey {
        switch secret {
        case .key(let bytes): .key(bytes: bytes)
        case .passphrase(let text): .passphrase(text: text)
        }
    }
}

/// What was exported, or imported.
public struct Exported: Hashable, Sendable {
    /// How many records there are.
    public let records: Int
    /// How many bytes they have, keys and values.
    public let bytes: Int
    /// Whether it is a move (`kith-inspect … export --move`), so that what is imported signs; `false`: a backup.
    public let isMoved: Bool

    init(native: KithNative.Exported) {
        (records, bytes) = (Int(clamping: native.records), Int(clamping: native.bytes))
        isMoved = native.moved
    }
}

/// How what is written in a context is sealed, for good. Between nodes everything is encrypted by the links besides.
public enum Encryption: String, Hashable, Sendable, CaseIterable {
    /// Not at all.
    case off
    /// By a group double ratchet over X25519.
    case x25519
    /// The same over X-Wing, which also withstands quantum computers; its keys are about 13 times as large.
    case xWing = "xwing"
}

/// How it stands with a context's keys.
public struct ContextSecurity: Hashable, Sendable {
    /// How what is written is sealed.
    public let suite: Encryption
    /// Names the epoch under whose keys this member would send now; `nil`: one is made first.
    public let epoch: Data?
    /// For how long this node has known that epoch.
    public let age: Duration
    /// How many members were given its keys, this one included. The others read by shared history.
    public let membersAble: Int
    /// How many members there are.
    public let members: Int
    /// Why new keys are made before this member's next call, if they are. For people.
    public let pending: String?
    /// How many calls were sent under keys that were not to be used, by anybody.
    public let violations: Int
    /// How many calls are sealed and not opened here.
    public let unopened: Int

    init(native: KithNative.ContextSecurity) throws {
        let suites: [Encryption] = [.off, .x25519, .xWing]
        guard native.suite < suites.count else {
            throw KithError.internal("the library names a suite \(native.suite)")
        }
        (suite, epoch, age) = (suites[Int(native.suite)], native.epoch, duration(native.age))
        (membersAble, members) = (Int(clamping: native.membersAble), Int(clamping: native.members))
        pending = native.pending
        (violations, unopened) = (Int(clamping: native.violations), Int(clamping: native.unopened))
    }
}

extension Node {
    /// Seals the directory under another key, while everything goes on.
    ///
    /// At once, however much there is: only the random key that the records are sealed under is sealed anew. A crash leaves a directory that
    /// the old key opens, or the new one; when this has returned only the new one does, and a key file is gone. `KithError.unsupported` for a
    /// node without a directory. Cancelling lets it finish in the background.
    ///
    /// Who has a copy of the directory from before and the old key reads that copy, and with the random key in it later ones: after a theft
    /// of both, export the directory and import it into a new one.
    public func changeStorageKey(to key: StorageKey) async throws {
        try await translated { try await native.changeStorageKey(key: key.native) }
    }

    /// Exports everything to a new file that only its owner can read, sealed under a key.
    ///
    /// A backup, while the node goes on; with sled changes wait meanwhile. ``import(from:sealedUnder:to:storage:storageKey:adopt:)`` makes a directory of
    /// it, which signs nothing until its owner says that no other does. `KithError.invalidArgument` if the file is there already.
    /// Cancelling lets it finish in the background.
    @discardableResult
    public func export(to file: URL, sealedUnder key: StorageKey) async throws -> Exported {
        let path = try path(of: file)
        return Exported(native: try await translated { try await native.export(path: path, key: key.native) })
    }

    /// Makes a node's directory of an export. It is there whole or not at all.
    ///
    /// `storage` and `storageKey` are the new directory's, as in ``Configuration``. What comes of a backup is a copy (``NodeStatus/isCopied``):
    /// it reads, catches up with what was published after the backup, and signs nothing until ``adopt(_:storageKey:)``, or with `adopt` here,
    /// which is right only if nothing was written after the backup: else the member's history forks, and the others remove it.
    ///
    /// `KithError.notFound` if there is no such file, `.invalidArgument` if it is no export, or the directory is there and not empty;
    /// `.keyRequired` if it needs another key; `.corrupt` if anything of it is damaged; `.versionMismatch` if a newer version wrote it.
    /// Cancelling lets it finish in the background.
    @discardableResult
    public static func `import`(
        from file: URL, sealedUnder key: StorageKey, to directory: URL, storage: StorageEngine = .auto,
        storageKey: StorageKey? = nil, adopt: Bool = false
    ) async throws -> Exported {
        let (file, directory) = (try path(of: file), try path(of: directory))
        let done = try await translated {
            try await importNode(
                from: file, exportKey: key.native, path: directory, storage: storage.rawValue,
                storageKey: storageKey?.native, adopt: adopt)
        }
        return Exported(native: done)
    }

    /// Says that a directory is the only one that signs: one that was moved, or was made of a backup.
    ///
    /// Only its owner can know that the directory that it was made of, and every other copy, is gone for good, and that it holds what was
    /// published from there; else the member's history forks, and the others remove it. `KithError.busy` if a node has it open, `.notFound` if
    /// no node ever was there. Cancelling lets it finish in the background.
    public static func adopt(_ directory: URL, storageKey: StorageKey? = nil) async throws {
        let path = try path(of: directory)
        try await translated { try await adoptNode(path: path, storageKey: storageKey?.native) }
    }
}

private func path(of url: URL) throws -> String {
    guard url.isFileURL else {
        throw KithError.invalidArgument("\(url) is no file")
    }
    return url.path
}
