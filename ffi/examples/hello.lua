-- One plan, one key, four requests: TOLLGATE_LIBRARY=libtollgate.so luajit hello.lua
local ffi = require "ffi"

ffi.cdef [[
typedef struct { const char *data; size_t len; } tollgate_str;
typedef struct {
  uint32_t struct_size, flags;
  tollgate_str path, toml, json;
  uint64_t structs[8];
} tollgate_changes;
typedef struct { int32_t status; uint32_t line; char field[120], message[384]; } tollgate_error;
typedef struct {
  tollgate_str key, stage, route, id;
  const void *costs; size_t n_costs;
  uint64_t cost, ttl_ns, now_ns;
  uint32_t stage_name, route_name, plan, flags;
  uint64_t reserved[3];
} tollgate_request;
typedef struct {
  int32_t status; uint32_t flags;
  uint64_t retry_after_ns, delay_ns, violated, reserved[4];
} tollgate_decision;
typedef struct tollgate_engine tollgate_engine;
int32_t tollgate_create(const void *, const tollgate_changes *, tollgate_engine **, tollgate_error *);
int32_t tollgate_check(tollgate_engine *, const tollgate_request *, tollgate_decision *);
void tollgate_destroy(tollgate_engine *);
const char *tollgate_status_name(int32_t);
]]
local C = ffi.load(os.getenv "TOLLGATE_LIBRARY" or "tollgate")
assert(ffi.sizeof "tollgate_request" == 144 and ffi.sizeof "tollgate_decision" == 64)

local function create(toml)
  local changes = ffi.new "tollgate_changes"
  changes.struct_size = ffi.sizeof "tollgate_changes"
  changes.toml.data, changes.toml.len = toml, #toml
  local out, err = ffi.new "tollgate_engine *[1]", ffi.new "tollgate_error"
  if C.tollgate_create(nil, changes, out, err) ~= 0 then error(ffi.string(err.message)) end
  return ffi.gc(out[0], C.tollgate_destroy)
end

-- One of each for the life of the program: a check makes no garbage.
local request, decision = ffi.new "tollgate_request", ffi.new "tollgate_decision"

local function check(engine, key)
  request.key.data, request.key.len, request.cost = key, #key, 1
  return C.tollgate_check(engine, request, decision)
end

local engine = create [[
[plans.free]
throttle = { rate = "3/m", burst = 3 }

[subjects.acme]
plans = ["free"]
keys = [{ id = "acme-1", value = "made-up" }]
]]
for _ = 1, 3 do assert(check(engine, "made-up") == 0) end
local status = check(engine, "made-up")
print(ffi.string(C.tollgate_status_name(status)), tonumber(decision.retry_after_ns) / 1e9 .. " s")
assert(ffi.string(C.tollgate_status_name(status)) == "TOLLGATE_THROTTLED")
assert(ffi.string(C.tollgate_status_name(check(engine, "guessed"))) == "TOLLGATE_KEY_UNKNOWN")
