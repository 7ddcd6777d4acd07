"""Makes system calls by the doors of amd64 and prints "DOOR NAME ERRNO" for each.

Arguments: NAME:NUMBER:ARGUMENT,... for the calls, each with the door's name first (x86_64, x32, i386).
"""
import ctypes
import errno
import mmap
import sys

X32 = 0x40000000
# Saves rbx and rbp, takes the arguments' array from rsi and calls int 0x80.
INT_80 = bytes.fromhex(
    "5355" "89f8" "4989f3" "418b1b" "418b4b08" "418b5310" "418b7318" "418b7b20" "418b6b28" "cd80" "5d5b" "c3"
)


def by_int_80(number, arguments):
    code = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    code.write(INT_80)
    address = ctypes.addressof(ctypes.c_char.from_buffer(code))
    function = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.POINTER(ctypes.c_uint64))(address)
    result = function(number, (ctypes.c_uint64 * 6)(*arguments))
    return -result if -4096 < result < 0 else 0


def by_syscall(number, arguments):
    libc = ctypes.CDLL(None, use_errno=True)
    ctypes.set_errno(0)
    result = libc.syscall(ctypes.c_long(number), *map(ctypes.c_ulong, arguments))
    return ctypes.get_errno() if result == -1 else 0


for call in sys.argv[1:]:
    door, name, number, *rest = call.split(":")
    arguments = [int(argument, 0) for argument in rest[0].split(",")] if rest and rest[0] else []
    arguments += [0] * (6 - len(arguments))
    number = int(number)
    if door == "i386":
        code = by_int_80(number, arguments)
    else:
        code = by_syscall(number | (X32 if door == "x32" else 0), arguments)
    print(door, name, errno.errorcode.get(code, code), flush=True)
