/**
 * @file
 * Kith for C++17: a wrapper around kith.h in this one header. Link with libkith; there is nothing else to build.
 *
 * @code
 * kith::node node = kith::node::open("data");
 * kith::context notes = node.create_context("kv", {}, "notes");
 * notes.put(kith::state_key::of("notes", "today"), "buy milk");
 * @endcode
 *
 * Rules that hold for everything here:
 *  - A failed call throws kith::error, which has the kind (KITH_BUSY …) and the text. What is absent is an empty optional.
 *  - Classes that hold something of the library's can be moved and not copied, and give it back in their destructor, which never
 *    blocks: call node::shutdown to wait until a node has closed. One that was moved from may only be destroyed or assigned to.
 *  - Which functions block, may be called from callbacks and from several threads: as in kith.h, whose functions are named like those
 *    here. (`kith_context_delete` is context::erase, `kith_node_register` is node::register_application, `kith_node_export` and `kith_node_import` are
 *    node::export_to and node::import_from.)
 *  - No exception leaves a callback towards C: each kind of callback says what becomes of one.
 */

#ifndef KITH_HPP
#define KITH_HPP

#include "kith.h"

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <exception>
#include <functional>
#include <iterator>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

static_assert(sizeof(std::uint8_t) == sizeof(std::byte), "a byte is a byte");

/** Kith: contexts that peers share, with no server between them. */
namespace kith {

/** Bytes that are owned. */
using bytes = std::vector<std::byte>;
/** What names a context, a member, a transaction or an invitation. */
using id = std::array<std::byte, 32>;
/** A place in the order. Places compare like their bytes. */
using place = std::array<std::byte, 48>;

/** What a member may do. */
enum class role : std::uint32_t { none = KITH_NO_ROLE, reader = KITH_READER, writer = KITH_WRITER, admin = KITH_ADMIN };
/** Which state is read. */
enum class level : std::uint32_t { tentative = KITH_TENTATIVE, final = KITH_FINAL };
/** What a transaction did at its place. */
enum class outcome : std::uint32_t {
    pending = KITH_OUTCOME_PENDING,
    accepted = KITH_OUTCOME_ACCEPTED,
    rejected = KITH_OUTCOME_REJECTED
};
/** What is logged. */
enum class log_level : std::uint32_t {
    off = KITH_LOG_OFF,
    error = KITH_LOG_ERROR,
    warn = KITH_LOG_WARN,
    info = KITH_LOG_INFO,
    debug = KITH_LOG_DEBUG,
    trace = KITH_LOG_TRACE
};

/** A time that is never over. */
inline constexpr std::chrono::milliseconds forever = std::chrono::milliseconds::max();

/** A failed call. `what()` is for people. */
class error : public std::runtime_error {
public:
    /** A failure of this kind with this text. */
    error(kith_status kind, const std::string &text) : std::runtime_error(text), kind_(kind) {}
    /** The kind: KITH_BUSY, KITH_REJECTED … */
    kith_status kind() const noexcept { return kind_; }
    /** The kind's name, for logs. */
    const char *name() const noexcept { return kith_status_name(static_cast<std::uint32_t>(kind_)); }

private:
    kith_status kind_;
};

/** Thrown by an application: the call is refused, by every member alike. */
class rejected : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

/** Thrown by an application: something is wrong on this machine only. Applying halts, and is tried again. */
class local_fault : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

/** Bytes that somebody else owns. Made from bytes, texts, ids and keys; texts are their bytes without a NUL. */
class bytes_view {
public:
    constexpr bytes_view() noexcept = default;
    /** These bytes. */
    constexpr bytes_view(const std::byte *data, std::size_t size) noexcept : data_(data), size_(size) {}
    /** Bytes that are owned. */
    bytes_view(const bytes &owned) noexcept : data_(owned.data()), size_(owned.size()) {}
    /** A text. */
    bytes_view(std::string_view text) noexcept
        : data_(reinterpret_cast<const std::byte *>(text.data())), size_(text.size()) {}
    /** A text. */
    bytes_view(const std::string &text) noexcept : bytes_view(std::string_view(text)) {}
    /** A text that ends in NUL. */
    bytes_view(const char *text) noexcept : bytes_view(std::string_view(text)) {}
    /** An id, a key, a place. */
    template <std::size_t N>
    constexpr bytes_view(const std::array<std::byte, N> &array) noexcept : data_(array.data()), size_(N) {}

    /** The first byte. */
    constexpr const std::byte *data() const noexcept { return data_; }
    /** How many there are. */
    constexpr std::size_t size() const noexcept { return size_; }
    /** Whether there are none. */
    constexpr bool empty() const noexcept { return size_ == 0; }
    /** The first one. */
    constexpr const std::byte *begin() const noexcept { return data_; }
    /** Behind the last one. */
    constexpr const std::byte *end() const noexcept { return data_ + size_; }
    /** The same as text. */
    std::string_view text() const noexcept { return {reinterpret_cast<const char *>(data_), size_}; }
    /** A copy. */
    bytes copy() const { return bytes(begin(), end()); }
    /** Whether both have the same bytes. */
    friend bool operator==(bytes_view one, bytes_view other) noexcept { return one.text() == other.text(); }
    /** Whether they differ. */
    friend bool operator!=(bytes_view one, bytes_view other) noexcept { return !(one == other); }

private:
    const std::byte *data_ = nullptr;
    std::size_t size_ = 0;
};

/** Whatever is not of the interface. */
namespace detail {

inline void check(kith_status status) {
    if (status == KITH_OK) {
        return;
    }
    std::size_t needed = 0;
    kith_last_error(nullptr, 0, &needed);
    std::string text(needed == 0 ? 1 : needed, '\0');
    kith_last_error(text.data(), text.size(), nullptr);
    text.resize(std::strlen(text.c_str()));
    throw error(status, text);
}

/** False if it is not found. */
inline bool found(kith_status status) {
    if (status == KITH_NOT_FOUND) {
        return false;
    }
    check(status);
    return true;
}

inline const std::uint8_t *in(bytes_view view) noexcept { return reinterpret_cast<const std::uint8_t *>(view.data()); }
/** Never NULL, which stands for absence. */
inline const std::uint8_t *present(bytes_view view) noexcept {
    static constexpr std::uint8_t nothing = 0;
    return view.data() == nullptr ? &nothing : in(view);
}
template <std::size_t N> std::uint8_t *out(std::array<std::byte, N> &array) noexcept {
    return reinterpret_cast<std::uint8_t *>(array.data());
}
inline bytes_view view(const std::uint8_t *data, std::size_t size) noexcept {
    return {reinterpret_cast<const std::byte *>(data), size};
}
template <std::size_t N> std::array<std::byte, N> array(const std::uint8_t *data) noexcept {
    std::array<std::byte, N> copied;
    std::memcpy(copied.data(), data, N);
    return copied;
}
inline std::optional<id> maybe(const std::uint8_t *data) noexcept {
    return data == nullptr ? std::nullopt : std::optional<id>(array<32>(data));
}
inline std::uint64_t milliseconds(std::chrono::milliseconds time) {
    if (time == forever) {
        return KITH_FOREVER;
    }
    return time.count() < 0 ? 0 : static_cast<std::uint64_t>(time.count());
}
inline std::vector<std::string> lines(std::string_view text) {
    std::vector<std::string> lines;
    while (!text.empty()) {
        const std::size_t end = text.find('\n');
        lines.emplace_back(text.substr(0, end));
        text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
    }
    return lines;
}

/** A buffer of the library's. */
class buffer {
public:
    buffer() = default;
    buffer(const buffer &) = delete;
    buffer &operator=(const buffer &) = delete;
    ~buffer() { kith_buffer_free(&raw_); }
    kith_buffer *out() noexcept { return &raw_; }
    bytes_view view() const noexcept { return detail::view(raw_.data, raw_.length); }
    std::string text() const { return std::string(view().text()); }

private:
    kith_buffer raw_ = {nullptr, 0};
};

template <auto Free> struct freed {
    template <class T> void operator()(T *handle) const noexcept { Free(handle); }
};
/** What is given back by a function of the library. */
template <class T, auto Free> using owned = std::unique_ptr<T, freed<Free>>;

/** Fills a list whose length is known only afterwards: what does not fit is asked for again. */
template <class T, class Fill> std::vector<T> listed(Fill fill) {
    std::vector<T> list(16);
    for (;;) {
        std::size_t count = 0;
        check(fill(list.data(), list.size(), &count));
        const bool whole = count <= list.size();
        list.resize(count);
        if (whole) {
            return list;
        }
    }
}

/** Hands `user_data` to a function that takes it over if it succeeds. */
template <class T, class Call> void handed(std::unique_ptr<T> user_data, Call call) {
    check(call(static_cast<void *>(user_data.get()), [](void *given) { delete static_cast<T *>(given); }));
    user_data.release();
}

} // namespace detail

/** The version of the library that runs. */
inline std::string_view version() noexcept { return kith_version(); }
/** The number of the library's binary interface. */
inline std::uint32_t abi_version() noexcept { return kith_abi_version(); }
/** Throws KITH_VERSION_MISMATCH if the library that runs does not have the binary interface of this header. */
inline void check_version() {
    if (kith_abi_version() != KITH_ABI_VERSION) {
        throw error(KITH_VERSION_MISMATCH, "the header is of kith " KITH_VERSION ", the library is " + std::string(version()));
    }
}
/** The directory for a program's node on this system; nothing is made there. */
inline std::string default_directory(const std::string &name) {
    detail::buffer path;
    detail::check(kith_default_directory(name.c_str(), path.out()));
    return path.text();
}
/** The addresses of members that an invitation names. */
inline std::vector<std::string> invitation_addresses(const std::string &invitation) {
    detail::buffer addresses;
    detail::check(kith_invitation_addresses(invitation.c_str(), addresses.out()));
    return detail::lines(addresses.view().text());
}
/** What names an invitation; for context::revoke. */
inline id invitation_id(const std::string &invitation) {
    id its;
    detail::check(kith_invitation_id(invitation.c_str(), detail::out(its)));
    return its;
}
/** An invitation as bytes: shorter than the text. */
inline bytes invitation_to_bytes(const std::string &invitation) {
    detail::buffer raw;
    detail::check(kith_invitation_to_bytes(invitation.c_str(), raw.out()));
    return raw.view().copy();
}
/** An invitation's text from its bytes. */
inline std::string invitation_from_bytes(bytes_view raw) {
    detail::buffer text;
    detail::check(kith_invitation_from_bytes(detail::in(raw), raw.size(), text.out()));
    return text.text();
}
/** An invitation as a QR code for a terminal. */
inline std::string invitation_qr(const std::string &invitation) {
    detail::buffer drawing;
    detail::check(kith_invitation_qr(invitation.c_str(), drawing.out()));
    return drawing.text();
}

/** Names an entry of a context's state. */
class state_key : public std::array<std::byte, 32> {
public:
    state_key() noexcept : array() {}
    /** A key from its bytes. */
    state_key(const std::array<std::byte, 32> &raw) noexcept : array(raw) {}
    /** The key of an item of a collection. */
    static state_key of(const std::string &collection, const std::string &name) {
        state_key key;
        detail::check(kith_state_key_of(collection.c_str(), name.c_str(), detail::out(key)));
        return key;
    }
    /** The first 16 bytes of the keys of a collection. */
    static std::array<std::byte, 16> collection(const std::string &collection) {
        std::array<std::byte, 16> prefix;
        detail::check(kith_state_key_collection(collection.c_str(), detail::out(prefix)));
        return prefix;
    }
    /** A fresh random key. */
    static state_key random() {
        state_key key;
        detail::check(kith_state_key_random(detail::out(key)));
        return key;
    }
};

/** What is logged is told to `sink` (level, part of the library, text) from now on, on any thread; an empty one: to nobody. What it throws is dropped. */
inline void set_log(log_level up_to, std::function<void(log_level, std::string_view, std::string_view)> sink) {
    using function = decltype(sink);
    if (!sink) {
        detail::check(kith_log_set(static_cast<std::uint32_t>(up_to), nullptr, nullptr, nullptr));
        return;
    }
    detail::handed(std::make_unique<function>(std::move(sink)), [up_to](void *user_data, kith_free_callback free) {
        const kith_log_callback callback = [](void *given, std::uint32_t said, const char *target, const char *message) {
            try {
                (*static_cast<function *>(given))(static_cast<log_level>(said), target, message);
            } catch (...) {
            }
        };
        return kith_log_set(static_cast<std::uint32_t>(up_to), callback, user_data, free);
    });
}

/** Ends blocking calls from another thread. It fires once and stays fired. */
class cancel {
public:
    cancel() {
        kith_cancel *raw = nullptr;
        detail::check(kith_cancel_new(&raw));
        handle_.reset(raw);
    }
    /** Fires. From any thread and any callback. */
    void fire() { detail::check(kith_cancel_fire(handle_.get())); }
    /** Whether it has fired. */
    bool fired() const noexcept { return kith_cancel_fired(handle_.get()); }
    /** The handle of kith.h. */
    kith_cancel *get() const noexcept { return handle_.get(); }

private:
    detail::owned<kith_cancel, kith_cancel_free> handle_;
};

/** While it lives, the blocking calls of the thread that made it end with KITH_CANCELLED once its kith::cancel fires. Scopes do not nest. */
class cancel_scope {
public:
    /** Binds to the calling thread. */
    explicit cancel_scope(const cancel &by) { detail::check(kith_cancel_bind(by.get())); }
    cancel_scope(const cancel_scope &) = delete;
    cancel_scope &operator=(const cancel_scope &) = delete;
    ~cancel_scope() { kith_cancel_bind(nullptr); }
};

/** An entry of the state. The value belongs to what gave the entry. */
struct entry {
    /** Its key. */
    state_key key;
    /** Its value. */
    bytes_view value;
};

/** A page of entries. */
class entries {
public:
    /** Takes a page of kith.h over. */
    explicit entries(kith_entries *raw) noexcept : handle_(raw) {}
    /** How many there are. */
    std::size_t size() const noexcept { return kith_entries_count(handle_.get()); }
    /** Whether there are none: the end. */
    bool empty() const noexcept { return size() == 0; }
    /** One of them; what it points to lives as long as the page. */
    entry operator[](std::size_t index) const {
        const std::uint8_t *key = nullptr, *value = nullptr;
        std::size_t length = 0;
        detail::check(kith_entries_at(handle_.get(), index, &key, &value, &length));
        return {detail::array<32>(key), detail::view(value, length)};
    }
    /** Goes through a page. */
    class iterator {
    public:
        using iterator_category = std::input_iterator_tag;
        using value_type = entry;
        using difference_type = std::ptrdiff_t;
        using pointer = const entry *;
        using reference = entry;
        iterator(const entries *page, std::size_t index) noexcept : page_(page), index_(index) {}
        entry operator*() const { return (*page_)[index_]; }
        iterator &operator++() noexcept { return ++index_, *this; }
        iterator operator++(int) noexcept { return {page_, index_++}; }
        bool operator==(const iterator &other) const noexcept { return index_ == other.index_; }
        bool operator!=(const iterator &other) const noexcept { return index_ != other.index_; }

    private:
        const entries *page_;
        std::size_t index_;
    };
    /** The first entry. */
    iterator begin() const noexcept { return {this, 0}; }
    /** Behind the last one. */
    iterator end() const noexcept { return {this, size()}; }
    /** The handle of kith.h. */
    kith_entries *get() const noexcept { return handle_.get(); }

private:
    detail::owned<kith_entries, kith_entries_free> handle_;
};

} // namespace kith

#include "kith/application.hpp"
#include "kith/events.hpp"  // before those that use it
#include "kith/sealing.hpp" // before those that use it

#include "kith/context.hpp"
#include "kith/node.hpp"

#endif /* KITH_HPP */
