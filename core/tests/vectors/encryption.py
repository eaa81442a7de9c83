#!/usr/bin/env python3
"""Writes encryption.json: known answers of docs/encryption.md, computed by a second implementation.

Needs nothing of Kith: the standard library, and of `cryptography` (48 or later) X25519, ChaCha20-Poly1305 and ML-KEM-768. HPKE (RFC 9180),
X-Wing (draft 06), HChaCha20 and BLAKE3 (one chunk) are written out here. With --check it compares with the file instead.
"""

import hashlib
import hmac
import json
import pathlib
import struct
import sys

from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

FILE = pathlib.Path(__file__).with_name("encryption.json")


# HKDF-SHA256 (RFC 5869).
def extract(salt, ikm):
    return hmac.new(salt or bytes(32), ikm, hashlib.sha256).digest()


def expand(prk, info, length):
    out, block, count = b"", b"", 1
    while len(out) < length:
        block = hmac.new(prk, block + info + bytes([count]), hashlib.sha256).digest()
        out, count = out + block, count + 1
    return out[:length]


# Kith's key schedule.
class Scope:
    def __init__(self, suite, context):
        self.suite, self.context = suite, context

    def info(self, label, *parts):
        head = b"kith 2026 encryption" + bytes([self.suite]) + self.context
        return head + bytes([len(label)]) + label.encode() + b"".join(parts)

    def derive(self, secret, label, *parts, length=32):
        return expand(extract(b"", secret), self.info(label, *parts), length)

    def hash(self, label, *parts):
        return hashlib.sha256(self.info(label, *parts)).digest()

    def drawn(self, entropy, blocks):
        return b"".join(self.derive(entropy, "drawn", u32(n)) for n in range(blocks))


def u32(number):
    return struct.pack("<I", number)


# BLAKE3, inputs of one chunk.
IV = [0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19]
PERMUTATION = [2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8]


def rotate(word, bits):
    return ((word >> bits) | (word << (32 - bits))) & 0xFFFFFFFF


def compress(chain, block, length, flags):
    s = chain + IV[:4] + [0, 0, length, flags]
    m = list(struct.unpack("<16I", block.ljust(64, b"\0")))

    def g(a, b, c, d, x, y):
        s[a] = (s[a] + s[b] + x) & 0xFFFFFFFF
        s[d] = rotate(s[d] ^ s[a], 16)
        s[c] = (s[c] + s[d]) & 0xFFFFFFFF
        s[b] = rotate(s[b] ^ s[c], 12)
        s[a] = (s[a] + s[b] + y) & 0xFFFFFFFF
        s[d] = rotate(s[d] ^ s[a], 8)
        s[c] = (s[c] + s[d]) & 0xFFFFFFFF
        s[b] = rotate(s[b] ^ s[c], 7)

    for turn in range(7):
        for at, (a, b, c, d) in enumerate([(0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15)]):
            g(a, b, c, d, m[2 * at], m[2 * at + 1])
        for at, (a, b, c, d) in enumerate([(0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14)]):
            g(a, b, c, d, m[8 + 2 * at], m[9 + 2 * at])
        m = [m[n] for n in PERMUTATION]
    return [s[n] ^ s[n + 8] for n in range(8)]


def blake3(key, content, flags):
    assert len(content) <= 1024
    blocks = [content[n : n + 64] for n in range(0, len(content), 64)] or [b""]
    chain = key
    for number, block in enumerate(blocks):
        start = 1 if number == 0 else 0
        end = 2 | 8 if number == len(blocks) - 1 else 0
        chain = compress(chain, block, len(block), flags | start | end)
    return struct.pack("<8I", *chain)


def blake3_derive(context, content):
    key = list(struct.unpack("<8I", blake3(IV, context.encode(), 32)))
    return blake3(key, content, 64)


# XChaCha20-Poly1305.
def hchacha(key, nonce):
    s = list(struct.unpack("<4I", b"expand 32-byte k")) + list(struct.unpack("<8I", key))
    s += struct.unpack("<4I", nonce)

    def quarter(a, b, c, d):
        for x, y, z, bits in [(a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)]:
            s[x] = (s[x] + s[y]) & 0xFFFFFFFF
            s[z] = rotate(s[z] ^ s[x], 32 - bits)

    for _ in range(10):
        for a in range(4):
            quarter(a, a + 4, a + 8, a + 12)
        for a in range(4):
            quarter(a, 4 + (a + 1) % 4, 8 + (a + 2) % 4, 12 + (a + 3) % 4)
    return struct.pack("<8I", *(s[:4] + s[12:]))


def xchacha(key, nonce, plaintext, aad):
    return ChaCha20Poly1305(hchacha(key, nonce[:16])).encrypt(bytes(4) + nonce[16:], plaintext, aad)


# HPKE with HKDF-SHA256 (0x0001) and ChaCha20-Poly1305 (0x0003).
def labeled_extract(suite, salt, label, ikm):
    return extract(salt, b"HPKE-v1" + suite + label + ikm)


def labeled_expand(suite, prk, label, info, length):
    return expand(prk, struct.pack(">H", length) + b"HPKE-v1" + suite + label + info, length)


def raw(key):
    if isinstance(key, X25519PrivateKey):
        return key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
    return key.public_bytes(Encoding.Raw, PublicFormat.Raw)


X25519_KEM = b"KEM" + struct.pack(">H", 0x0020)


def x25519_pair(ikm):
    prk = labeled_extract(X25519_KEM, b"", b"dkp_prk", ikm)
    private = bytearray(labeled_expand(X25519_KEM, prk, b"sk", b"", 32))
    private[0] &= 248
    private[31] = private[31] & 127 | 64
    key = X25519PrivateKey.from_private_bytes(bytes(private))
    return bytes(private), raw(key.public_key())


def x25519_shared(dh, enc, public):
    prk = labeled_extract(X25519_KEM, b"", b"eae_prk", dh)
    return labeled_expand(X25519_KEM, prk, b"shared_secret", enc + public, 32)


def x25519_encapsulate(public, ikm):
    private, enc = x25519_pair(ikm)
    dh = X25519PrivateKey.from_private_bytes(private).exchange(X25519PublicKey.from_public_bytes(public))
    return x25519_shared(dh, enc, public), enc


XWING_KEM = b"KEM" + struct.pack(">H", 0x647A)


def xwing_expand(private):
    seed = hashlib.shake_256(private).digest(96)
    return MLKEM768PrivateKey.from_seed_bytes(seed[:64]), X25519PrivateKey.from_private_bytes(seed[64:])


def xwing_pair(ikm):
    # SHAKE256.LabeledDerive(ikm, "DeriveKeyPair", "", 32)
    label = b"DeriveKeyPair"
    told = b"HPKE-v1" + XWING_KEM + struct.pack(">H", len(label)) + label + struct.pack(">H", 32)
    private = hashlib.shake_256(ikm + told).digest(32)
    lattice, curve = xwing_expand(private)
    return private, raw(lattice.public_key()) + raw(curve.public_key())


def xwing_combine(lattice, curve, enc, public):
    return hashlib.sha3_256(lattice + curve + enc + public + b"\\.//^\\").digest()


def xwing_encapsulate(public):
    shared, ciphertext = MLKEM768PublicKey.from_public_bytes(public[:1184]).encapsulate()
    eph = X25519PrivateKey.generate()
    curve = eph.exchange(X25519PublicKey.from_public_bytes(public[1184:]))
    enc = raw(eph.public_key())
    return xwing_combine(shared, curve, enc, public[1184:]), ciphertext + enc


def xwing_decapsulate(private, enc):
    lattice, curve = xwing_expand(private)
    shared = lattice.decapsulate(enc[:1088])
    ours = curve.exchange(X25519PublicKey.from_public_bytes(enc[1088:]))
    return xwing_combine(shared, ours, enc[1088:], raw(curve.public_key()))


def schedule(kem, shared, info, psk, psk_id):
    suite = b"HPKE" + struct.pack(">HHH", kem, 0x0001, 0x0003)
    mode = bytes([1 if psk else 0])
    context = mode + labeled_extract(suite, b"", b"psk_id_hash", psk_id)
    context += labeled_extract(suite, b"", b"info_hash", info)
    secret = labeled_extract(suite, shared, b"secret", psk)
    key = labeled_expand(suite, secret, b"key", context, 32)
    nonce = labeled_expand(suite, secret, b"base_nonce", context, 12)
    exporter = labeled_expand(suite, secret, b"exp", context, 32)
    return key, nonce, labeled_expand(suite, exporter, b"sec", b"next", 32)


def wrap(scope, encapsulated, ends, commit, step, key_index, root, seed):
    """The wrap, and the root of the next step."""
    head = u32(step) + u32(key_index)
    shared, enc = encapsulated
    kem = 0x0020 if scope.suite == 1 else 0x647A
    psk, psk_id = (root, u32(step)) if step else (b"", b"")
    key, nonce, following = schedule(kem, shared, scope.info("pair", *ends), psk, psk_id)
    aad = scope.info("wrap", *ends, commit, head)
    return head + enc + ChaCha20Poly1305(key).encrypt(nonce, seed, aad), following


def x25519(out):
    scope = Scope(1, bytes([9] * 32))
    author, member = bytes([0xA1] * 32), bytes([0xB2] * 32)
    entropies = {name: bytes([number] * 32) for number, name in enumerate(["author", "member", "first", "second"], 1)}
    keys = {}
    for name in ["author", "member"]:
        keys[name] = x25519_pair(scope.derive(entropies[name], "entropy-key"))
    out["x25519"] = {
        "context": scope.context,
        "author": author,
        "member": member,
        "entropy": entropies,
        "ratchet_keys": {name: {"private": pair[0], "public": pair[1]} for name, pair in keys.items()},
        "epochs": [],
    }
    root = b""
    for step, name in enumerate(["first", "second"]):
        entropy = entropies[name]
        seed = scope.derive(entropy, "entropy-seed")
        commit = scope.hash("epoch-commit", author, seed)
        drawn = scope.drawn(scope.derive(entropy, "entropy-wrap", member), 1)
        sealed, root = wrap(
            scope, x25519_encapsulate(keys["member"][1], drawn), (author, member), commit, step, 0, root, seed
        )
        epoch = bytes([0xE0 + step] * 32)
        out["x25519"]["epochs"].append(
            {
                "id": epoch,
                "seed": seed,
                "commit": commit,
                "own_key": keys["author"][1],
                "wrap": sealed,
                "next_root": root,
                "author_chain": scope.derive(seed, "sender", epoch, author),
                "member_chain": scope.derive(seed, "sender", epoch, member),
                "envelope": scope.derive(seed, "envelope", epoch),
            }
        )


def messages(out):
    """Messages of the author whose signing key is 32 bytes of 3, in the first epoch."""
    scope = Scope(1, bytes([9] * 32))
    out["messages"] = {"author": AUTHOR, "previous": bytes([0x77] * 32), "epoch": bytes([0xE5] * 32), "sealed": []}
    seed = bytes([0x5E] * 32)
    chain = scope.derive(seed, "sender", out["messages"]["epoch"], AUTHOR)
    out["messages"] |= {"seed": seed, "chain": chain}
    for counter, text in enumerate([b"", b"hello", bytes(range(200))]):
        message = scope.derive(chain, "msg")
        chain = scope.derive(chain, "chain")
        ckey = scope.derive(message, "commit")
        commitment = blake3_derive("kith 2026 payload commitment", ckey + text)

        def header(payload_hash):
            return (
                bytes([1]) + scope.context + AUTHOR + struct.pack("<Q", 2 + counter)
                + out["messages"]["previous"] + u32(0) + struct.pack("<QQ", 5 + counter, 1234567 + counter)
                + bytes([2]) + out["messages"]["epoch"] + u32(counter) + commitment + payload_hash
                + u32(len(text) + 16)
            )

        aad = header(bytes(32))
        nonce = scope.derive(message, "nonce", aad, length=24)
        key = scope.derive(message, "aead")
        payload = xchacha(key, nonce, text, aad)
        payload_hash = blake3_derive("kith 2026 payload", payload)
        out["messages"]["sealed"].append(
            {
                "counter": counter,
                "plaintext": text,
                "message_key": message,
                "next_chain": chain,
                "commitment_key": ckey,
                "commitment": commitment,
                "aad": aad,
                "nonce": nonce,
                "key": key,
                "payload": payload,
                "payload_hash": payload_hash,
                "header": header(payload_hash),
                "id": blake3_derive("kith 2026 transaction id", header(payload_hash)),
            }
        )


def envelopes(out):
    scope = Scope(1, bytes([9] * 32))
    access = bytes([0xAC] * 32)
    key = scope.derive(access, "envelope", bytes(32))
    tag = scope.derive(key, "envelope-tag", length=16)
    content = bytes(n % 251 for n in range(700))
    nonce = scope.derive(key, "envelope-nonce", scope.hash("envelope-content", content), length=24)
    padded = (u32(len(content)) + content).ljust(768, b"\0")
    sealed = nonce + xchacha(scope.derive(key, "envelope-key"), nonce, padded, tag)
    topic = scope.derive(key, "gossip-topic")
    # The same of an epoch's key, in a context of the second suite.
    other = Scope(2, bytes([8] * 32)).derive(key, "gossip-topic")
    out["envelope"] = {
        "access_key": access, "key": key, "tag": tag, "topic": topic, "other_topic": other, "content": content,
        "sealed": sealed,
    }


def climb(level, at):
    """The root, and what the one at this place needs to find it: each time the other half of its pair, if there is one."""
    if len(level) == 1:
        return level[0], []
    pairs = [level[n : n + 2] for n in range(0, len(level), 2)]
    beside = [half for n, half in enumerate(pairs[at // 2]) if n != at % 2]
    up = [hashlib.sha256(b"\1" + b"".join(pair)).digest() if len(pair) == 2 else pair[0] for pair in pairs]
    root, path = climb(up, at // 2)
    return root, beside + path


def tree(out):
    scope, author, count = Scope(1, bytes([9] * 32)), bytes([0xA1] * 32), 373
    leaves = []
    for number in range(count):
        leaf = scope.info("leaf", author, u32(number), bytes([number % 256]) * 88)
        leaves.append(hashlib.sha256(b"\0" + leaf).digest())
    paths = {str(number): climb(leaves, number)[1] for number in [0, 1, 186, 371, 372]}
    out["tree"] = {"author": author, "count": count, "root": climb(leaves, 0)[0], "paths": paths}


def xwing(out, before):
    scope = Scope(2, bytes([9] * 32))
    author, member, entropy = bytes([0xA1] * 32), bytes([0xB2] * 32), bytes([2] * 32)
    private, public = xwing_pair(scope.derive(entropy, "entropy-key"))
    root, steps = b"", []
    for step in range(3):
        seed, epoch = bytes([0x5E + step] * 32), bytes([0xE0 + step] * 32)
        commit = scope.hash("epoch-commit", author, seed)
        if step < len(before):
            # Encapsulation is random here: what is in the file stays, if it opens.
            enc = bytes.fromhex(before[step]["wrap"])[8:1128]
            encapsulated = (xwing_decapsulate(private, enc), enc)
        else:
            encapsulated = xwing_encapsulate(public)
        sealed, root = wrap(scope, encapsulated, (author, member), commit, step, 0, root, seed)
        steps.append(
            {
                "id": epoch,
                "seed": seed,
                "commit": commit,
                "wrap": sealed,
                "next_root": root,
                "author_chain": scope.derive(seed, "sender", epoch, author),
                "envelope": scope.derive(seed, "envelope", epoch),
            }
        )
    out["xwing"] = {
        "context": scope.context, "author": author, "member": member, "entropy": entropy, "private": private,
        "public": public, "epochs": steps,
    }


def hexed(value):
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {key: hexed(inner) for key, inner in value.items()}
    return [hexed(inner) for inner in value] if isinstance(value, list) else value


def main():
    before = json.loads(FILE.read_text()) if FILE.exists() else {}
    out = {}
    x25519(out)
    messages(out)
    envelopes(out)
    tree(out)
    xwing(out, before.get("xwing", {}).get("epochs", []))
    if "--check" in sys.argv[1:]:
        assert hexed(out) == before, "encryption.json is not what comes out"
    else:
        FILE.write_text(json.dumps(hexed(out), indent=1) + "\n")


# The Ed25519 key whose private half is 32 bytes of 3.
AUTHOR = bytes.fromhex("ed4928c628d1c2c6eae90338905995612959273a5c63f93636c14614ac8737d1")

if __name__ == "__main__":
    main()
