/**
 * @file
 * Contexts. Included by kith.hpp.
 */

#ifndef KITH_CONTEXT_HPP
#define KITH_CONTEXT_HPP

#ifndef KITH_HPP
#error "include kith.hpp, which includes this"
#endif

namespace kith {

/** A member of a context. */
struct member {
    /** Who. */
    kith::id id;
    /** The transaction that added it. */
    kith::id added;
    /** What it may do. */
    kith::role role;
    /** What it calls itself; nobody vouches for it. */
    std::string name;
};

/** An invitation of a context, as its members see it. */
struct invitation {
    /** Names the invitation; for context::revoke. */
    kith::id id;
    /** The member who invites. */
    kith::id inviter;
    /** The role that it gives. */
    kith::role role;
    /** How many may join by it. */
    std::uint32_t max_uses;
    /** How many have. */
    std::uint32_t uses;
    /** Whether it was revoked. */
    bool revoked;
    /** ms since 1970; 0: no end. */
    std::uint64_t expires_at;
    /** For people. */
    std::string note;
};

/** What an invitation allows. */
struct invite_options {
    /** The role that it gives. */
    kith::role role = kith::role::writer;
    /** How many may join by it. */
    std::uint32_t max_uses = 1;
    /** For how long it may be used; kith::forever: no end. */
    std::chrono::milliseconds expires_in = std::chrono::hours(24 * 7);
    /** For people, at most 128 bytes. */
    std::string note;
};

/** A transaction of a context's history. */
struct transaction {
    /** Its id. */
    kith::id id;
    /** The member that signed it. */
    kith::id author;
    /** Its place in the order. */
    kith::place place;
    /** Its number in its author's chain. */
    std::uint64_t sequence;
    /** The author's clock, ms since 1970. */
    std::uint64_t timestamp;
    /** The number of its kind. */
    std::uint32_t kind;
    /** What it did at its place. */
    kith::outcome outcome;
};

/** What a check of a context found to differ. */
struct difference {
    /** KITH_PART_…: of what. */
    std::uint32_t part;
    /** Where in the order, unless it is of the context as a whole. */
    std::optional<kith::place> place;
    /** Of which key, if it is of one. */
    std::optional<state_key> key;
    /** The BLAKE3 hash of what is kept, if anything is. */
    std::optional<id> kept;
    /** The BLAKE3 hash of what was recomputed, if anything was. */
    std::optional<id> recomputed;
    /** The difference, for people. */
    std::string text;
};

/** What a check of a context has looked at and found. */
struct verification {
    /** How many transactions were looked at, in order. */
    std::uint64_t transactions;
    /** How many of them were executed once more. */
    std::uint64_t executed;
    /** How many are in the order and were not looked at, since they are still to be executed. */
    std::uint64_t pending;
    /** How many keys of the state were looked at, deleted ones included. */
    std::uint64_t keys;
    /** The first difference; nothing: what is kept is what a replay of the history gives. */
    std::optional<kith::difference> difference;
};

/** What one transaction has to do with a key. */
struct explanation {
    /** The transaction; context::receipt has more of it. */
    kith::transaction transaction;
    /** KITH_WRITTEN_…: what it left of the key. */
    std::uint32_t written;
    /** The BLAKE3 hash of the value that it left, if it left one. */
    std::optional<id> hash;
    /** Whether its author did not know of the transaction before; nothing: that was not found out. */
    std::optional<bool> unseen;
};

/** What a call gives. */
struct executed {
    /** The transaction that carries the call. */
    id transaction;
    /** The application's answer, at the tentative place. */
    bytes answer;
};

namespace detail {
inline transaction from(const kith_transaction &raw) {
    return {array<32>(raw.id), array<32>(raw.author), array<48>(raw.place), raw.sequence, raw.timestamp, raw.kind,
            static_cast<outcome>(raw.outcome)};
}
} // namespace detail

/** A transaction with what it said and did. What its functions give lives as long as it does. */
class receipt {
public:
    /** Takes a receipt of kith.h over. */
    explicit receipt(kith_receipt *raw) noexcept : handle_(raw) {}
    /** The transaction. */
    kith::transaction transaction() const {
        kith_transaction raw;
        detail::check(kith_receipt_transaction(get(), &raw));
        return detail::from(raw);
    }
    /** Of a call: the method. */
    std::string_view method() const noexcept { return kith_receipt_method(get()); }
    /** Of a call: the arguments. */
    bytes_view arguments() const noexcept {
        std::size_t length = 0;
        const std::uint8_t *data = kith_receipt_arguments(get(), &length);
        return detail::view(data, length);
    }
    /** Of a call that counts: the application's answer. */
    bytes_view answer() const noexcept {
        std::size_t length = 0;
        const std::uint8_t *data = kith_receipt_answer(get(), &length);
        return detail::view(data, length);
    }
    /** Why it does nothing at its place; empty if it counts or is not executed yet. */
    std::string_view reason() const noexcept { return kith_receipt_reason(get()); }
    /** The messages that the call emitted: names and data. */
    std::vector<std::pair<std::string_view, bytes_view>> emitted() const {
        std::vector<std::pair<std::string_view, bytes_view>> messages(kith_receipt_emitted_count(get()));
        for (std::size_t index = 0; index < messages.size(); index++) {
            const char *name = nullptr;
            const std::uint8_t *data = nullptr;
            std::size_t length = 0;
            detail::check(kith_receipt_emitted_at(get(), index, &name, &data, &length));
            messages[index] = {name, detail::view(data, length)};
        }
        return messages;
    }
    /** The handle of kith.h. */
    kith_receipt *get() const noexcept { return handle_.get(); }

private:
    detail::owned<kith_receipt, kith_receipt_free> handle_;
};

/** Several operations that are carried out together, all or none. Built by one thread at a time. */
class batch {
public:
    batch() {
        kith_batch *raw = nullptr;
        detail::check(kith_batch_new(&raw));
        handle_.reset(raw);
    }
    /** Sets a key to a value. */
    batch &put(const state_key &key, bytes_view value) {
        detail::check(kith_batch_put(get(), detail::in(key), detail::in(value), value.size()));
        return *this;
    }
    /** Removes a key. */
    batch &erase(const state_key &key) {
        detail::check(kith_batch_delete(get(), detail::in(key)));
        return *this;
    }
    /** Adds to a counter. */
    batch &add(const state_key &key, std::int64_t number) {
        detail::check(kith_batch_add(get(), detail::in(key), number));
        return *this;
    }
    /** Sets or removes a key if its value is the expected one; else the whole batch is refused. */
    batch &compare_and_set(const state_key &key, const std::optional<bytes_view> &expected, const std::optional<bytes_view> &value) {
        detail::check(kith_batch_compare_and_set(get(), detail::in(key), expected ? detail::present(*expected) : nullptr,
                                                 expected ? expected->size() : 0, value ? detail::present(*value) : nullptr,
                                                 value ? value->size() : 0));
        return *this;
    }
    /** Appends to a value. */
    batch &append(const state_key &key, bytes_view data) {
        detail::check(kith_batch_append(get(), detail::in(key), detail::in(data), data.size()));
        return *this;
    }
    /** The handle of kith.h. */
    kith_batch *get() const noexcept { return handle_.get(); }

private:
    detail::owned<kith_batch, kith_batch_free> handle_;
};

/** An application's state that its members share. The handle holds nothing open: the context lives with its node. */
class context {
public:
    /** Takes a context of kith.h over. */
    explicit context(kith_context *raw) noexcept : handle_(raw) {}
    /** The context's id. */
    kith::id id() const { return array<32>(kith_context_id); }
    /** This node's member in the context. */
    kith::id me() const { return array<32>(kith_context_me); }
    /** The state commitment: equal on all members that hold the same history. */
    kith::id commitment() const { return array<32>(kith_context_commitment); }
    /** This node's role. */
    kith::role role() const {
        std::uint32_t role = KITH_NO_ROLE;
        detail::check(kith_context_role(get(), &role));
        return static_cast<kith::role>(role);
    }
    /** The name of the application. */
    std::string application() const { return text(kith_context_application); }
    /** What the context is called. */
    std::string name() const { return text(kith_context_name); }
    /** How it stands with the context, as a JSON object (see kith_context_status). */
    std::string status() const { return text(kith_context_status); }

    /** Carries out a method call of the application. */
    executed execute(const std::string &method, bytes_view arguments = {}) {
        executed done{};
        detail::buffer answer;
        detail::check(kith_context_execute(get(), method.c_str(), detail::in(arguments), arguments.size(),
                                           detail::out(done.transaction), answer.out()));
        done.answer = answer.view().copy();
        return done;
    }
    /** A read-only call of the application, on this member only. */
    bytes query(const std::string &method, bytes_view arguments = {}) const {
        detail::buffer answer;
        detail::check(kith_context_query(get(), method.c_str(), detail::in(arguments), arguments.size(), answer.out()));
        return answer.view().copy();
    }
    /** The value under a key. */
    std::optional<bytes> get(const state_key &key, level level = level::tentative) const {
        detail::buffer value;
        if (!detail::found(kith_context_get(get(), detail::in(key), static_cast<std::uint32_t>(level), value.out()))) {
            return std::nullopt;
        }
        return value.view().copy();
    }
    /** A page of entries in key order: those whose keys begin with `prefix` and sort after `after`. A page without entries is the end. */
    kith::entries entries(bytes_view prefix = {}, const std::optional<state_key> &after = {}, std::size_t limit = 1000,
                          level level = level::tentative) const {
        kith_entries *page = nullptr;
        detail::check(kith_context_entries(get(), detail::in(prefix), prefix.size(), after ? detail::in(*after) : nullptr, limit,
                                           static_cast<std::uint32_t>(level), &page));
        return kith::entries(page);
    }
    /** Calls `body` with each entry whose key begins with `prefix`, page by page. What changes meanwhile may be seen or not. */
    template <class Body> void each_entry(bytes_view prefix, Body body) const {
        std::optional<state_key> after;
        for (kith::entries page = entries(prefix); !page.empty(); page = entries(prefix, after)) {
            for (const entry &found : page) {
                body(found);
                after = found.key;
            }
        }
    }

    /** Sets a key to a value of at most 1 MiB; the transaction. For "kv" only, like the next five. */
    kith::id put(const state_key &key, bytes_view value) {
        return signed_by([&](auto *id) { return kith_context_put(get(), detail::in(key), detail::in(value), value.size(), id); });
    }
    /** Removes a key; nothing happens if it is absent. */
    kith::id erase(const state_key &key) {
        return signed_by([&](auto *id) { return kith_context_delete(get(), detail::in(key), id); });
    }
    /** Adds to a counter; its new value, which may still move with the order. */
    std::int64_t add(const state_key &key, std::int64_t number) {
        std::int64_t now = 0;
        detail::check(kith_context_add(get(), detail::in(key), number, &now));
        return now;
    }
    /** Sets a key if its value is the expected one; KITH_REJECTED otherwise. Nothing stands for absence. */
    kith::id compare_and_set(const state_key &key, const std::optional<bytes_view> &expected, const std::optional<bytes_view> &value) {
        return signed_by([&](auto *id) {
            return kith_context_compare_and_set(get(), detail::in(key), expected ? detail::present(*expected) : nullptr,
                                                expected ? expected->size() : 0, value ? detail::present(*value) : nullptr,
                                                value ? value->size() : 0, id);
        });
    }
    /** Appends to a value. */
    kith::id append(const state_key &key, bytes_view data) {
        return signed_by([&](auto *id) { return kith_context_append(get(), detail::in(key), detail::in(data), data.size(), id); });
    }
    /** Carries out a batch, all of it or nothing. It may be used again. */
    kith::id carry_out(const kith::batch &batch) {
        return signed_by([&](auto *id) { return kith_context_batch(get(), batch.get(), id); });
    }

    /** How it stands with a transaction, if it is in the history. */
    std::optional<kith::transaction> transaction(const kith::id &id) const {
        kith_transaction raw;
        if (!detail::found(kith_context_transaction(get(), detail::in(id), &raw))) {
            return std::nullopt;
        }
        return detail::from(raw);
    }
    /** What a transaction said and did, if it is in the history. */
    std::optional<kith::receipt> receipt(const kith::id &id) const {
        kith_receipt *raw = nullptr;
        if (!detail::found(kith_context_receipt(get(), detail::in(id), &raw))) {
            return std::nullopt;
        }
        return kith::receipt(raw);
    }
    /** A page of the order: at most `limit` (and 1,000) transactions after a place. */
    std::vector<kith::transaction> history(const std::optional<place> &after = {}, std::size_t limit = 1000) const {
        std::vector<kith_transaction> raw(limit < 1000 ? limit : 1000);
        std::size_t count = 0;
        detail::check(kith_context_history(get(), after ? detail::in(*after) : nullptr, raw.data(), raw.size(), &count));
        std::vector<kith::transaction> page;
        page.reserve(count);
        for (std::size_t index = 0; index < count; index++) {
            page.push_back(detail::from(raw[index]));
        }
        return page;
    }
    /** Compares everything that is kept with what the history gives, and names the first difference. Nothing is changed. */
    kith::verification verify() const {
        kith_verification raw;
        detail::check(kith_context_verify(get(), &raw));
        kith::verification seen{raw.transactions, raw.executed, raw.pending, raw.keys, std::nullopt};
        if (raw.part != KITH_PART_NONE) {
            kith::difference found{raw.part, {}, {}, {}, {}, raw.text};
            if (raw.has_place) found.place = detail::array<48>(raw.place);
            if (raw.has_key) found.key = state_key(detail::array<32>(raw.key));
            if (raw.has_kept) found.kept = detail::array<32>(raw.kept);
            if (raw.has_recomputed) found.recomputed = detail::array<32>(raw.recomputed);
            seen.difference = std::move(found);
        }
        return seen;
    }
    /** Why a key has its value: a page of the calls that wrote it, or were rejected for what they read of it, after a place. */
    std::vector<explanation> explain(const state_key &key, const std::optional<place> &after = {}, std::size_t limit = 1000) const {
        std::vector<kith_explanation> raw(limit < 1000 ? limit : 1000);
        std::size_t count = 0;
        detail::check(kith_context_explain(get(), detail::in(key), after ? detail::in(*after) : nullptr, raw.data(), raw.size(), &count));
        std::vector<explanation> page;
        for (std::size_t index = 0; index < count; index++) {
            const kith_explanation &one = raw[index];
            explanation said{detail::from(one.transaction), one.written, {}, {}};
            if (one.written == KITH_WRITTEN_VALUE) said.hash = detail::array<32>(one.hash);
            if (one.unseen != KITH_SEEN_UNKNOWN) said.unseen = one.unseen == KITH_UNSEEN;
            page.push_back(said);
        }
        return page;
    }
    /** Waits until all that is written here by now is durable with each connected member, and what these held is here: else KITH_TIMEOUT. */
    void wait_synced(std::chrono::milliseconds timeout = std::chrono::minutes(1)) const {
        detail::check(kith_context_wait_synced(get(), detail::milliseconds(timeout)));
    }

    /** A stream of the events from now on, or of those after a cursor and then from now on (KITH_CURSOR_EXPIRED). */
    kith::events events(const std::optional<std::uint64_t> &after = {}) const {
        kith_events *raw = nullptr;
        detail::check(kith_context_events(get(), after ? &*after : nullptr, &raw));
        return kith::events(raw);
    }
    /** Has `body` told of the same, on a thread of its own. If it throws it is told of nothing more: subscription::rethrow. */
    subscription on_event(subscription::function body, const std::optional<std::uint64_t> &after = {}) const {
        return subscription(get(), after ? &*after : nullptr, std::move(body));
    }

    /** The members. */
    std::vector<member> members() const {
        std::vector<member> members;
        for (const kith_member &raw : detail::listed<kith_member>(
                 [&](auto... list) { return kith_context_members(get(), list...); })) {
            members.push_back({detail::array<32>(raw.id), detail::array<32>(raw.added), static_cast<kith::role>(raw.role), raw.name});
        }
        return members;
    }
    /** Gives a member another role. Needs an admin. */
    kith::id set_role(const kith::id &member, kith::role role) {
        return signed_by([&](auto *id) {
            return kith_context_set_role(get(), detail::in(member), static_cast<std::uint32_t>(role), id);
        });
    }
    /** Says what the context is called. Needs an admin. */
    kith::id set_name(const std::string &name) {
        return signed_by([&](auto *id) { return kith_context_set_name(get(), name.c_str(), id); });
    }
    /** Says what this member calls itself. */
    kith::id set_display_name(const std::string &name) {
        return signed_by([&](auto *id) { return kith_context_set_display_name(get(), name.c_str(), id); });
    }
    /** Removes a member. Needs an admin. */
    kith::id remove(const kith::id &member) {
        return signed_by([&](auto *id) { return kith_context_remove(get(), detail::in(member), id); });
    }
    /** Leaves the context: tells the others and deletes this node's copy. */
    void leave() { detail::check(kith_context_leave(get())); }
    /** Makes an invitation, as text. Needs an admin. */
    std::string invite(const invite_options &options = {}) {
        kith_invite_options raw;
        kith_invite_options_init(&raw);
        raw.role = static_cast<std::uint32_t>(options.role);
        raw.max_uses = options.max_uses;
        raw.expires_in = detail::milliseconds(options.expires_in);
        raw.note = options.note.empty() ? nullptr : options.note.c_str();
        detail::buffer token;
        detail::check(kith_context_invite(get(), &raw, token.out()));
        return token.text();
    }
    /** The invitations of the context. */
    std::vector<invitation> invitations() const {
        std::vector<invitation> issued;
        for (const kith_invitation &raw : detail::listed<kith_invitation>(
                 [&](auto... list) { return kith_context_invitations(get(), list...); })) {
            issued.push_back({detail::array<32>(raw.id), detail::array<32>(raw.inviter), static_cast<kith::role>(raw.role), raw.max_uses,
                              raw.uses, raw.revoked, raw.expires_at, raw.note});
        }
        return issued;
    }
    /** Takes an invitation back, by its id. Needs an admin. */
    kith::id revoke(const kith::id &invitation) {
        return signed_by([&](auto *id) { return kith_context_revoke(get(), detail::in(invitation), id); });
    }
    /** Rejects a call for all members, after a local fault that stops applying. Needs an admin. */
    kith::id skip(const kith::id &skipped) {
        return signed_by([&](auto *id) { return kith_context_skip(get(), detail::in(skipped), id); });
    }
    /** New keys for the context (see kith_context_rotate_keys). */
    void rotate_keys() { detail::check(kith_context_rotate_keys(get())); }
    /** How it stands with the context's keys. */
    kith::security security() const {
        kith_security raw;
        detail::check(kith_context_security(get(), &raw));
        return {static_cast<encryption>(raw.suite), raw.has_epoch ? std::optional(detail::array<32>(raw.epoch)) : std::nullopt,
                std::chrono::milliseconds(raw.age), raw.members_able, raw.members, raw.pending, raw.violations, raw.unopened};
    }
    /** The handle of kith.h. */
    kith_context *get() const noexcept { return handle_.get(); }

private:
    template <std::size_t N, class Get> std::array<std::byte, N> array(Get its) const {
        std::array<std::byte, N> value;
        detail::check(its(get(), detail::out(value)));
        return value;
    }
    template <class Get> std::string text(Get its) const {
        detail::buffer value;
        detail::check(its(get(), value.out()));
        return value.text();
    }
    template <class Call> static kith::id signed_by(Call call) {
        kith::id transaction;
        detail::check(call(detail::out(transaction)));
        return transaction;
    }
    detail::owned<kith_context, kith_context_free> handle_;
};

} // namespace kith

#endif /* KITH_CONTEXT_HPP */
