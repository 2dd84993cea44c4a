#!/usr/bin/env python3
"""The module beside limit_req and beside no limiter, in one nginx, interleaved; and attacks on a full zone.

    TOLLGATE_MODULE=.../ngx_http_tollgate_module.so python3 bench.py [speed] [rate] [capacity] [attacks]

Needs wrk. Prints Markdown. Every round runs each kind once, in another order; figures are medians over the rounds."""

import os
import pathlib
import random
import re
import statistics
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "tests"))
from harness import Nginx

ROUNDS = int(os.environ.get("ROUNDS", "7"))
SECONDS = os.environ.get("SECONDS_EACH", "3")
KINDS = ["none", "limit_req", "tollgate"]
# Ten characters of a key, one of 100,000; each thread of wrk goes its own way.
SCRIPT = """
local n = 0
function setup(thread) n = n + 1; thread:set("seed", n) end
function init() math.randomseed(seed) end
function request()
    return wrk.format("GET", wrk.path, {["X-Api-Key"] = string.format("key-%06d", math.random(0, 99999))})
end
"""


def server_of(http, workers=1, log="crit"):
    server = Nginx(http, workers=workers, main="worker_rlimit_nofile 8192;")
    conf = server.folder / "nginx.conf"
    text = conf.read_text().replace("error.log info", f"error.log {log}")
    conf.write_text(re.sub(r"access_log [^;]*;", "access_log off; keepalive_requests 100000000;", text, count=1))
    return server.start()


def cpu(server):
    """Seconds of processor time that the workers took."""
    ticks = 0
    for pid in server.pids():
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def wrk(server, path, seconds=SECONDS, script=None, connections=32):
    """Requests per second, CPU in microseconds per request, requests, refusals."""
    more = ["-s", str(script)] if script else []
    before = cpu(server)
    out = subprocess.run(
        ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", *more, f"http://127.0.0.1:{server.port}{path}"],
        capture_output=True, text=True, check=True,
    ).stdout
    used = cpu(server) - before
    requests = int(re.search(r"(\d+) requests in", out)[1])
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", out)
    rate = float(re.search(r"Requests/sec: +([\d.]+)", out)[1])
    return rate, used / requests * 1e6, requests, int(refused[1]) if refused else 0


def speed():
    locations = """
        location = /none { %(content)s; }
        location = /limit_req { limit_req zone=lr burst=%(burst)s nodelay; limit_req_status 429; %(content)s; }
        location = /tollgate { tollgate zone=api key=$http_x_api_key plan=p; %(content)s; }
    """
    http = """
        limit_req_zone $http_x_api_key zone=lr:32m rate=%(rate)s;
        limit_req_log_level error;
        tollgate_zone zone=api:32m; tollgate_plan p throttle=%(rate)s burst=%(burst)s;
        server { listen 127.0.0.1:{port}; """ + locations + " }"
    open_ = {"rate": "1000000r/s", "burst": "1000000"}
    shut = {"rate": "1r/s", "burst": "1"}
    bare, file = "empty_gif", "try_files /index.html =404; access_log {folder}/logs/access.log"
    for title, numbers, content, log, hot in [
        ("100,000 keys; a file of 5 bytes, access log on", open_, file, "crit", False),
        ("one hot key; empty_gif, access log off", open_, bare, "crit", True),
        ("100,000 keys; empty_gif, access log off", open_, bare, "crit", False),
        ("refusing, one hot key; a file of 5 bytes, access log on, error log on", shut, file, "error", True),
        ("refusing, one hot key; empty_gif, access log off, error log off", shut, bare, "crit", True),
    ]:
        text = http.replace("%(content)s", content)
        for name, value in numbers.items():
            # limit_req writes its rate with an r.
            text = text.replace(f"rate=%({name})s", f"rate={value}")
            text = text.replace(f"throttle=%({name})s", f"throttle={value.replace('r/s', '/s')}")
            text = text.replace(f"%({name})s", value)
        server = server_of(text, log=log)
        script = server.folder / "keys.lua"
        script.write_text(SCRIPT if not hot else 'wrk.headers["X-Api-Key"] = "key-000001"\n')
        found = {kind: [] for kind in KINDS}
        for kind in KINDS:
            wrk(server, "/" + kind, 1, script)
        for _ in range(ROUNDS):
            for kind in random.sample(KINDS, len(KINDS)):
                found[kind].append(wrk(server, "/" + kind, SECONDS, script))
        server.close()
        print(f"\n**{title}** (1 worker, wrk -t1 -c32, {ROUNDS} rounds of {SECONDS} s)\n")
        print("| | requests/s | ratio to no limiter | us of CPU per request | beyond no limiter | refused |")
        print("|---|---|---|---|---|---|")
        base = found["none"]
        for kind in KINDS:
            rate = statistics.median(run[0] for run in found[kind])
            ratio = statistics.median(run[0] / none[0] for run, none in zip(found[kind], base))
            used = statistics.median(run[1] for run in found[kind])
            more = statistics.median(run[1] - none[1] for run, none in zip(found[kind], base))
            refused = sum(run[3] for run in found[kind]) / sum(run[2] for run in found[kind])
            print(f"| {kind} | {rate:,.0f} | {ratio:.3f} | {used:.2f} | {more:+.2f} | {refused:.1%} |", flush=True)


def rate():
    http = """
        limit_req_zone $arg_k zone=lr:8m rate=5000r/s;
        tollgate_zone zone=api:8m; tollgate_plan p throttle=5000/s burst=1;
        server { listen 127.0.0.1:{port};
            location = /limit_req { limit_req zone=lr nodelay; empty_gif; }
            location = /tollgate { tollgate zone=api key=$arg_k plan=p; empty_gif; } }"""
    print("\n**5000 requests/s, burst 1** (one key, 1 worker)\n\n| | offered/s | admitted/s |\n|---|---|---|")
    for connections in (1, 4, 32):
        server = server_of(http)
        for kind in ("limit_req", "tollgate"):
            _, _, requests, refused = wrk(server, f"/{kind}?k=a", 3, connections=connections)
            print(f"| {kind}, {connections} connections | {requests / 3:,.0f} | {(requests - refused) / 3:,.0f} |", flush=True)
        server.close()


def new_keys(server, path, lengths=(10,), most=3_000_000, batch=500):
    """Sends keys that nobody had before; their statuses, batch by batch."""
    sent = 0
    while sent < most:
        names = []
        for n in range(sent, sent + batch):
            name = f"{n:09d}-"
            names.append(f"{path}{name}{'x' * (lengths[n % len(lengths)] - len(name))}")
        found = server.pipeline(names)
        sent += batch
        yield sent, found


def capacity():
    print("\n**Capacity**: keys of ten bytes that are limited at a time, none of them ever forgotten\n")
    print("| zone | keys until the first refusal | per MB | until half of the new ones are refused | per MB |\n|---|---|---|---|---|")
    for megabytes, more in ((32, ""), (32, " lines=1"), (8, ""), (1, ""), (1, " lines=1")):
        server = server_of(f"""
            tollgate_zone zone=api:{megabytes}m{more}; tollgate_plan p throttle=1/d burst=1;
            server {{ listen 127.0.0.1:{{port}}; location / {{ tollgate zone=api key=$arg_k plan=p; empty_gif; }} }}""")
        first, let_in = None, 0
        for sent, found in new_keys(server, "/?k="):
            if 503 in found and first is None:
                first = let_in + found.index(503)
            let_in += found.count(200)
            if found.count(503) > len(found) / 2:
                break
        server.close()
        print(f"| {megabytes}m{more} | {first:,} | {first / megabytes:,.0f} | {let_in:,} | {let_in / megabytes:,.0f} |", flush=True)
    print("\nlimit_req: 8,092 per MB (nodes of 24 bytes of key), the oldest forgotten beyond.")


def attacked(rate):
    return server_of(f"""
        limit_req_zone $arg_k zone=lr:1m rate={rate.replace("/", "r/")};
        tollgate_zone zone=api:1m lines=1; tollgate_plan p throttle={rate} burst=1;
        server {{ listen 127.0.0.1:{{port}};
            location = /limit_req {{ limit_req zone=lr nodelay; limit_req_status 429; empty_gif; }}
            location = /tollgate {{ tollgate zone=api key=$arg_k plan=p; empty_gif; }} }}""")


def attacks():
    print("\n**Throw-away keys** (zones of 1 MB; one request a minute; the abuser tries again after every 45,000)\n")
    print("| | tries | let in | new keys refused |\n|---|---|---|---|")
    for kind in ("limit_req", "tollgate"):
        server = attacked("1/m")
        assert server.get(f"/{kind}?k=abuser").status == 200
        begun, tries, let_in, refused = time.monotonic(), 0, 0, 0
        for sent, found in new_keys(server, f"/{kind}?k=", most=180_000, lengths=(24,)):
            refused += len(found) - found.count(200)
            if sent % 45_000 == 0:
                tries += 1
                let_in += server.get(f"/{kind}?k=abuser").status == 200
        assert time.monotonic() - begun < 55, "too slow: the limit has run out by itself"
        server.close()
        print(f"| {kind} | {tries} | {let_in} | {refused / 180_000:.1%} |", flush=True)
    print("\n**Mixed lengths of keys** (a zone that is full of short keys which nobody uses any more: first-ever requests")
    print("of 5,000 keys of 10 to 250 bytes)\n\n| | refused |\n|---|---|")
    for kind in ("limit_req", "tollgate"):
        server = attacked("100/s")
        for _ in new_keys(server, f"/{kind}?k=", most=60_000):
            pass
        time.sleep(1)
        names = [f"/{kind}?k=other{n:05d}{'x' * (n * 7 % 240)}" for n in range(5_000)]
        found = server.pipeline(names)
        server.close()
        print(f"| {kind} | {sum(status != 200 for status in found) / len(found):.1%} |", flush=True)


if __name__ == "__main__":
    wanted = sys.argv[1:] or ["speed", "rate", "capacity", "attacks"]
    for name in wanted:
        {"speed": speed, "rate": rate, "capacity": capacity, "attacks": attacks}[name]()
