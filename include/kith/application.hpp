/**
 * @file
 * Applications of the host. Included by kith.hpp.
 */

#ifndef KITH_APPLICATION_HPP
#define KITH_APPLICATION_HPP

#ifndef KITH_HPP
#error "include kith.hpp, which includes this"
#endif

namespace kith {

/** What an application is asked. Valid until its function returns, and only on the thread that it runs on. */
class call {
public:
    /** Wraps what a callback of kith.h is given. */
    explicit call(const kith_call *raw) noexcept : raw_(raw) {}
    /** The method; empty in `initialise`. It comes from other members, and may have a NUL inside. */
    std::string_view method() const noexcept {
        std::size_t length = 0;
        const char *name = kith_call_method(raw_, &length);
        return {name, length};
    }
    /** Whether this is the method. */
    bool is(const char *method) const noexcept { return kith_call_is(raw_, method); }
    /** The arguments, in the application's own format. */
    bytes_view arguments() const noexcept {
        std::size_t length = 0;
        const std::uint8_t *data = kith_call_arguments(raw_, &length);
        return detail::view(data, length);
    }
    /** Who calls; none in `initialise` and `query`. */
    std::optional<id> member() const noexcept { return detail::maybe(kith_call_member(raw_)); }
    /** The caller's role at this place in the order. */
    kith::role role() const noexcept { return static_cast<kith::role>(kith_call_role(raw_)); }
    /** The transaction that carries the call; none in `initialise` and `query`. */
    std::optional<id> transaction() const noexcept { return detail::maybe(kith_call_transaction(raw_)); }
    /** The author's clock, ms since 1970: the same everywhere, but the author may lie. */
    std::uint64_t timestamp() const noexcept { return kith_call_timestamp(raw_); }

private:
    const kith_call *raw_;
};

/** The state during one call of an application. Valid as long as the call. */
class state {
public:
    /** Wraps what a callback of kith.h is given. */
    explicit state(kith_state *raw) noexcept : raw_(raw) {}
    /** The value under a key. */
    std::optional<bytes> get(const state_key &key) const {
        detail::buffer value;
        if (!detail::found(kith_state_get(raw_, detail::in(key), value.out()))) {
            return std::nullopt;
        }
        return value.view().copy();
    }
    /** Sets a key to a value of at most 1 MiB. */
    void put(const state_key &key, bytes_view value) {
        detail::check(kith_state_put(raw_, detail::in(key), detail::in(value), value.size()));
    }
    /** Removes a key; nothing happens if it is absent. */
    void erase(const state_key &key) { detail::check(kith_state_delete(raw_, detail::in(key))); }
    /** A page of entries whose keys begin with `prefix` and sort after `after`. A page without entries is the end. */
    kith::entries entries(bytes_view prefix = {}, const std::optional<state_key> &after = {}, std::size_t limit = 1000) const {
        kith_entries *page = nullptr;
        detail::check(kith_state_entries(raw_, detail::in(prefix), prefix.size(), after ? detail::in(*after) : nullptr, limit, &page));
        return kith::entries(page);
    }
    /** Hands a named message to the hosts of all members, once the call is accepted. */
    void emit(const std::string &name, bytes_view data = {}) {
        detail::check(kith_state_emit(raw_, name.c_str(), detail::in(data), data.size()));
    }

private:
    kith_state *raw_;
};

/**
 * Deterministic code that executes method calls: the same inputs give the same result on every member, in every language. No clock, no
 * chance, no floats from outside, no I/O.
 *
 * Throwing refuses the call, for all members alike, and what it wrote is undone; but kith::local_fault, std::bad_alloc and errors of
 * this machine (KITH_STORAGE …) mean that something is wrong here only. It runs on threads of the node's own, one call of a context at a
 * time, several contexts at once.
 */
class application {
public:
    application() = default;
    application(const application &) = delete;
    application &operator=(const application &) = delete;
    virtual ~application() = default;
    /** Sets up the state of a new context from its creator's arguments. */
    virtual void initialise(const call &call, state &) {
        if (!call.arguments().empty()) {
            throw rejected("this application takes no arguments");
        }
    }
    /** Executes a call; the bytes are the answer. */
    virtual bytes execute(const call &call, state &state) = 0;
    /** Answers a read-only call, on this member only; what it writes is thrown away. */
    virtual bytes query(const call &call, state &) {
        throw rejected("this application has no query " + std::string(call.method()));
    }
};

/** One function of an application. */
using application_function = std::function<bytes(const call &, state &)>;

namespace detail {

/** An application made of functions. */
class functions final : public application {
public:
    functions(application_function execute, application_function query, application_function initialise)
        : execute_(std::move(execute)), query_(std::move(query)), initialise_(std::move(initialise)) {}
    void initialise(const call &call, state &state) override {
        initialise_ ? static_cast<void>(initialise_(call, state)) : application::initialise(call, state);
    }
    bytes execute(const call &call, state &state) override { return execute_(call, state); }
    bytes query(const call &call, state &state) override {
        return query_ ? query_(call, state) : application::query(call, state);
    }

private:
    application_function execute_, query_, initialise_;
};

/** Whether every member gets this error alike. */
inline bool alike(kith_status kind) noexcept {
    switch (kind) {
    case KITH_REJECTED:
    case KITH_INVALID_ARGUMENT:
    case KITH_NOT_FOUND:
    case KITH_NOT_MEMBER:
    case KITH_PERMISSION_DENIED:
    case KITH_LIMIT_EXCEEDED:
        return true;
    default:
        return false;
    }
}

using shared_application = std::shared_ptr<application>;

/** Calls an application as C calls it: no exception comes out. */
template <class Body> kith_status answered(void *user_data, kith_call *raw, kith_state *raw_state, Body body) noexcept {
    try {
        state its(raw_state);
        const bytes answer = body(**static_cast<shared_application *>(user_data), call(raw), its);
        return answer.empty() ? KITH_OK : kith_call_answer(raw, in(answer), answer.size());
    } catch (const rejected &refusal) {
        return kith_call_reject(raw, refusal.what());
    } catch (const local_fault &fault) {
        return kith_call_fault(raw, fault.what());
    } catch (const error &failed) {
        return alike(failed.kind()) ? kith_call_reject(raw, failed.what()) : kith_call_fault(raw, failed.what());
    } catch (const std::bad_alloc &) {
        return kith_call_fault(raw, "no memory");
    } catch (const std::exception &other) {
        return kith_call_reject(raw, other.what());
    } catch (...) {
        return kith_call_reject(raw, "something was thrown that is no std::exception");
    }
}

/** An application as kith.h takes it. */
inline kith_application described(void *user_data, kith_free_callback free) noexcept {
    kith_application description;
    kith_application_init(&description);
    description.user_data = user_data;
    description.free_user_data = free;
    description.initialise = [](void *given, kith_call *raw, kith_state *its) {
        return answered(given, raw, its, [](application &application, const call &call, state &state) {
            application.initialise(call, state);
            return bytes();
        });
    };
    description.execute = [](void *given, kith_call *raw, kith_state *its) {
        return answered(given, raw, its, [](application &application, const call &call, state &state) {
            return application.execute(call, state);
        });
    };
    description.query = [](void *given, kith_call *raw, kith_state *its) {
        return answered(given, raw, its, [](application &application, const call &call, state &state) {
            return application.query(call, state);
        });
    };
    return description;
}

} // namespace detail
} // namespace kith

#endif /* KITH_APPLICATION_HPP */
