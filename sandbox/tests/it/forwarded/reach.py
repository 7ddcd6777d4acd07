"""Tries to get at two ports of the host from a session, one of which is forwarded; prints what answers.

Arguments: FORWARDED OTHER
"""
import errno
import socket
import struct
import sys

TCP, UDP = socket.SOCK_STREAM, socket.SOCK_DGRAM


def default_route():
    for line in open("/proc/net/route").read().splitlines()[1:]:
        fields = line.split()
        if fields[1] == "00000000":
            return fields[0], socket.inet_ntoa(struct.pack("=I", int(fields[2], 16)))
    return None, None


def own_address(gateway):
    with socket.socket(socket.AF_INET, UDP) as probe:
        probe.connect((gateway, 9))
        return probe.getsockname()[0]


def answer(kind, address, port, interface, patience):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, kind) as client:
        client.settimeout(patience)
        try:
            if interface:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
            client.connect((address, port))
            client.send(b"hello")
            return client.recv(10)
        except OSError:
            return b""


def refused(family, kind):
    try:
        socket.socket(family, kind, socket.IPPROTO_UDP if family != socket.AF_PACKET else 0)
        return "made"
    except OSError as error:
        return errno.errorcode[error.errno]


interface, gateway = default_route()
addresses = ["127.0.0.1", "127.0.1.1", "0.0.0.0", "::1", "::", "::ffff:127.0.0.1", "169.254.1.1"]
if gateway:
    addresses += [gateway, own_address(gateway)]
for port, name in zip(map(int, sys.argv[1:]), ["forwarded", "other"]):
    for address in addresses:
        for kind in [TCP, UDP]:
            for by in [None, interface]:
                # On a busy machine an answer takes its time; most others are refused at once.
                patience = 5 if (name, kind, by) == ("forwarded", TCP, None) else 0.3
                if answer(kind, address, port, by, patience):
                    print(name, kind.name[5:], address, "by" if by else "")
for family in [socket.AF_PACKET, socket.AF_INET, socket.AF_INET6]:
    print("raw", family.name, refused(family, socket.SOCK_RAW))
