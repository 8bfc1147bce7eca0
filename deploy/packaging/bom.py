"""Apple's bill of materials, the file `Bom` of a flat package: big-endian blocks, found by a table at the
end, with a tree of paths. Nothing but this form is needed, so nothing else of it is written.

    "BOMStore" version blocks | index at, bytes | variables at, bytes      512 bytes with what follows
    variables: count, then (block, length of name, name)
    blocks
    index: count, (address, bytes)... ; the first is empty; then an empty list of free blocks
"""

import struct

HEADER_BYTES = 512
FILE, FOLDER = 1, 2


class Store:
    def __init__(self):
        self.blocks = [b""]
        self.variables = []

    def block(self, content):
        self.blocks.append(content)
        return len(self.blocks) - 1

    def variable(self, name, content):
        self.variables.append((self.block(content), name.encode()))

    def bytes(self):
        variables = struct.pack(">I", len(self.variables))
        for block, name in self.variables:
            variables += struct.pack(">IB", block, len(name)) + name
        address = HEADER_BYTES + len(variables)
        index = struct.pack(">I", len(self.blocks))
        for content in self.blocks:
            index += struct.pack(">II", address if content else 0, len(content))
            address += len(content)
        index += struct.pack(">I", 0) + bytes(16)
        header = b"BOMStore" + struct.pack(">IIIIII", 1, len(self.blocks) - 1, address, len(index), HEADER_BYTES,
                                           len(variables))
        return header.ljust(HEADER_BYTES, b"\0") + variables + b"".join(self.blocks) + index


def write(entries, epoch):
    """`entries` are (path, mode with its type, content or None), parents first, from `.` on."""
    if len(entries) > 256:
        raise ValueError("a leaf of the tree holds 256 paths")
    store = Store()
    store.variable("BomInfo", struct.pack(">III", 1, len(entries) + 1, 1) + bytes(16))
    leaf, ids = b"", {}
    for number, (path, mode, content) in enumerate(entries, start=1):
        parent, _, name = path.rpartition("/")
        kind = FOLDER if content is None else FILE
        about = struct.pack(">BBHHIIIIBII", kind, 1, 3, mode, 0, 0, epoch, len(content or b""), 1,
                            cksum(content) if content is not None else 0, 0)
        info = store.block(struct.pack(">II", number, store.block(about)))
        file = store.block(struct.pack(">I", ids.get(parent, 0)) + name.encode() + b"\0")
        leaf += struct.pack(">II", info, file)
        ids[path] = number
    paths = store.block(struct.pack(">HHII", 1, len(entries), 0, 0) + leaf)
    store.variable("Paths", tree(paths, 4096, len(entries)))
    empty = struct.pack(">HHII", 1, 0, 0, 0)
    store.variable("HLIndex", tree(store.block(empty), 4096, 0))
    inner = store.block(tree(store.block(empty), 128, 0))
    store.variable("VIndex", struct.pack(">IIIB", 1, inner, 0, 0))
    store.variable("Size64", tree(store.block(empty), 4096, 0))
    return store.bytes()


def tree(child, block_bytes, paths):
    return b"tree" + struct.pack(">IIIIB", 1, child, block_bytes, paths, 0)


def table():
    rows = []
    for byte in range(256):
        value = byte << 24
        for _ in range(8):
            value = (value << 1) ^ (0x04C11DB7 if value & 0x80000000 else 0)
        rows.append(value & 0xFFFFFFFF)
    return rows


TABLE = table()


def cksum(content):
    """The checksum of cksum(1)."""
    value = 0
    length, tail = len(content), b""
    while length:
        tail += bytes([length & 0xFF])
        length >>= 8
    for part in (content, tail):
        for byte in part:
            value = ((value << 8) & 0xFFFFFFFF) ^ TABLE[(value >> 24) ^ byte]
    return value ^ 0xFFFFFFFF
