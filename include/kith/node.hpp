/**
 * @file
 * Nodes. Included by kith.hpp.
 */

#ifndef KITH_NODE_HPP
#define KITH_NODE_HPP

#ifndef KITH_HPP
#error "include kith.hpp, which includes this"
#endif

namespace kith {

class node;

/** Where nodes of this process meet without sockets. */
class hub {
public:
    hub() {
        kith_hub *raw = nullptr;
        detail::check(kith_hub_new(&raw));
        handle_.reset(raw);
    }
    /** Breaks the link between two nodes and keeps them apart until `heal`. */
    void partition(const node &one, const node &other) const;
    /** Lets two nodes meet again; they do so by themselves. */
    void heal(const node &one, const node &other) const;
    /** The handle of kith.h. */
    kith_hub *get() const noexcept { return handle_.get(); }

private:
    detail::owned<kith_hub, kith_hub_free> handle_;
};

/** What a node is opened with. */
struct node_options {
    /** Where to listen, as multiaddresses; nothing: all addresses of this machine. */
    std::optional<std::vector<std::string>> listen;
    /** Peers to connect to, as multiaddresses with /p2p/…. */
    std::vector<std::string> bootstrap;
    /** Whether to find peers in the local network, and be found. */
    bool discovery = true;
    /** KITH_DURABLE_POWER or KITH_DURABLE_PROCESS. */
    std::uint32_t durability = KITH_DURABLE_POWER;
    /** How many batches of events are kept for those who start after a cursor; 0: the library's default. */
    std::uint64_t event_retention = 0;
    /** What keeps the directory: KITH_ENGINE_AUTO, KITH_ENGINE_SLED or KITH_ENGINE_REDB. */
    std::uint32_t storage = KITH_ENGINE_AUTO;
    /** What everything in the directory is sealed under; nothing: a key file beside the store, which node::status shows. */
    std::optional<kith::storage_key> storage_key;
    /** Relays to be reached through, as multiaddresses with /p2p/…; at most 4. */
    std::vector<std::string> relays;
    /** Whether others are dialled through relays; always where `relays` are named. */
    bool through_relays = true;
    /** Whether a direct connection is tried where a link goes through a relay. */
    bool hole_punching = true;
    /** Whether peers are asked which of the node's addresses they reach (AutoNAT). */
    bool autonat = true;
    /** Whether contexts with more than 8 members gossip. */
    bool gossip = true;
    /** Not NULL: the node meets only the nodes of this hub, which has to live until the node is open. */
    const kith::hub *hub = nullptr;
};

/** What an invitation says. */
struct invitation_info {
    /** The context. */
    id context;
    /** The member who invites. */
    id inviter;
    /** The role that it gives. */
    kith::role role;
    /** Whether this node is a member already. */
    bool member;
    /** ms since 1970; 0: no end. */
    std::uint64_t expires_at;
    /** The name of the application. */
    std::string application;
    /** For people. */
    std::string note;
};

/** A context that a node holds. */
struct context_info {
    /** Its id. */
    kith::id id;
    /** Whether joining it has not come to its end. */
    bool joining;
    /** The name of its application. */
    std::string application;
    /** What it is called. */
    std::string name;
};

/** What node::sync_once came to. */
struct sync_report {
    /** How many peers are connected at its end. */
    std::size_t peers;
    /** The contexts that hold what a connected member's node holds, and nothing else is known of. */
    std::vector<id> synced;
    /** Those of which that is not known. */
    std::vector<id> behind;
};

namespace detail {
/** Ids that stand one after the other. */
inline std::vector<id> ids(bytes_view raw) {
    std::vector<id> list;
    for (std::size_t at = 0; at + 32 <= raw.size(); at += 32) {
        list.push_back(array<32>(in(raw) + at));
    }
    return list;
}
} // namespace detail

/** A node: a store, an endpoint in the network, and any number of contexts. */
class node {
public:
    /** Takes a node of kith.h over. */
    explicit node(kith_node *raw) noexcept : handle_(raw) {}
    /** Opens a node in a directory, which is made if it does not exist. */
    static node open(const std::string &path, const node_options &options = {}) { return open_at(path.c_str(), options); }
    /** Opens a node that keeps everything in memory. */
    static node in_memory(const node_options &options = {}) { return open_at(nullptr, options); }
    /** For tests: two nodes in memory that reach each other and nobody else. */
    static std::pair<node, node> for_tests() {
        kith_node *one = nullptr, *other = nullptr;
        detail::check(kith_test_nodes(&one, &other));
        return {node(one), node(other)};
    }
    /** Closes the node, and waits until it has. Twice is fine. Without it the node closes in the background once it is destroyed. */
    void shutdown() { detail::check(kith_node_shutdown(get())); }
    /** Puts the node to rest: gives back its files, locks and ports. KITH_TIMEOUT: it goes on in the background. */
    void suspend(std::chrono::milliseconds deadline) { detail::check(kith_node_suspend(get(), detail::milliseconds(deadline))); }
    /** Takes a suspended node up again. KITH_BUSY: another process has the directory by now. */
    void resume() { detail::check(kith_node_resume(get())); }
    /** Whether the node is suspended, or is being so. Also true once it is shut down. */
    bool is_suspended() const {
        bool suspended = false;
        detail::check(kith_node_is_suspended(get(), &suspended));
        return suspended;
    }
    /** Catches up within a budget. A suspended node is resumed for it and suspended again. */
    sync_report sync_once(std::chrono::milliseconds budget) {
        sync_report report{};
        detail::buffer synced, behind;
        detail::check(kith_node_sync_once(get(), detail::milliseconds(budget), &report.peers, synced.out(), behind.out()));
        report.synced = detail::ids(synced.view());
        report.behind = detail::ids(behind.view());
        return report;
    }
    /** The node's id in the network. */
    std::string id() const { return text(kith_node_id); }
    /** Where the node listens: multiaddresses with /p2p/…. */
    std::vector<std::string> addresses() const { return detail::lines(text(kith_node_addresses)); }
    /** How it stands with the node and the peers it knows, as a JSON object (see kith_node_status). */
    std::string status() const { return text(kith_node_status); }
    /** Seals the directory under another key, while everything goes on. When this has returned only the new one opens it. */
    void change_storage_key(const storage_key &key) {
        detail::check(kith_node_change_storage_key(get(), key.key(), key.passphrase()));
    }
    /** Exports everything to a new file, sealed under this key: a backup, while the node goes on. */
    exported export_to(const std::string &path, const storage_key &key) const {
        kith_exported raw;
        detail::check(kith_node_export(get(), path.c_str(), key.key(), key.passphrase(), &raw));
        return {raw.records, raw.bytes, raw.moved};
    }
    /** Makes a node's directory at `path` of the export at `from`. It signs nothing until `adopt`, unless the export is a move. */
    static exported import_from(const std::string &from, const storage_key &key, const std::string &path, const import_options &options = {}) {
        kith_import_options raw;
        kith_import_options_init(&raw);
        if (options.storage_key) {
            raw.storage_key = options.storage_key->key();
            raw.storage_passphrase = options.storage_key->passphrase();
        }
        raw.storage = options.storage;
        raw.adopt = options.adopt;
        kith_exported done;
        detail::check(kith_node_import(from.c_str(), key.key(), key.passphrase(), path.c_str(), &raw, &done));
        return {done.records, done.bytes, done.moved};
    }
    /** Says that a directory is the only one that signs as its members (see kith_node_adopt: a danger). `key` is the directory's own. */
    static void adopt(const std::string &path, const std::optional<storage_key> &key = {}) {
        detail::check(kith_node_adopt(path.c_str(), key ? key->key() : nullptr, key ? key->passphrase() : nullptr));
    }
    /** Connects to a peer by a multiaddress with /p2p/…, and keeps it connected from then on. */
    void connect(const std::string &address) const { detail::check(kith_node_connect(get(), address.c_str())); }

    /** Registers an application. Contexts that wait for it begin to execute. It lives until the node has closed. */
    void register_application(const std::string &name, std::shared_ptr<application> application) {
        if (!application) {
            throw error(KITH_INVALID_ARGUMENT, "there is no application");
        }
        detail::handed(std::make_unique<detail::shared_application>(std::move(application)),
                       [&](void *user_data, kith_free_callback free) {
                           const kith_application description = detail::described(user_data, free);
                           return kith_node_register(get(), name.c_str(), &description);
                       });
    }
    /** Registers an application that is made of functions. What `initialise` gives is dropped. */
    void register_application(const std::string &name, application_function execute, application_function query = {},
                              application_function initialise = {}) {
        if (!execute) {
            throw error(KITH_INVALID_ARGUMENT, "there is no function that executes calls");
        }
        register_application(name, std::make_shared<detail::functions>(std::move(execute), std::move(query), std::move(initialise)));
    }

    /** Creates a context with this node as its first member and admin. `name` is what people call it. */
    context create_context(const std::string &application = "kv", bytes_view arguments = {}, const std::string &name = {}) {
        kith_context *raw = nullptr;
        detail::check(kith_node_create_context(get(), application.c_str(), detail::in(arguments), arguments.size(),
                                               name.empty() ? nullptr : name.c_str(), &raw));
        return context(raw);
    }
    /** The same, with options. */
    context create_context(const create_options &options) {
        kith_create_options raw;
        kith_create_options_init(&raw);
        raw.application = options.application.c_str();
        raw.arguments = detail::in(options.arguments);
        raw.arguments_length = options.arguments.size();
        raw.name = options.name.empty() ? nullptr : options.name.c_str();
        raw.encryption = static_cast<std::uint32_t>(options.encryption);
        kith_context *created = nullptr;
        detail::check(kith_node_create_context_with(get(), &raw, &created));
        return context(created);
    }
    /** Reads an invitation. Joins nothing. */
    invitation_info inspect(const std::string &invitation) const {
        kith_invitation_info raw;
        detail::check(kith_node_inspect(get(), invitation.c_str(), &raw));
        return {detail::array<32>(raw.context), detail::array<32>(raw.inviter), static_cast<role>(raw.role), raw.member,
                raw.expires_at, raw.application, raw.note};
    }
    /** Joins a context, and returns once this node is a member and has caught up. If it fails, nothing of the context stays. */
    context join(const std::string &invitation, std::chrono::milliseconds timeout = std::chrono::minutes(1)) {
        kith_context *raw = nullptr;
        detail::check(kith_node_join(get(), invitation.c_str(), detail::milliseconds(timeout), &raw));
        return context(raw);
    }
    /** The same; `on_progress` is told of transactions received and expected, on another thread. What it throws comes out of here, at the end. */
    context join(const std::string &invitation, std::chrono::milliseconds timeout,
                 const std::function<void(std::uint64_t, std::uint64_t)> &on_progress) {
        struct told {
            const std::function<void(std::uint64_t, std::uint64_t)> &body;
            std::exception_ptr failure;
        } its{on_progress, nullptr};
        kith_join_options options;
        kith_join_options_init(&options);
        options.timeout_ms = detail::milliseconds(timeout);
        options.user_data = &its;
        if (on_progress) {
            options.on_progress = [](void *given, std::uint64_t done, std::uint64_t total) {
                told &progress = *static_cast<told *>(given);
                if (progress.failure) {
                    return;
                }
                try {
                    progress.body(done, total);
                } catch (...) {
                    progress.failure = std::current_exception();
                }
            };
        }
        kith_context *raw = nullptr;
        const kith_status status = kith_node_join_with(get(), invitation.c_str(), &options, &raw);
        detail::check(status);
        context joined(raw);
        if (its.failure) {
            std::rethrow_exception(its.failure);
        }
        return joined;
    }
    /** The ids of the contexts that this node holds. */
    std::vector<kith::id> context_ids() const {
        detail::buffer ids;
        detail::check(kith_node_contexts(get(), ids.out()));
        return detail::ids(ids.view());
    }
    /** The contexts that this node holds. */
    std::vector<context_info> contexts() const {
        std::vector<context_info> held;
        for (const kith_context_info &raw : detail::listed<kith_context_info>(
                 [&](auto... list) { return kith_node_context_infos(get(), list...); })) {
            held.push_back({detail::array<32>(raw.id), raw.joining, raw.application, raw.name});
        }
        return held;
    }
    /** A context that this node holds; KITH_NOT_FOUND if it does not. */
    kith::context context_by_id(const kith::id &id) const {
        kith_context *raw = nullptr;
        detail::check(kith_node_context(get(), detail::in(id), &raw));
        return context(raw);
    }
    /** The handle of kith.h. */
    kith_node *get() const noexcept { return handle_.get(); }

private:
    static node open_at(const char *path, const node_options &options) {
        const auto pointers = [](const std::vector<std::string> &texts) {
            std::vector<const char *> list;
            for (const std::string &text : texts) {
                list.push_back(text.c_str());
            }
            // Not NULL, which stands for the default.
            list.push_back(nullptr);
            return list;
        };
        const std::vector<const char *> listen = options.listen ? pointers(*options.listen) : std::vector<const char *>();
        const std::vector<const char *> bootstrap = pointers(options.bootstrap), relays = pointers(options.relays);
        kith_node_options raw;
        kith_node_options_init(&raw);
        if (options.listen) {
            raw.listen = listen.data();
            raw.listen_count = listen.size() - 1;
        }
        raw.bootstrap = bootstrap.data();
        raw.bootstrap_count = bootstrap.size() - 1;
        raw.discovery = options.discovery;
        raw.durability = options.durability;
        raw.event_retention = options.event_retention;
        raw.storage = options.storage;
        if (options.storage_key) {
            raw.storage_key = options.storage_key->key();
            raw.storage_passphrase = options.storage_key->passphrase();
        }
        raw.relays = relays.data();
        raw.relays_count = relays.size() - 1;
        raw.through_relays = options.through_relays;
        raw.hole_punching = options.hole_punching;
        raw.autonat = options.autonat;
        raw.gossip = options.gossip;
        raw.hub = options.hub == nullptr ? nullptr : options.hub->get();
        kith_node *opened = nullptr;
        detail::check(kith_node_open(path, &raw, &opened));
        return node(opened);
    }
    template <class Get> std::string text(Get its) const {
        detail::buffer value;
        detail::check(its(get(), value.out()));
        return value.text();
    }
    detail::owned<kith_node, kith_node_free> handle_;
};

inline void hub::partition(const node &one, const node &other) const {
    detail::check(kith_hub_partition(get(), one.get(), other.get()));
}
inline void hub::heal(const node &one, const node &other) const { detail::check(kith_hub_heal(get(), one.get(), other.get())); }

} // namespace kith

#endif /* KITH_NODE_HPP */
