"""One plan, one key, four requests, by ctypes: TOLLGATE_LIBRARY=libtollgate.so python3 hello.py"""
import ctypes as c
import os

lib = c.CDLL(os.environ.get("TOLLGATE_LIBRARY", "libtollgate.so.0.1"))
NEVER = 2**64 - 1


class Str(c.Structure):
    _fields_ = [("data", c.c_char_p), ("len", c.c_size_t)]

    def __init__(self, data=b""):
        super().__init__(data, len(data))


class Changes(c.Structure):
    _fields_ = [("struct_size", c.c_uint32), ("flags", c.c_uint32),
                ("path", Str), ("toml", Str), ("json", Str), ("structs", c.c_uint64 * 8)]


class Error(c.Structure):
    _fields_ = [("status", c.c_int32), ("line", c.c_uint32),
                ("field", c.c_char * 120), ("message", c.c_char * 384)]


class Request(c.Structure):
    _fields_ = [("key", Str), ("stage", Str), ("route", Str), ("id", Str),
                ("costs", c.c_void_p), ("n_costs", c.c_size_t),
                ("cost", c.c_uint64), ("ttl_ns", c.c_uint64), ("now_ns", c.c_uint64),
                ("stage_name", c.c_uint32), ("route_name", c.c_uint32), ("plan", c.c_uint32),
                ("flags", c.c_uint32), ("reserved", c.c_uint64 * 3)]


class Decision(c.Structure):
    _fields_ = [("status", c.c_int32), ("flags", c.c_uint32), ("retry_after_ns", c.c_uint64),
                ("delay_ns", c.c_uint64), ("violated", c.c_uint64), ("reserved", c.c_uint64 * 4)]


lib.tollgate_create.argtypes = [c.c_void_p, c.POINTER(Changes), c.POINTER(c.c_void_p), c.POINTER(Error)]
lib.tollgate_check.argtypes = [c.c_void_p, c.POINTER(Request), c.POINTER(Decision)]
lib.tollgate_destroy.argtypes = [c.c_void_p]
lib.tollgate_status_name.argtypes = [c.c_int32]
lib.tollgate_status_name.restype = c.c_char_p


class Engine:
    """Plans and subjects from the text of a plan file."""

    def __init__(self, toml):
        changes = Changes(struct_size=c.sizeof(Changes), toml=Str(toml.encode()))
        self.handle, error = c.c_void_p(), Error()
        if lib.tollgate_create(None, changes, c.byref(self.handle), error):
            raise ValueError(error.message.decode())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        lib.tollgate_destroy(self.handle)

    def check(self, key, cost=1):
        """None if the request may go ahead, else why not, and in how many seconds to come back (None: never)."""
        decision = Decision()
        status = lib.tollgate_check(self.handle, Request(key=Str(key), cost=cost), decision)
        if status == 0:
            return None
        wait = None if decision.retry_after_ns == NEVER else decision.retry_after_ns / 1e9
        return lib.tollgate_status_name(status).decode(), wait


with Engine("""
[plans.free]
throttle = { rate = "3/m", burst = 3 }

[subjects.acme]
plans = ["free"]
keys = [{ id = "acme-1", value = "made-up" }]
""") as engine:
    answers = [engine.check(b"made-up") for _ in range(4)] + [engine.check(b"guessed")]
    print(*answers, sep="\n")
    assert answers[:3] == [None] * 3 and answers[3][0] == "TOLLGATE_THROTTLED" and 0 < answers[3][1] <= 20
    assert answers[4] == ("TOLLGATE_KEY_UNKNOWN", None)
