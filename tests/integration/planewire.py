# SPDX-License-Identifier: Apache-2.0
"""The protocol between the planes, written a second time from its description (docs/internals/protocol.md,
proto/sluice.proto) and from nothing else: what this opens, changes and seals again, the real programs believe or refuse
by the document, not because both sides share code.

Messages are lists of [field, wire type, value], so unknown fields are kept. Cryptography is libsodium's, by ctypes, and
hashlib's BLAKE2b.
"""
import base64
import ctypes
import ctypes.util
import hashlib
import os
import struct

sodium = ctypes.CDLL(ctypes.util.find_library("sodium") or "libsodium.so.23")
assert sodium.sodium_init() >= 0

BROADCAST, ANSWER, UPWARD = 1, 2, 3  # purposes of a sealing key
DELTA, HEARTBEAT, SYNC_REQUEST, SYNC_CHUNK, REFUSAL, REPORT, USAGE_REPORT, USAGE_ACK, LEASE_REQUEST, LEASE_GRANT, PROBES = range(1, 12)
PURPOSE = {("pub", False): BROADCAST, ("rep", False): ANSWER, ("rep", True): UPWARD, ("pull", True): UPWARD}

# Which fields hold messages.
RESOURCE = {f: {} for f in (11, 12, 13, 14, 15, 16, 17, 18)}
ITEM = {4: RESOURCE}
NESTED = {DELTA: {3: ITEM, 4: {}}, SYNC_CHUNK: {9: ITEM}, REPORT: {7: {}, 9: {}}, USAGE_REPORT: {5: {}}, LEASE_REQUEST: {2: {}},
          LEASE_GRANT: {1: {}}, PROBES: {1: {}}}


# ---- protobuf ------------------------------------------------------------------------------------

def varint(n):
    out = b""
    while n > 127:
        out += bytes([n & 127 | 128])
        n >>= 7
    return out + bytes([n])


def take_varint(data, at):
    n = shift = 0
    while True:
        b = data[at]
        n |= (b & 127) << shift
        at, shift = at + 1, shift + 7
        if b < 128:
            return n, at


def parse(data):
    fields, at = [], 0
    while at < len(data):
        tag, at = take_varint(data, at)
        kind = tag & 7
        if kind == 0:
            value, at = take_varint(data, at)
        elif kind == 2:
            n, at = take_varint(data, at)
            value, at = data[at:at + n], at + n
        else:
            n = {1: 8, 5: 4}[kind]
            value, at = data[at:at + n], at + n
        fields.append([tag >> 3, kind, value])
    return fields


def build(fields):
    out = b""
    for field, kind, value in fields:
        out += varint(field << 3 | kind)
        out += varint(value) if kind == 0 else (varint(len(value)) if kind == 2 else b"") + value
    return out


def get(fields, number, default=0):
    return next((v for f, _, v in reversed(fields) if f == number), default)


def put(fields, number, value):
    fields[:] = [x for x in fields if x[0] != number]
    if value:
        fields.append([number, 0 if isinstance(value, int) else 2, value])


# ---- keys ----------------------------------------------------------------------------------------

def read_key(path, nth=0):
    lines = [x.strip() for x in open(path) if x.strip() and not x.startswith(("#", "cluster="))]
    return base64.b64decode(lines[nth])


def key_id(label, key):
    n = int.from_bytes(hashlib.blake2b(label.encode() + key, digest_size=16).digest()[:4], "little")
    return n or 1


class Keys:
    """What a control plane has (with the signing key) or a proxy (without)."""

    def __init__(self, dir, signing=True):
        self.secret = read_key(dir / "cluster-secret")
        self.id = key_id("sluice secret id ", self.secret)
        name = next((x[8:].strip() for x in open(dir / "cluster-secret") if x.startswith("cluster=")), "default")
        self.cluster = hashlib.blake2b(b"sluice cluster " + name.encode(), digest_size=16).digest()[:8]
        self.sealing = {p: hashlib.blake2b(digest_size=32, key=self.secret, salt=struct.pack("<Q", p) + bytes(8),
                                           person=b"sluicemg" + bytes(8)).digest() for p in (1, 2, 3, 4)}
        if signing:
            self.set_seed(read_key(dir / "signing-key"))

    def set_seed(self, seed):
        public, secret = ctypes.create_string_buffer(32), ctypes.create_string_buffer(64)
        sodium.crypto_sign_seed_keypair(public, secret, seed)
        self.public, self.sign = public.raw, secret.raw
        self.signer = key_id("sluice signer id ", self.public)


# ---- the envelope --------------------------------------------------------------------------------

class Message:
    """An opened message: `head` (the envelope's fields), `body` (the message's)."""

    def __init__(self, type, body, **head):
        self.type, self.body = type, body
        self.epoch, self.seq, self.sender, self.count = (head.get(k, d) for k, d in (("epoch", b""), ("seq", 0), ("sender", b""), ("count", 0)))
        self.request, self.recipient = head.get("request", b""), head.get("recipient", b"")
        self.extra = []  # fields of the envelope that nobody knows

    def associated(self, keys, signer):
        full = lambda b: b.ljust(16, b"\0")
        return (b"SLUICE1\0" + struct.pack("<II", 1, self.type) + keys.cluster + struct.pack("<I", keys.id) + full(self.epoch) +
                struct.pack("<Q", self.seq) + full(self.sender) + struct.pack("<Q", self.count) + full(self.request) + full(self.recipient) +
                struct.pack("<I", signer))

    def close(self, keys, purpose, signer=None):
        signed = purpose in (BROADCAST, ANSWER)
        signer = signer if signer is not None else keys.signer if signed else 0
        text, ad, nonce = build(self.body), self.associated(keys, signer), os.urandom(24)
        out = ctypes.create_string_buffer(len(text) + 16)
        sodium.crypto_aead_xchacha20poly1305_ietf_encrypt(out, None, text, ctypes.c_ulonglong(len(text)), ad,
                                                          ctypes.c_ulonglong(len(ad)), None, nonce, keys.sealing[purpose])
        fields = []
        for number, value in ((1, 1), (2, self.type), (3, keys.cluster), (4, keys.id), (5, self.epoch), (6, self.seq), (7, self.sender),
                              (8, self.count), (9, self.request), (10, self.recipient), (11, nonce), (12, out.raw)):
            put(fields, number, value)
        if signed:
            put(fields, 13, signer)
            put(fields, 14, sign(keys, (ad, nonce, out.raw)))
        return build(fields + self.extra)


def sign(keys, parts):
    digest = hashlib.blake2b(b"sluice signature 1" + b"".join(struct.pack("<Q", len(p)) + p for p in parts), digest_size=64).digest()
    out = ctypes.create_string_buffer(64)
    sodium.crypto_sign_detached(out, None, digest, ctypes.c_ulonglong(64), keys.sign)
    return out.raw


def open_message(keys, purpose, data):
    e = parse(data)
    assert get(e, 1) == 1 and get(e, 3) == keys.cluster and get(e, 4) == keys.id
    m = Message(get(e, 2), None, epoch=get(e, 5, b""), seq=get(e, 6), sender=get(e, 7, b""), count=get(e, 8), request=get(e, 9, b""),
                recipient=get(e, 10, b""))
    sealed, nonce, ad = get(e, 12, b""), get(e, 11, b""), m.associated(keys, get(e, 13))
    out = ctypes.create_string_buffer(max(1, len(sealed) - 16))
    rc = sodium.crypto_aead_xchacha20poly1305_ietf_decrypt(out, None, None, sealed, ctypes.c_ulonglong(len(sealed)), ad,
                                                           ctypes.c_ulonglong(len(ad)), nonce, keys.sealing[purpose])
    assert rc == 0, "the seal does not open"
    m.body = parse(out.raw[:len(sealed) - 16])
    return m


# ---- the state's digest --------------------------------------------------------------------------

def digest_of(kind, id, version):
    """SipHash-1-3 of (version, kind, id)."""
    mask = (1 << 64) - 1
    k0, k1 = 0x736c756963652d73, 0x746174652d646967
    v = [k0 ^ 0x736f6d6570736575, k1 ^ 0x646f72616e646f6d, k0 ^ 0x6c7967656e657261, k1 ^ 0x7465646279746573]
    rol = lambda x, n: ((x << n) | (x >> (64 - n))) & mask

    def round():
        v[0] = v[0] + v[1] & mask; v[1] = rol(v[1], 13) ^ v[0]; v[0] = rol(v[0], 32)
        v[2] = v[2] + v[3] & mask; v[3] = rol(v[3], 16) ^ v[2]
        v[0] = v[0] + v[3] & mask; v[3] = rol(v[3], 21) ^ v[0]
        v[2] = v[2] + v[1] & mask; v[1] = rol(v[1], 17) ^ v[2]; v[2] = rol(v[2], 32)

    text = struct.pack("<QI", version, kind) + id.encode()
    whole = len(text) // 8 * 8
    for i in range(0, whole, 8):
        m, = struct.unpack_from("<Q", text, i)
        v[3] ^= m; round(); v[0] ^= m
    last = len(text) << 56 & mask | int.from_bytes(text[whole:], "little")
    v[3] ^= last; round(); v[0] ^= last
    v[2] ^= 0xff
    round(); round(); round()
    return v[0] ^ v[1] ^ v[2] ^ v[3]
