/**
 * @file
 * What directories and contexts are sealed under. Included by kith.hpp.
 */

#ifndef KITH_SEALING_HPP
#define KITH_SEALING_HPP

#ifndef KITH_HPP
#error "include kith.hpp, which includes this"
#endif

namespace kith {

/** How the payloads of a context are sealed, for good. */
enum class encryption : std::uint32_t {
    off = KITH_ENCRYPTION_OFF,
    x25519 = KITH_ENCRYPTION_X25519,
    x_wing = KITH_ENCRYPTION_X_WING
};

/** What a directory, or an export, is sealed under: 32 bytes that the host keeps, or a passphrase. The bytes are wiped when it is destroyed; a passphrase is not. */
class storage_key {
public:
    /** 32 bytes, from the host's keystore. */
    explicit storage_key(const std::array<std::byte, 32> &key) : key_(key) {}
    /** A passphrase of 1 to 1,024 bytes, from which the key is worked out whenever it is used. */
    explicit storage_key(std::string passphrase) : passphrase_(std::move(passphrase)) {}
    /** A copy. */
    storage_key(const storage_key &) = default;
    /** A copy. */
    storage_key &operator=(const storage_key &) = default;
    ~storage_key() {
        if (key_) {
            // Not left out by compilers, though nobody reads it any more.
            volatile std::byte *bytes = key_->data();
            for (std::size_t at = 0; at < key_->size(); at++) {
                bytes[at] = std::byte{0};
            }
        }
    }
    /** The 32 bytes; NULL: it is a passphrase. */
    const std::uint8_t *key() const noexcept { return key_ ? detail::in(*key_) : nullptr; }
    /** The passphrase; NULL: it is 32 bytes. */
    const char *passphrase() const noexcept { return key_ ? nullptr : passphrase_.c_str(); }

private:
    std::optional<std::array<std::byte, 32>> key_;
    std::string passphrase_;
};

/** What was exported or imported. */
struct exported {
    /** How many records there are. */
    std::uint64_t records;
    /** How many bytes they have, keys and values. */
    std::uint64_t bytes;
    /** Whether it is a move, so that what is imported signs. */
    bool moved;
};

/** How an export is taken in. */
struct import_options {
    /** What the new directory is sealed under; nothing: a key file beside the store. */
    std::optional<kith::storage_key> storage_key;
    /** What keeps the new directory: KITH_ENGINE_AUTO, KITH_ENGINE_SLED or KITH_ENGINE_REDB. */
    std::uint32_t storage = KITH_ENGINE_AUTO;
    /** Whether the new directory signs although the export is a backup (see kith_import_options.adopt: a danger). */
    bool adopt = false;
};

/** How it stands with a context's keys. */
struct security {
    /** How what is written is sealed. */
    encryption suite;
    /** The epoch under whose keys this member would send now; nothing: one is made first. */
    std::optional<id> epoch;
    /** For how long this node has known that epoch. */
    std::chrono::milliseconds age;
    /** How many members were given its keys, this one included. The others read by shared history. */
    std::uint64_t members_able;
    /** How many members there are. */
    std::uint64_t members;
    /** Why new keys are made before this member's next call; empty: they are not. */
    std::string pending;
    /** How many calls were sent under keys that were not to be used, by anybody. */
    std::uint64_t violations;
    /** How many calls are sealed and not opened here. */
    std::uint64_t unopened;
};

/** What a context is created with. */
struct create_options {
    /** The application: "kv", or one that was registered. */
    std::string application = "kv";
    /** What the application is set up with. */
    kith::bytes arguments;
    /** What people call the context. */
    std::string name;
    /** How what is written is sealed, for good. */
    kith::encryption encryption = kith::encryption::x25519;
};

} // namespace kith

#endif /* KITH_SEALING_HPP */
