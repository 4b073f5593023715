# SPDX-License-Identifier: MIT
"""A client of weir's manager that speaks the protocol of manager/README.md, in plain Python.

    client.py DOOR      DOOR is the program of door.c, which begins a scope and listens

Makes a block, a ShareableList, an array (a .npy file) and a copy of the host's dictionary in the scope from Python,
tracks one that Python made by itself, looks, lists and releases; then the scope ends, and all of them are gone.
"""

import hashlib
import hmac
import json
import os
import secrets
import socket
import struct
import subprocess
import sys
import tempfile

KEY = b"a key\0of Python's"


class Refused(Exception):
    pass


class Manager:
    def __init__(self, address, key=None):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.connect(address)
        greeting = self.hear()
        hello = {"hello": 1}
        if key is not None:
            nonce = secrets.token_hex(32)

            def prove(role):
                text = "weir-1 %s %s %s %s %d" % (role, greeting["scope"], greeting["nonce"], nonce, len(key))
                return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()

            hello.update(nonce=nonce, mac=prove("client"))
        welcome = self.ask(hello)
        if key is not None and not hmac.compare_digest(welcome["mac"], prove("server")):
            raise Refused("the manager does not know the key")

    def hear(self):
        return json.loads(self.socket.recv(65536))

    def ask(self, request, *descriptors):
        socket.send_fds(self.socket, [json.dumps(request).encode()], descriptors)
        reply = self.hear()
        if "error" in reply:
            raise Refused(reply["message"])
        return reply

    def make(self, data, kind="shm", **name):
        fd = os.open("/dev/shm", os.O_TMPFILE | os.O_RDWR, 0o600)
        try:
            os.posix_fallocate(fd, 0, len(data))
            os.pwrite(fd, data, 0)
            return self.ask({"make": {"kind": kind, **name}}, fd)["made"]
        finally:
            os.close(fd)

    def blocks(self):
        start = 0
        while start >= 0:
            page = self.ask({"list": {"from": start}})
            yield from page["blocks"]
            start = page["next"]


def refused(call, *arguments):
    try:
        call(*arguments)
    except Refused:
        return True
    return False


def npy(count):
    """An array of count int32 as a .npy file: what numpy.save() writes."""
    header = "{'descr': '<i4', 'fortran_order': False, 'shape': (%d,), }" % count
    header = header.ljust((len(header) + 10) // 64 * 64 + 64 - 11) + "\n"
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header.encode() + struct.pack("<%di" % count, *range(count))


def main(door):
    if not hasattr(socket, "send_fds"):
        print("skipped: this Python cannot pass descriptors")
        return 77
    mine = "weirtest-%d-" % os.getpid()
    with tempfile.TemporaryDirectory(prefix="weirtest-client-") as folder:
        address = folder + "/door"
        host = subprocess.Popen([door, address, KEY.hex()], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        first = host.stdout.readline().decode().split()
        if first == ["no", "keys"]:
            print("skipped: built without libsodium")
            return 77
        assert refused(Manager, address) and refused(Manager, address, KEY + b"\0")

        manager = Manager(address, KEY)
        block = manager.make(b"from Python", name=mine + "block")
        assert block["name"] == mine + "block" and block["size"] == 11 and block["pid"] == os.getpid()
        with open("/dev/shm/" + block["name"], "rb") as file:
            assert file.read() == b"from Python" and os.fstat(file.fileno()).st_mode & 0o777 == 0o600
        # [1, 2] as a ShareableList: count, offsets, values, formats, codes
        layout = struct.pack("q3q2q8s8s2b", 2, 0, 8, 16, 1, 2, b"q", b"q", 0, 0)
        made = manager.make(layout, "list")


        def seen(block):
            host.stdin.write(block["name"].encode() + b"\n")
            host.stdin.flush()
            return host.stdout.readline().decode()

        assert seen(made) == "1 2\n"  # the host reads it
        array = manager.make(npy(100), "array", name=mine + "array")
        assert array["kind"] == "array" and seen(array) == "int32 100 sum 4950\n"
        theirs = manager.ask({"lookup": {"name": first[1]}})["block"]
        assert theirs["kind"] == "dict"
        with open("/dev/shm/" + first[1], "rb") as file:
            copied = manager.make(file.read(), "dict", name=mine + "dict")
        assert copied["kind"] == "dict" and seen(copied) == "10 items\n"
        with open("/dev/shm/" + mine + "alone", "wb") as file:
            file.write(b"x")
        assert manager.ask({"track": {"name": mine + "alone"}})["tracked"]["size"] == 1
        names = {mine + "block", mine + "alone", mine + "array", mine + "dict", made["name"], *first}
        assert {each["name"] for each in manager.blocks()} == names, list(manager.blocks())
        assert refused(manager.make, b"other", "shm") is False
        assert refused(manager.ask, {"lookup": {"name": mine + "none"}})
        assert manager.ask({"release": {"name": made["name"]}}) and not os.path.exists("/dev/shm/" + made["name"])
        names = [each["name"] for each in manager.blocks()]
        assert len(names) == 7

        host.stdin.close()
        assert host.wait() == 0
        for name in names:
            assert not os.path.exists("/dev/shm/" + name), name
        assert os.listdir(folder) == []
    print("a Python client made, tracked, listed and released; %d blocks went with the scope" % len(names))
    return 0


sys.exit(main(sys.argv[1]))
