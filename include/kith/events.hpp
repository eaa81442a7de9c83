/**
 * @file
 * What happens in contexts. Included by kith.hpp.
 */

#ifndef KITH_EVENTS_HPP
#define KITH_EVENTS_HPP

#ifndef KITH_HPP
#error "include kith.hpp, which includes this"
#endif

namespace kith {

/** An event. What is given by reference lives as long as the event. */
class event_view {
public:
    /** Wraps an event of kith.h that somebody else owns. */
    explicit event_view(const kith_event *raw) noexcept : raw_(raw) {}
    /** What happened: KITH_EVENT_… */
    std::uint32_t kind() const noexcept { return kith_event_kind(raw_); }
    /** Where in the stream it is. */
    std::uint64_t cursor() const noexcept { return kith_event_cursor(raw_); }
    /** The transaction, if the event has one. */
    std::optional<id> transaction() const noexcept { return detail::maybe(kith_event_transaction(raw_)); }
    /** Of KITH_EVENT_EQUIVOCATION: the other of two transactions. */
    std::optional<id> other_transaction() const noexcept { return detail::maybe(kith_event_other_transaction(raw_)); }
    /** The member, if the event has one. */
    std::optional<id> member() const noexcept { return detail::maybe(kith_event_member(raw_)); }
    /** The member's role. */
    kith::role role() const noexcept { return static_cast<kith::role>(kith_event_role(raw_)); }
    /** Of KITH_EVENT_EXECUTED: whether it was executed before. */
    bool again() const noexcept { return kith_event_again(raw_); }
    /** The keys that changed. */
    std::vector<state_key> keys() const {
        std::size_t count = 0;
        const std::uint8_t *raw = kith_event_keys(raw_, &count);
        std::vector<state_key> keys;
        keys.reserve(count);
        for (std::size_t index = 0; index < count; index++) {
            keys.emplace_back(detail::array<32>(raw + 32 * index));
        }
        return keys;
    }
    /** A reason, a cause, a peer, a name. */
    std::string_view text() const noexcept { return kith_event_text(raw_); }
    /** Of KITH_EVENT_PEER_DISCONNECTED: why, as at kith_event_reason. */
    std::string_view reason() const noexcept { return kith_event_reason(raw_); }
    /** Of KITH_EVENT_EMITTED: the data. */
    bytes_view data() const noexcept {
        std::size_t length = 0;
        const std::uint8_t *data = kith_event_data(raw_, &length);
        return detail::view(data, length);
    }
    /** How many transactions are here, or how many events are missing. */
    std::uint64_t done() const noexcept { return kith_event_done(raw_); }
    /** How many transactions there will be. */
    std::uint64_t total() const noexcept { return kith_event_total(raw_); }

protected:
    /** The event of kith.h. */
    const kith_event *raw_;
};

/** An event that is owned. */
class event : public event_view {
public:
    /** Takes an event of kith.h over. */
    explicit event(kith_event *raw) noexcept : event_view(raw), handle_(raw) {}

private:
    detail::owned<kith_event, kith_event_free> handle_;
};

/** A stream of events: `for (const kith::event &event : stream)` waits for each, and ends when the context or the node is closed. */
class events {
public:
    /** Takes a stream of kith.h over. */
    explicit events(kith_events *raw) noexcept : handle_(raw) {}
    /** Waits for the next event: KITH_TIMEOUT, and KITH_CLOSED at the end of the stream. */
    event next(std::chrono::milliseconds timeout = forever) {
        kith_event *raw = nullptr;
        detail::check(kith_events_next(get(), detail::milliseconds(timeout), &raw));
        return event(raw);
    }
    /** The next event, if one comes in time. KITH_CLOSED at the end of the stream. */
    std::optional<event> poll(std::chrono::milliseconds timeout = std::chrono::milliseconds(0)) {
        kith_event *raw = nullptr;
        const kith_status status = kith_events_next(get(), detail::milliseconds(timeout), &raw);
        if (status == KITH_TIMEOUT) {
            return std::nullopt;
        }
        detail::check(status);
        return event(raw);
    }
    /** Goes through a stream once. */
    class iterator {
    public:
        using iterator_category = std::input_iterator_tag;
        using value_type = event;
        using difference_type = std::ptrdiff_t;
        using pointer = const event *;
        using reference = const event &;
        /** The end. */
        iterator() noexcept = default;
        /** Waits for the first one. */
        explicit iterator(events &stream) : stream_(&stream) { advance(); }
        reference operator*() const noexcept { return *current_; }
        pointer operator->() const noexcept { return &*current_; }
        iterator &operator++() { return advance(), *this; }
        bool operator==(const iterator &other) const noexcept { return stream_ == other.stream_; }
        bool operator!=(const iterator &other) const noexcept { return stream_ != other.stream_; }

    private:
        void advance() {
            kith_event *raw = nullptr;
            const bool last = current_ && current_->kind() == KITH_EVENT_CLOSED;
            const kith_status status = last ? KITH_CLOSED : kith_events_next(stream_->get(), KITH_FOREVER, &raw);
            if (status == KITH_CLOSED) {
                stream_ = nullptr;
                return;
            }
            detail::check(status);
            current_ = std::make_shared<event>(raw);
        }
        events *stream_ = nullptr;
        std::shared_ptr<event> current_;
    };
    /** Waits for the next event. */
    iterator begin() { return iterator(*this); }
    /** The end of the stream. */
    iterator end() noexcept { return {}; }
    /** The handle of kith.h. */
    kith_events *get() const noexcept { return handle_.get(); }

private:
    detail::owned<kith_events, kith_events_free> handle_;
};

/**
 * A callback that is told of events on a thread of its own. Destroying it waits until the callback has returned, unless that is who
 * destroys it.
 */
class subscription {
public:
    /** What is told of events. */
    using function = std::function<void(const event_view &)>;
    /** Throws what the callback has thrown, if it has: it is not called any more since. */
    void rethrow() const {
        std::exception_ptr failure;
        {
            const std::lock_guard<std::mutex> lock(told_->mutex);
            failure = told_->failure;
        }
        if (failure) {
            std::rethrow_exception(failure);
        }
    }
    /** The handle of kith.h. */
    kith_subscription *get() const noexcept { return handle_.get(); }

private:
    friend class context;
    struct told {
        explicit told(function given) : body(std::move(given)) {}
        function body;
        std::mutex mutex;
        std::exception_ptr failure;
    };
    subscription(const kith_context *context, const std::uint64_t *after, function body)
        : told_(std::make_shared<told>(std::move(body))) {
        using shared = std::shared_ptr<told>;
        kith_subscription *raw = nullptr;
        detail::handed(std::make_unique<shared>(told_), [&](void *user_data, kith_free_callback free) {
            const kith_event_callback callback = [](void *given, const kith_event *event) {
                told &its = **static_cast<shared *>(given);
                const auto failed = [&its](std::exception_ptr failure) {
                    const std::lock_guard<std::mutex> lock(its.mutex);
                    its.failure = failure;
                };
                {
                    const std::lock_guard<std::mutex> lock(its.mutex);
                    if (its.failure) {
                        return;
                    }
                }
                try {
                    its.body(event_view(event));
                } catch (...) {
                    failed(std::current_exception());
                }
            };
            return kith_context_on_event(context, after, callback, user_data, free, &raw);
        });
        handle_.reset(raw);
    }
    std::shared_ptr<told> told_;
    detail::owned<kith_subscription, kith_subscription_free> handle_;
};

} // namespace kith

#endif /* KITH_EVENTS_HPP */
