//! Where each part of the node's API stands in each border, and what is not there for a reason.

use super::Kind;

/// A declaration of Rust, and where its items stand in the borders.
#[derive(Clone, Copy)]
pub(super) struct Group {
    /// What it is called in the table.
    pub(super) name: &'static str,
    /// Below `core/src`.
    pub(super) source: &'static str,
    pub(super) declaration: &'static str,
    pub(super) kind: Kind,
    /// C, Python, Kotlin, Swift.
    pub(super) places: [Place; 4],
}

/// Where items stand in a border.
#[derive(Clone, Copy)]
pub(super) struct Place {
    /// How the declaration begins; empty: anywhere.
    pub(super) anchor: &'static str,
    /// One of these has to stand there.
    pub(super) templates: &'static [&'static str],
}

/// An item that a border spells otherwise, or does not have.
pub(super) struct Exception {
    pub(super) item: &'static str,
    /// The names of the borders.
    pub(super) borders: &'static str,
    /// What stands anywhere in its source instead; none: it is not there.
    pub(super) spelled: Option<&'static str>,
    pub(super) why: &'static str,
}

const fn at(anchor: &'static str, templates: &'static [&'static str]) -> Place {
    Place { anchor, templates }
}

const C_FIELD: &[&str] = &["pub {snake}:"];
const JSON: &[&str] = &["{snake}"];
const FIELD: &[&str] = &["{snake}:"];
const KOTLIN: &[&str] = &["{camel}:"];
const SWIFT: &[&str] = &["{camel}:", "is{Pascal}:"];
const CALL: &[&str] = &["def {snake}("];
const KOTLIN_CALL: &[&str] = &["fun {camel}(", "val {camel}:"];
const SWIFT_CALL: &[&str] = &["func {camel}(", "var {camel}:"];
const NAME: &[&str] = &["{UPPER} ="];
const KOTLIN_NAME: &[&str] = &["{UPPER}"];
const CASE: &[&str] = &["case {camel}", "case `{camel}`"];

pub(super) const GROUPS: &[Group] = &[
    Group {
        name: "Node",
        source: "node/mod.rs",
        declaration: "impl Node {",
        kind: Kind::Functions,
        places: [
            at("", &["fn kith_node_{snake}("]),
            at("class Node:", CALL),
            at("public class Node ", KOTLIN_CALL),
            at("public final class Node:", SWIFT_CALL),
        ],
    },
    Group {
        name: "Context",
        source: "node/context.rs",
        declaration: "impl Context {",
        kind: Kind::Functions,
        places: [
            at("", &["fn kith_context_{snake}("]),
            at("class Context:", CALL),
            at("public class Context ", KOTLIN_CALL),
            at("public final class Context:", SWIFT_CALL),
        ],
    },
    Group {
        name: "Events",
        source: "node/events.rs",
        declaration: "impl Events {",
        kind: Kind::Functions,
        places: [
            at("", &["fn kith_events_{snake}("]),
            at("class Events(", CALL),
            at("public class Events ", KOTLIN_CALL),
            at("public final class Events:", SWIFT_CALL),
        ],
    },
    Group {
        name: "Options",
        source: "node/options.rs",
        declaration: "pub struct Options {",
        kind: Kind::Fields,
        places: [
            at("pub struct kith_node_options {", C_FIELD),
            at("    async def open(", FIELD),
            at("public class NodeOptions {", KOTLIN),
            at("public struct Configuration:", SWIFT),
        ],
    },
    Group {
        name: "CreateOptions",
        source: "node/options.rs",
        declaration: "pub struct CreateOptions {",
        kind: Kind::Fields,
        places: [
            at("pub struct kith_create_options {", C_FIELD),
            at("", FIELD),
            at("public suspend fun createContext(", KOTLIN),
            at("public func createContext(", SWIFT),
        ],
    },
    Group {
        name: "Encryption",
        source: "node/options.rs",
        declaration: "pub enum Encryption {",
        kind: Kind::Variants,
        places: [
            at("", &["pub const KITH_ENCRYPTION_{UPPER}:"]),
            at("Encryption = Literal[", &["\"{snake}\""]),
            at("public enum class Encryption ", KOTLIN_NAME),
            at("public enum Encryption:", CASE),
        ],
    },
    Group {
        name: "ImportOptions",
        source: "storage/export.rs",
        declaration: "pub struct ImportOptions {",
        kind: Kind::Fields,
        places: [
            at("pub struct kith_import_options {", C_FIELD),
            at("    async def import_from(", FIELD),
            at("public suspend fun importFrom(", KOTLIN),
            at("public static func `import`(", SWIFT),
        ],
    },
    Group {
        name: "Exported",
        source: "storage/export.rs",
        declaration: "pub struct Exported {",
        kind: Kind::Fields,
        places: [
            at("pub struct kith_exported {", C_FIELD),
            at("class Exported:", FIELD),
            at("public data class Exported(", KOTLIN),
            at("public struct Exported:", SWIFT),
        ],
    },
    Group {
        name: "InviteOptions",
        source: "node/options.rs",
        declaration: "pub struct InviteOptions {",
        kind: Kind::Fields,
        places: [
            at("pub struct kith_invite_options {", C_FIELD),
            at("    async def invite(", FIELD),
            at("public suspend fun invite(", KOTLIN),
            at("public func invite(", SWIFT),
        ],
    },
    Group {
        name: "JoinOptions",
        source: "node/options.rs",
        declaration: "pub struct JoinOptions {",
        kind: Kind::Fields,
        places: [
            at("pub struct kith_join_options {", C_FIELD),
            at("    async def join(", FIELD),
            at("public suspend fun join(", KOTLIN),
            at("public func join(", SWIFT),
        ],
    },
    Group {
        name: "Durability",
        source: "node/options.rs",
        declaration: "pub enum Durability {",
        kind: Kind::Variants,
        places: [
            at("", &["pub const KITH_DURABLE_{UPPER}:"]),
            at("    async def open(", &["\"{snake}\""]),
            at("public enum class Durability ", KOTLIN_NAME),
            at("public enum Durability:", CASE),
        ],
    },
    Group {
        name: "StorageEngine",
        source: "storage/engine_name.rs",
        declaration: "pub enum StorageEngine {",
        kind: Kind::Variants,
        places: [
            at("", &["pub const KITH_ENGINE_{UPPER}:"]),
            at("    async def open(", &["\"{snake}\""]),
            at("public enum class StorageEngine ", KOTLIN_NAME),
            at("public enum StorageEngine:", CASE),
        ],
    },
    Group {
        name: "Level",
        source: "node/info.rs",
        declaration: "pub enum Level {",
        kind: Kind::Variants,
        places: [
            at("", &["pub const KITH_{UPPER}:"]),
            at("class Level(", NAME),
            at("public enum class Level ", KOTLIN_NAME),
            at("public enum Level:", CASE),
        ],
    },
    Group {
        name: "InvitationInfo",
        source: "node/info.rs",
        declaration: "pub struct InvitationInfo {",
        kind: Kind::Fields,
        places: [
            at("pub struct kith_invitation_info {", C_FIELD),
            at("class InvitationInfo:", FIELD),
            at("public data class InvitationInfo(", KOTLIN),
            at("public struct InvitationInfo:", SWIFT),
        ],
    },
    Group {
        name: "IssuedInvitation",
        source: "node/info.rs",
        declaration: "pub struct IssuedInvitation {",
        kind: Kind::Fields,
        places: [
            at("pub struct kith_invitation {", C_FIELD),
            at("class IssuedInvitation:", FIELD),
            at("public data class IssuedInvitation(", KOTLIN),
            at("public struct IssuedInvitation:", SWIFT),
        ],
    },
    Group {
        name: "ContextInfo",
        source: "node/info.rs",
        declaration: "pub struct ContextInfo {",
        kind: Kind::Fields,
        places: [
            at("pub struct kith_context_info {", C_FIELD),
            at("class ContextInfo:", FIELD),
            at("public data class ContextInfo(", KOTLIN),
            at("public struct ContextInfo:", SWIFT),
        ],
    },
    Group {
        name: "MemberInfo",
        source: "node/info.rs",
        declaration: "pub struct MemberInfo {",
        kind: Kind::Fields,
        places: [
            at("pub struct kith_member {", C_FIELD),
            at("class Member:", FIELD),
            at("public data class Member(", KOTLIN),
            at("public struct Member:", SWIFT),
        ],
    },
    Group {
        name: "TransactionInfo",
        source: "node/info.rs",
        declaration: "pub struct TransactionInfo {",
        kind: Kind::Fields,
        places: [
            at("pub struct kith_transaction {", C_FIELD),
            at("class Transaction:", FIELD),
            at("public class Transaction ", KOTLIN),
            at("public struct TransactionInfo:", SWIFT),
        ],
    },
    Group {
        name: "Receipt",
        source: "replica/receipt.rs",
        declaration: "pub struct Receipt {",
        kind: Kind::Fields,
        places: [
            at("pub struct kith_transaction {", C_FIELD),
            at("class Transaction:", FIELD),
            at("public class Transaction ", KOTLIN),
            at("public struct TransactionInfo:", SWIFT),
        ],
    },
    Group {
        name: "Explanation",
        source: "node/info.rs",
        declaration: "pub struct Explanation {",
        kind: Kind::Fields,
        places: [
            at("pub struct kith_explanation {", C_FIELD),
            at("class Explanation:", FIELD),
            at("public class Explanation ", KOTLIN),
            at("public struct Explanation:", SWIFT),
        ],
    },
    Group {
        name: "Written",
        source: "replica/explaining.rs",
        declaration: "pub enum Written {",
        kind: Kind::Variants,
        places: [
            at("", &["pub const KITH_WRITTEN_{UPPER}:"]),
            at("class Written(", NAME),
            at("public enum class Written ", KOTLIN_NAME),
            at("public enum Written:", CASE),
        ],
    },
    Group {
        name: "Verification",
        source: "replica/verify.rs",
        declaration: "pub struct Verification {",
        kind: Kind::Fields,
        places: [
            at("pub struct kith_verification {", C_FIELD),
            at("class Verification:", FIELD),
            at("public class Verification ", KOTLIN),
            at("public struct Verification:", SWIFT),
        ],
    },
    Group {
        name: "Difference",
        source: "replica/verify.rs",
        declaration: "pub struct Difference {",
        kind: Kind::Fields,
        places: [
            at("pub struct kith_verification {", C_FIELD),
            at("class Difference:", FIELD),
            at("public class Difference ", KOTLIN),
            at("public struct Difference:", SWIFT),
        ],
    },
    Group {
        name: "Part",
        source: "replica/verify.rs",
        declaration: "pub enum Part {",
        kind: Kind::Variants,
        places: [
            at("", &["pub const KITH_PART_{UPPER}:"]),
            at("class Part(", NAME),
            at("public enum class Part ", KOTLIN_NAME),
            at("public enum Part:", CASE),
        ],
    },
    Group {
        name: "Executed",
        source: "node/info.rs",
        declaration: "pub struct Executed {",
        kind: Kind::Fields,
        places: [
            at("fn kith_context_execute(", FIELD),
            at("class Receipt:", FIELD),
            at("public class Receipt ", KOTLIN),
            at("public struct Receipt:", SWIFT),
        ],
    },
    Group {
        name: "Entry",
        source: "node/info.rs",
        declaration: "pub struct Entry {",
        kind: Kind::Fields,
        places: [
            at("fn kith_entries_at(", FIELD),
            at("class Entry:", FIELD),
            at("public class Entry ", KOTLIN),
            at("public struct Entry:", SWIFT),
        ],
    },
    Group {
        name: "NodeStatus",
        source: "node/info.rs",
        declaration: "pub struct NodeStatus {",
        kind: Kind::Fields,
        places: [
            at("/// How it stands with the node and the peers it knows", JSON),
            at("class NodeStatus:", FIELD),
            at("public data class NodeStatus(", KOTLIN),
            at("public struct NodeStatus:", SWIFT),
        ],
    },
    Group {
        name: "SyncReport",
        source: "node/info.rs",
        declaration: "pub struct SyncReport {",
        kind: Kind::Fields,
        places: [
            at("fn kith_node_sync_once(", FIELD),
            at("class SyncReport:", FIELD),
            at("public data class SyncReport(", KOTLIN),
            at("public struct SyncReport:", SWIFT),
        ],
    },
    Group {
        name: "PeerInfo",
        source: "node/info.rs",
        declaration: "pub struct PeerInfo {",
        kind: Kind::Fields,
        places: [
            at("/// How it stands with the node and the peers it knows", JSON),
            at("class Peer:", FIELD),
            at("public data class Peer(", KOTLIN),
            at("public struct Peer:", SWIFT),
        ],
    },
    Group {
        name: "RelayInfo",
        source: "node/info.rs",
        declaration: "pub struct RelayInfo {",
        kind: Kind::Fields,
        places: [
            at("/// How it stands with the node and the peers it knows", JSON),
            at("class Relay:", FIELD),
            at("public data class Relay(", KOTLIN),
            at("public struct Relay:", SWIFT),
        ],
    },
    Group {
        name: "Strangers",
        source: "node/info.rs",
        declaration: "pub struct Strangers {",
        kind: Kind::Fields,
        places: [
            at("/// How it stands with the node and the peers it knows", JSON),
            at("class Strangers:", FIELD),
            at("public data class Strangers(", KOTLIN),
            at("public struct Strangers:", SWIFT),
        ],
    },
    Group {
        name: "ContextSecurity",
        source: "node/info.rs",
        declaration: "pub struct ContextSecurity {",
        kind: Kind::Fields,
        places: [
            at("pub struct kith_security {", C_FIELD),
            at("class ContextSecurity:", FIELD),
            at("public data class ContextSecurity(", KOTLIN),
            at("public struct ContextSecurity:", SWIFT),
        ],
    },
    Group {
        name: "ContextStatus",
        source: "node/info.rs",
        declaration: "pub struct ContextStatus {",
        kind: Kind::Fields,
        places: [
            at("/// How it stands with the context, as a JSON", JSON),
            at("class ContextStatus:", FIELD),
            at("public data class ContextStatus(", KOTLIN),
            at("public struct ContextStatus:", SWIFT),
        ],
    },
    Group {
        name: "ContextPeer",
        source: "node/info.rs",
        declaration: "pub struct ContextPeer {",
        kind: Kind::Fields,
        places: [
            at("/// How it stands with the context, as a JSON", JSON),
            at("class ContextPeer:", FIELD),
            at("public data class ContextPeer(", KOTLIN),
            at("public struct ContextPeer:", SWIFT),
        ],
    },
    Group {
        name: "Event",
        source: "node/events.rs",
        declaration: "pub enum Event {",
        kind: Kind::Variants,
        places: [
            at("", &["pub const KITH_EVENT_{UPPER}:"]),
            at("", &["class {Pascal}(Event)"]),
            at("public sealed interface Event {", &["class {Pascal}(", "class {Pascal} "]),
            at("public enum Kind: Hashable", CASE),
        ],
    },
    Group {
        name: "ErrorKind",
        source: "error.rs",
        declaration: "pub enum ErrorKind {",
        kind: Kind::Variants,
        places: [
            at("pub enum kith_status {", &["KITH_{UPPER} ="]),
            at("class ErrorKind(", NAME),
            at("public enum class ErrorKind(", KOTLIN_NAME),
            at("public enum KithError:", CASE),
        ],
    },
    Group {
        name: "Hub",
        source: "network/memory.rs",
        declaration: "impl Hub {",
        kind: Kind::Functions,
        places: [
            at("", &["fn kith_hub_{snake}("]),
            at("class Hub:", CALL),
            at("public class Hub ", KOTLIN_CALL),
            at("public final class Hub:", SWIFT_CALL),
        ],
    },
    Group {
        name: "Invitation",
        source: "invitation.rs",
        declaration: "impl Invitation {",
        kind: Kind::Functions,
        places: [
            at("", &["fn kith_invitation_{snake}("]),
            at("class Invitation(", CALL),
            at("public class Invitation ", KOTLIN_CALL),
            at("public struct Invitation:", SWIFT_CALL),
        ],
    },
];

/// A border's own spelling, where it is no plain translation.
const fn spelled(
    item: &'static str,
    borders: &'static str,
    spelled: &'static str,
    why: &'static str,
) -> Exception {
    Exception { item, borders, spelled: Some(spelled), why }
}

/// What is not there for a reason.
const fn none(item: &'static str, borders: &'static str, why: &'static str) -> Exception {
    Exception { item, borders, spelled: None, why }
}

const ALL: &str = "C Python Kotlin Swift";

pub(super) const EXCEPTIONS: &[Exception] = &[
    none("Options::cache", ALL, "for measuring; what an engine takes by itself is within the goals"),
    none("Events::at_hand", ALL, "`next` gives them; there, several cross the border at a time"),
    none("Events::next_blocking", "Python Kotlin Swift", "`next` is awaited"),
    spelled("Events::next_blocking", "C", "fn kith_events_next(", "it blocks"),
    spelled("Context::get_blocking", "C", "fn kith_context_get(", "it blocks"),
    spelled("Context::get_blocking", "Python", "def _get_blocking(", "`get` of kith.sync"),
    spelled("Context::get_blocking", "Kotlin", "getBlocking(", "`get` of BlockingContext"),
    none("Context::get_blocking", "Swift", "`get` is awaited"),
    spelled("Context::entries_blocking", "C", "fn kith_context_entries(", "it blocks"),
    spelled("Context::entries_blocking", "Python", "def _entries_blocking(", "`entries` of kith.sync"),
    spelled("Context::entries_blocking", "Kotlin", "entriesBlocking(", "`entries` of BlockingContext"),
    none("Context::entries_blocking", "Swift", "`entries` is awaited"),
    spelled("Options::path", "C", "fn kith_node_open(", "its first argument"),
    spelled("Options::transport", "C", "pub hub:", "for tests"),
    spelled("Options::transport", "Python", "_hub:", "of kith.testing"),
    spelled("Options::transport", "Kotlin", "var hub:", "of org.kith.testing"),
    spelled("Options::transport", "Swift", "var hub:", "of KithTesting"),
    none("Options::engine", ALL, "for the node's own tests"),
    none("Options::clock", ALL, "for the node's own tests"),
    spelled("JoinOptions::timeout", "C", "pub timeout_ms:", "with its unit"),
    spelled("ContextStatus::unopened", "C", "fn kith_context_status(", "in its JSON"),
    spelled("InvitationInfo::addresses", "C", "fn kith_invitation_addresses(", "of any length"),
    spelled("TransactionInfo::method", "C", "fn kith_receipt_method(", "of any length"),
    spelled("TransactionInfo::arguments", "C", "fn kith_receipt_arguments(", "of any length"),
    spelled("TransactionInfo::receipt", "C", "fn kith_context_receipt(", "of any length"),
    spelled("Node::change_storage_key", "Swift", "func changeStorageKey(", "in an extension"),
    spelled("Node::export", "Swift", "func export(", "in an extension"),
    spelled("NodeStatus::key_file", "Swift", "hasKeyFile:", "as Swift asks"),
    spelled("Encryption::XWing", "Python", "\"xwing\"", "as its configuration in Rust says it"),
    spelled("ImportOptions::engine", ALL, "storage:", "as when a node is opened"),
    spelled("ImportOptions::key", "C", "pub storage_key:", "as when a node is opened"),
    spelled("ImportOptions::key", "Python", "storage_key:", "as when a node is opened"),
    spelled("ImportOptions::key", "Kotlin Swift", "storageKey:", "as when a node is opened"),
    spelled("TransactionInfo::receipt", "Python Kotlin Swift", "outcome:", "what is in it stands beside it"),
    spelled("Receipt::emitted", "C", "fn kith_receipt_emitted_at(", "of any length"),
    spelled("Explanation::value", ALL, "written:", "named after what it is"),
    spelled("Verification::difference", "C", "pub part:", "what is in it stands beside it"),
    spelled("Executed::output", "C", "answer:", "as in kith_call_answer"),
    spelled("Hub::new", "Python", "class Hub:", "its constructor"),
    spelled("Hub::new", "Kotlin", "class Hub", "its constructor"),
    spelled("Hub::new", "Swift", "class Hub:", "its constructor"),
    none("Hub::join", ALL, "the node does it"),
    none("Hub::cut", ALL, "for the node's own tests"),
    none("Hub::hold", ALL, "for the node's own tests"),
    none("Hub::release", ALL, "for the node's own tests"),
    none("Hub::delay", ALL, "for the node's own tests"),
    none("Invitation::sign", ALL, "`invite` does it"),
    none("Invitation::key", ALL, "the node's own affair"),
    spelled("Invitation::to_bytes", "Python", "data: bytes", "a property"),
    spelled("Invitation::to_bytes", "Kotlin", "fun toByteArray(", "Kotlin's word"),
    spelled("Invitation::to_bytes", "Swift", "let data: Data", "a property"),
    spelled("Invitation::from_bytes", "Python", "def invitation(", "takes both"),
    spelled("Invitation::from_bytes", "Kotlin", "fun invitation(", "takes both"),
    spelled("Invitation::from_bytes", "Swift", "init(data:", "an initialiser"),
    spelled("Invitation::to_text", "C", "fn kith_context_invite(", "C has no other"),
    spelled("Invitation::to_text", "Python", "class Invitation(str)", "it is one"),
    spelled("Invitation::to_text", "Kotlin", "val text:", "a property"),
    spelled("Invitation::to_text", "Swift", "let text:", "a property"),
    spelled("Invitation::from_text", "C", "fn kith_node_inspect(", "C has no other"),
    spelled("Invitation::from_text", "Python", "def invitation(", "takes both"),
    spelled("Invitation::from_text", "Kotlin", "fun invitation(", "takes both"),
    spelled("Invitation::from_text", "Swift", "init(_ text: String)", "an initialiser"),
];

/// What came to the node last and is to come to the borders next: the table says "not yet", and a border that has it may say so. To be empty
/// when a version is released.
pub(super) const NOT_YET: &[&str] = &[];
