"""The zone: reloads, deaths, restarts, what happens when it is full; and configurations that are refused."""

import json
import os
import re
import signal
import socket
import subprocess
import time
import unittest

from harness import Case, free_port, wait_until

STATUS = "location = /status { tollgate_status_page json; } location = /metrics { tollgate_status_page prometheus; }"


def http_of(plan, zone="zone=api:8m", limiter="key=$arg_k plan=p", more=""):
    return f"""
        tollgate_zone {zone};
        tollgate_plan p {plan};
        tollgate_plan other quota=1/day;
        {more}
        server {{ listen 127.0.0.1:{{port}} reuseport; {STATUS}
            location / {{ tollgate zone=api {limiter}; empty_gif; }} }}"""


def zone_of(server):
    return json.loads(server.get("/status").body)["zones"][0]


def logged(server):
    """How many requests of the load the access log has as admitted."""
    return len(re.findall(r'"GET /\?k=a HTTP/1\.1" 200 ', server.access()))


class Load:
    """wrk on one address, while something else happens."""

    def __init__(self, server, seconds, path="/?k=a", connections=16):
        self.done = subprocess.Popen(
            ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", f"http://127.0.0.1:{server.port}{path}"],
            stdout=subprocess.PIPE, text=True,
        )

    def wait(self):
        """Requests with an answer, and how many of them were refused."""
        out = self.done.communicate()[0]
        total = int(re.search(r"(\d+) requests in", out)[1])
        refused = re.search(r"Non-2xx or 3xx responses: (\d+)", out)
        return total, int(refused[1]) if refused else 0


class Exactness(Case):
    # nginx reports that the test killed its workers.
    ALERTS = ("exited on signal 9",)

    def test_two_workers_admit_the_quota_and_not_one_more(self):
        server = self.started(http_of("quota=20000/day"), workers=2)
        total, refused = Load(server, 3).wait()
        self.assertGreater(total, 20_000)
        requests = zone_of(server)["requests"]
        self.assertEqual(requests["ok"], 20_000)
        self.assertEqual(logged(server), 20_000)
        # wrk does not see the answers that were under way when it ended.
        self.assertLessEqual(abs(total - refused - 20_000), 16)

    def test_killed_workers_lose_no_count_and_block_nobody(self):
        plan = "quota=30000/day"
        http = http_of(plan, limiter="key=$arg_k plan=p; tollgate zone=api key=$arg_k plan=many",
                       more="tollgate_plan many throttle=1000000/s burst=1000000 quota=1000000/month;")
        server = self.started(http, workers=2)
        load = Load(server, 5)
        kills = 0
        end = time.monotonic() + 4
        while time.monotonic() < end:
            for pid in server.pids()[:1]:
                os.kill(pid, signal.SIGKILL)
                kills += 1
            time.sleep(0.1)
        total, refused = load.wait()
        wait_until(lambda: len(server.pids()) == 2)
        admitted = logged(server)
        counted = zone_of(server)["requests"]["ok"]
        self.assertGreater(kills, 10)
        self.assertLessEqual(counted, 30_000)
        self.assertLessEqual(admitted, 30_000)
        # A debit without an admission, at most, for every worker that was killed.
        self.assertGreaterEqual(counted, 30_000 - kills)
        self.assertEqual(server.statuses(4, "/?k=a"), [429] * 4)
        self.assertEqual(server.get("/?k=b").status, 200)

    def test_5000_per_second_without_a_burst(self):
        server = self.started(http_of("throttle=5000/s burst=1", more="keepalive_requests 100000;"), workers=2)
        # Who leaves 200 us between an answer and the next request keeps to the limit: a clock of milliseconds would refuse
        # four of five.
        with socket.create_connection(("127.0.0.1", server.port)) as client:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for _ in range(3000):
                client.sendall(b"GET /?k=steady HTTP/1.1\r\nHost: a\r\n\r\n")
                answer = b""
                # The end of a GIF.
                while not answer.endswith(b";"):
                    more = client.recv(4096)
                    self.assertTrue(more)
                    answer += more
                self.assertIn(b"200 OK", answer)
                end = time.perf_counter_ns() + 200_000
                while time.perf_counter_ns() < end:
                    pass
        before = zone_of(server)["requests"]["ok"]
        begun = time.monotonic()
        total, refused = Load(server, 2, connections=32).wait()
        self.assertGreater(total, 2 * 5000)
        self.assertGreater(refused, 0)
        # Whoever does not keep to it gets no more than the limit.
        self.assertLessEqual(zone_of(server)["requests"]["ok"] - before, 5000 * (time.monotonic() - begun) + 1)


class Reload(Case):
    def test_new_rates_and_old_counters(self):
        server = self.started(http_of("quota=5/day"), workers=2)
        self.assertEqual(server.statuses(6, "/?k=a"), [200] * 5 + [429])
        server.write(http_of("quota=7/day"))
        self.assertIsNone(server.reload())
        self.assertEqual(server.statuses(4, "/?k=a"), [200, 200, 429, 429])
        requests = zone_of(server)["requests"]
        self.assertEqual((requests["ok"], requests["quota_exceeded"]), (7, 3))
        server.write(http_of("quota=7/day throttle=1/m burst=1"))
        self.assertIsNone(server.reload())
        self.assertEqual(server.statuses(2, "/?k=b"), [200, 429])

    def test_keys_that_come_and_go(self):
        plans = '[plans.f]\nquotas = [{ limit = 9, per = "day" }]\n[subjects.a]\nplans = ["f"]\nkeys = [%s]\n'
        first, second = '{ id = "1", value = "first" }', '{ id = "2", value = "second" }'
        http = http_of("quota=5/day", limiter="key=$arg_k", more="tollgate_plans {plans};")
        server = self.started(http, plans=plans % first, workers=2)
        self.assertEqual(server.statuses(4, "/?k=first"), [200] * 4)
        server.plans_file.write_text(plans % f"{first}, {second}")
        self.assertIsNone(server.reload())
        self.assertEqual(server.statuses(4, "/?k=second"), [200] * 4)
        server.plans_file.write_text(plans % second)
        self.assertIsNone(server.reload())
        self.assertEqual(server.statuses(2, "/?k=first"), [403, 403])
        self.assertEqual(server.statuses(2, "/?k=second"), [200, 429])
        server.plans_file.write_text(plans % second.replace("}", ", enabled = false }"))
        self.assertIsNone(server.reload())
        self.assertEqual(server.get("/?k=second").status, 403)

    def test_a_changed_zone_is_refused(self):
        server = self.started(http_of("quota=5/day"))
        self.assertEqual(server.statuses(5, "/?k=a"), [200] * 5)
        for zone, words in [
            ("zone=api:16m", ["16777216 bytes", "8388608 bytes"]),
            ("zone=api:8m lines=77", ["77 lines", "8388608 bytes"]),
            ("zone=api:8m file={folder}/region", ["region", "no file"]),
        ]:
            server.write(http_of("quota=50/day", zone=zone))
            emerg = server.reload()
            for word in ['"tollgate_zone" "api"', "previously", *words]:
                self.assertIn(word, emerg)
            self.assertEqual(server.get("/?k=a").status, 429)
        server.write(http_of("quota=6/day"))
        self.assertIsNone(server.reload())
        self.assertEqual(server.statuses(2, "/?k=a"), [200, 429])

    def test_a_reload_that_fails_later_changes_nothing(self):
        keyed = "location /keyed { tollgate zone=api key=$arg_k; empty_gif; }"
        http = lambda plan, more="": http_of(plan, more="tollgate_plans {plans};" + more).replace(STATUS, STATUS + keyed)
        plans = '[plans.f]\nthrottle = { rate = "%d/h", burst = 3 }\n[subjects.a]\nplans = ["f"]\nkeys = [%s]\n'
        first, second = '{ id = "1", value = "first" }', '{ id = "2", value = "second" }'
        off = lambda key: key.replace("}", ", enabled = false }")
        server = self.started(http("quota=2/day"), plans=plans % (1, first))
        self.assertEqual(server.get("/keyed?k=first").status, 200)
        taken = free_port()
        with socket.socket() as other:
            other.bind(("127.0.0.1", taken))
            other.listen()
            server.plans_file.write_text(plans % (1000, off(first) + ", " + off(second)))
            server.write(http("quota=50/day", f"server {{ listen 127.0.0.1:{taken}; }}"))
            self.assertIn("bind() to", server.reload())
            # Neither while the master tries again nor after it.
            for _ in range(2):
                self.assertEqual(server.get("/keyed?k=first").status, 200)
                self.assertEqual(server.get("/keyed?k=second").status, 403)
                self.assertEqual(server.get("/?k=a").status, 200)
                wait_until(lambda: "still could not bind" in server.log())
        self.assertEqual(server.statuses(2, "/?k=a"), [429, 429])
        self.assertEqual(server.get("/keyed?k=first").status, 429)
        # What never held is not remembered.
        server.plans_file.write_text(plans % (1000, f"{first}, {second}"))
        server.write(http("quota=3/day"))
        self.assertIsNone(server.reload())
        self.assertEqual(server.statuses(2, "/?k=a"), [200, 429])
        time.sleep(4)
        self.assertEqual(server.get("/keyed?k=second").status, 200)

    def test_subjects_that_come_and_go_do_not_fill_the_zone(self):
        http = http_of("quota=5/day", zone="zone=api:8m lines=500", limiter="key=$arg_k", more="tollgate_plans {plans};")
        def plans(n):
            subjects = (f'[subjects.s{n}-{k}]\nplans = ["f"]\nkeys = [{{ id = "{n}-{k}", value = "key {n} {k}" }}]\n'
                        for k in range(100))
            return '[plans.f]\nthrottle = { rate = "1000/s", burst = 5 }\n' + "".join(subjects)
        server = self.started(http, plans=plans(0), workers=2)
        for n in range(1, 12):
            self.assertEqual(set(server.statuses(5, f"/?k=key%20{n - 1}%20{n}".replace("%20", "+"))), {403})
            server.plans_file.write_text(plans(n))
            self.assertIsNone(server.reload())
        self.assertNotIn("no room", server.log())

    def test_bad_plans_refuse_the_reload(self):
        http = http_of("quota=5/day", more="tollgate_plans {plans};")
        server = self.started(http)
        server.plans_file.write_text('[plans.q]\nthrottle = { rate = "fast", burst = 5 }\n')
        emerg = server.reload()
        self.assertIn("plans.q.throttle.rate", emerg)
        self.assertIn('"fast"', emerg)
        self.assertIn("plans.toml", emerg)
        self.assertEqual(server.get("/?k=a").status, 200)

    def test_reloads_under_load_lose_no_count(self):
        server = self.started(http_of("quota=20000/day"), workers=2)
        load = Load(server, 4)
        for n in range(8):
            server.write(http_of(f"quota=20000/day throttle={100_000 + n}/s burst=100000"))
            self.assertIsNone(server.reload())
        load.wait()
        Load(server, 1).wait()
        self.assertEqual(zone_of(server)["requests"]["ok"], 20_000)
        self.assertEqual(logged(server), 20_000)


class File(Case):
    def zone(self, size="8m"):
        return f"zone=api:{size} file={{folder}}/region"

    def test_counters_outlive_a_restart(self):
        for how in (signal.SIGQUIT, signal.SIGTERM, signal.SIGKILL):
            server = self.started(http_of("quota=5/day", zone=self.zone()), workers=2)
            self.assertEqual(server.statuses(3, "/?k=a"), [200] * 3)
            workers = server.pids()
            server.stop(how)
            for pid in workers if how == signal.SIGKILL else []:
                os.kill(pid, signal.SIGKILL)
            wait_until(lambda: not server.answers())
            server.start()
            self.assertEqual(server.statuses(3, "/?k=a"), [200, 200, 429])
            # And a reload.
            server.write(http_of("quota=6/day", zone=self.zone()))
            self.assertIsNone(server.reload())
            self.assertEqual(server.statuses(2, "/?k=a"), [200, 429])

    def test_slots_of_a_fast_shutdown_are_free_after_it(self):
        server = self.started(http_of("concurrency=1", zone=self.zone(), limiter="key=$arg_k plan=p; limit_rate 10")
                              .replace("empty_gif;", ""))
        with socket.create_connection(("127.0.0.1", server.port)) as client:
            client.sendall(b"GET /big?k=a HTTP/1.1\r\nHost: a\r\n\r\n")
            self.assertEqual(client.recv(10), b"HTTP/1.1 2")
            self.assertEqual(server.get("/?k=a").status, 429)
            server.stop(signal.SIGTERM)
        server.start()
        self.assertEqual(server.get("/?k=a").status, 200)

    def test_a_new_binary_takes_over_without_a_gap(self):
        server = self.nginx(http_of("quota=20000/day", zone=self.zone()).replace(" reuseport", ""), workers=2)
        # In the background, as an upgrade needs it.
        subprocess.run(server.command(), check=True, env=server.environment())
        pid_file = server.folder / "nginx.pid"

        def pid():
            # It is renamed and written anew meanwhile.
            try:
                return int(pid_file.read_text() or 0)
            except FileNotFoundError:
                return 0

        old = wait_until(pid)
        try:
            wait_until(server.answers)
            load = Load(server, 4)
            time.sleep(0.5)
            os.kill(old, signal.SIGUSR2)
            new = wait_until(lambda: pid() if pid() not in (0, old) else 0)
            os.kill(old, signal.SIGQUIT)
            load.wait()
            Load(server, 2).wait()
            self.assertEqual(server.get("/?k=a").status, 429)
            self.assertEqual(logged(server), 20_000)
        finally:
            os.kill(wait_until(pid), signal.SIGQUIT)
            wait_until(lambda: not pid_file.exists())
        self.assertNotEqual(old, new)

    def test_a_second_nginx_that_does_not_start_changes_nothing(self):
        plans = '[plans.f]\n[subjects.a]\nplans = ["f"]\nkeys = [{ id = "1", value = "first"%s }]\n'
        keyed = "location /keyed { tollgate zone=api key=$arg_k; empty_gif; }"
        http = lambda plan, file: http_of(plan, zone=f"zone=api:8m file={file}", more="tollgate_plans {plans};") \
            .replace(STATUS, STATUS + keyed).replace(" reuseport", "")
        server = self.nginx("", plans=plans % "")
        region = server.folder / "region"
        server.write(http("quota=2/day", region))
        server.start()
        other = self.nginx("", plans=plans % ", enabled = false")
        other.port = server.port
        other.write(http("quota=50/day", region))
        with self.assertRaisesRegex(AssertionError, "Address already in use"):
            other.start()
        self.assertEqual(server.statuses(3, "/?k=a"), [200, 200, 429])
        self.assertEqual(server.get("/keyed?k=first").status, 200)

    def test_a_test_of_the_configuration_leaves_the_file_alone(self):
        server = self.started(http_of("quota=2/day", zone=self.zone()))
        before = (server.folder / "region").read_bytes()
        server.write(http_of("quota=50/day", zone=self.zone()))
        good, said = server.test()
        self.assertTrue(good, said)
        self.assertEqual((server.folder / "region").read_bytes(), before)
        self.assertEqual(server.statuses(3, "/?k=a"), [200, 200, 429])

    def test_another_file_is_refused(self):
        server = self.nginx(http_of("quota=5/day", zone=self.zone()))
        region = server.folder / "region"
        region.write_bytes(b"something else")
        with self.assertRaisesRegex(AssertionError, r"\[emerg\].*region.*has 14 bytes, while .* need"):
            server.start()
        region.unlink()
        server.start()
        server.stop()
        size = region.stat().st_size
        region.write_bytes(b"x" * size)
        with self.assertRaisesRegex(AssertionError, r'\[emerg\].*tollgate_zone "api" in .*region'):
            server.start()
        region.unlink()
        server.write(http_of("quota=5/day", zone="zone=api:8m file={folder}/none/region"))
        with self.assertRaisesRegex(AssertionError, r"none/region.*No such file"):
            server.start()


class Fork(Case):
    def test_the_master_makes_nothing_that_does_not_survive_a_fork(self):
        def held(server):
            master = server.process.pid
            self.assertEqual(os.listdir(f"/proc/{master}/task"), [str(master)])
            folder = f"/proc/{master}/fd"
            return sorted(re.sub(r"\d{2,}|" + str(server.folder), "", os.readlink(f"{folder}/{fd}")) for fd in os.listdir(folder))
        plain = self.started("server { listen 127.0.0.1:{port} reuseport; }", workers=2)
        more = "tollgate_zone zone=b:8m file={folder}/region; tollgate_plans {plans};"
        server = self.started(http_of("quota=5/day", more=more), workers=2)
        self.assertEqual(server.get("/?k=a").status, 200)
        self.assertEqual(held(server), held(plain))
        self.assertIsNone(server.reload())
        self.assertIsNone(plain.reload())
        self.assertEqual(held(server), held(plain))
        for worker in server.pids():
            self.assertEqual(len(os.listdir(f"/proc/{worker}/task")), 1)

    def test_a_process_of_its_own(self):
        server = self.nginx(http_of("quota=2/day"), main="master_process off;")
        server.workers = 0
        server.start()
        self.assertEqual(server.statuses(3, "/?k=a"), [200, 200, 429])


class Full(Case):
    """A zone in which every place is taken by clients that wait for theirs to be full again."""

    # As many cells as the smallest zone has.
    ZONE = "zone=api:1m lines=1"

    def fill(self, server, name, most=200_000):
        """Sends new keys until hardly one of them finds room; how many did."""
        let_in = 0
        for n in range(0, most, 500):
            found = server.pipeline(f"/?k={name}{k}" for k in range(n, n + 500))
            let_in += found.count(200)
            if found.count(503) > 490:
                return let_in
        raise AssertionError("it is never full")

    def test_who_has_a_place_keeps_it(self):
        more = "add_header X-Status $tollgate_status always"
        server = self.started(http_of("throttle=1/h burst=2", zone=self.ZONE, limiter=f"key=$arg_k plan=p; {more}"))
        cells = zone_of(server)["cells"]["planned"]
        self.assertEqual(server.statuses(3, "/?k=abuser"), [200, 200, 429])
        let_in = self.fill(server, "throw-away-")
        self.assertGreater(let_in, cells)
        # Whose limit is not reset by all that, however long their keys are.
        self.assertEqual(server.statuses(3, "/?k=abuser"), [429] * 3)
        # What is refused says so, however long the key is.
        answers = [server.get(f"/?k=first-ever{n}" + "x" * 300) for n in range(20)]
        self.assertIn((503, "ZONE_FULL"), [(a.status, a.headers["X-Status"]) for a in answers])
        zone = zone_of(server)
        self.assertGreaterEqual(zone["requests"]["zone_full"], 1)
        self.assertEqual(zone["cells"]["used"], let_in + 1 + (zone["requests"]["ok"] - let_in - 2))
        self.assertIn('limiting requests, excess: 1.000 by zone "api", no room, client', server.log())

    def test_four_times_the_keys_that_limit_req_holds(self):
        server = self.started(http_of("throttle=1/h burst=1", zone="zone=api:1m"))
        # limit_req holds 8,092 in a megabyte, and forgets the oldest from there on.
        found = server.pipeline(f"/?k=key{n:07}" for n in range(4 * 8_092))
        self.assertEqual(found.index(503) if 503 in found else None, None)
        self.assertEqual(server.statuses(2, "/?k=key0000000"), [429, 429])

    def test_pass(self):
        passes = "location /pass { tollgate zone=api key=$arg_k plan=p zone_full=pass; empty_gif; }"
        server = self.started(http_of("throttle=1/h burst=1", zone=self.ZONE).replace(STATUS, STATUS + passes))
        self.fill(server, "k")
        self.assertEqual(set(server.pipeline(f"/pass?k=new{n}" for n in range(500))), {200})
        self.assertEqual(server.get("/pass?k=k1").status, 429)
        self.assertIn(503, server.pipeline(f"/?k=other{n}" for n in range(100)))

    def test_the_limiters_that_there_is_room_for_decide(self):
        both = "location /both { tollgate zone=api key=$arg_k plan=p zone_full=pass;" \
            " tollgate zone=api key=$arg_o plan=other zone_full=pass; empty_gif; }"
        http = http_of("throttle=1/h burst=1", zone=self.ZONE.replace("=1", "=50"))
        server = self.started(http.replace(STATUS, STATUS + both))
        self.assertEqual(server.statuses(2, "/both?k=known&o=known"), [200, 429])
        self.fill(server, "k")
        # Without room for the first, the second refuses; without room for both neither does.
        new = lambda n: next(k for k in range(n, n + 1000) if server.get(f"/?k=probe{k}").status == 503)
        self.assertEqual(server.get(f"/both?k=probe{new(0)}&o=known").status, 429)
        self.assertEqual({server.get(f"/both?k=x{n}&o=y{n}").status for n in range(100)}, {200})

    def test_guessed_keys_take_no_room(self):
        http = http_of("quota=5/day", zone=self.ZONE, limiter="key=$arg_k", more="tollgate_plans {plans};")
        plans = '[plans.f]\nquotas = [{ limit = 9, per = "day" }]\n' \
            '[subjects.a]\nplans = ["f"]\nkeys = [{ id = "1", value = "first" }]\n'
        server = self.started(http.replace("lines=1", "lines=100"), plans=plans)
        self.assertEqual(set(server.pipeline(f"/?k=guess{n}" for n in range(3000))), {403})
        self.assertEqual(server.get("/?k=first").status, 200)
        self.assertEqual(zone_of(server)["requests"]["key_unknown"], 3000)


class StatusPage(Case):
    def test_json_and_prometheus(self):
        more = "tollgate_zone zone=b:5m file={folder}/b;"
        http = http_of("quota=2/day", more=more)
        server = self.started(http.replace("page json;", "page json; if ($arg_if) { set $x 1; }"), workers=2)
        self.assertEqual(server.statuses(5, "/?k=a"), [200, 200, 429, 429, 429])
        answer = server.get("/status")
        self.assertEqual(answer.headers["Content-Type"], "application/json")
        page = json.loads(answer.body)
        first, second = page["zones"]
        self.assertEqual((first["name"], first["bytes"], first["file"]), ("api", 8 << 20, None))
        self.assertEqual((first["cells"]["used"], second["cells"]["used"]), (1, 0))
        self.assertGreater(first["cells"]["planned"], second["cells"]["planned"])
        self.assertEqual((second["name"], second["file"]), ("b", str(server.folder / "b")))
        self.assertEqual((first["requests"]["ok"], first["requests"]["quota_exceeded"]), (2, 3))
        answer = server.get("/metrics")
        self.assertIn("text/plain", answer.headers["Content-Type"])
        text = answer.body.decode()
        self.assertIn('tollgate_nginx_requests_total{zone="api",outcome="quota_exceeded"} 3\n', text)
        self.assertIn('tollgate_nginx_places{zone="api",kind="cells",state="used"} 1\n', text)
        for line in text.splitlines():
            self.assertRegex(line, r'^(# (HELP|TYPE) \w+ .+|\w+\{[^{}]+\} \d+)$')
        self.assertEqual(server.get("/status?if=1").headers["Content-Type"], "application/json")
        self.assertEqual(server.get("/status", method="HEAD").body, b"")
        self.assertEqual(server.get("/status", method="POST", body=b"x").status, 405)


class BadConfiguration(Case):
    """Each names directive, value and what would be right."""

    def test_emergencies(self):
        good = "tollgate_zone zone=api:8m; tollgate_plan p quota=1/day;"
        limiter = lambda text: good + "server { listen 127.0.0.1:{port}; location / { tollgate %s; } }" % text
        for http, *words in [
            ("tollgate_zone zone=api;", "tollgate_zone", '"api"', "NAME:SIZE"),
            ("tollgate_zone zone=api:x;", "tollgate_zone", '"x"', "32m"),
            ("tollgate_zone zone=api:64k;", "tollgate_zone", "65536", "too small", "1m"),
            ("tollgate_zone zone=api:8m lines=many;", "lines=many", "lines=10000"),
            ("tollgate_zone zone=api:8m color=red;", "color=red", "zone=NAME:SIZE"),
            ("tollgate_zone file=/tmp/x;", "tollgate_zone", "zone=NAME:SIZE"),
            (good + "tollgate_zone zone=api:8m;", "tollgate_zone", '"api"', "already"),
            (good + "tollgate_plan p quota=1/day;", "tollgate_plan", '"p"', "already"),
            (good + "tollgate_plan q quota=1;", '"quota=1"', "tollgate_plan", "quota=1000/day"),
            (good + "tollgate_plan q quota=1/fortnight;", "tollgate_plan", "plans.q.quotas", "fortnight"),
            (good + "tollgate_plan q throttle=fast;", "tollgate_plan", "plans.q.throttle", "fast"),
            (good + "tollgate_plan q burst=0;", "burst=0", "at least 1"),
            (good + "tollgate_plan q burst=3;", "burst=", "throttle=10/s"),
            (good + "tollgate_plan q throttle=1/s delay=x;", "delay=x", "delay=300ms"),
            (good + "tollgate_plan q lease=1s;", "lease=", "concurrency="),
            (good + "tollgate_plan q throttle=1/s delay=400000d;", "delay=400000d", "500 years"),
            (good + "tollgate_plan q concurrency=1 lease=400000d;", "lease=400000d", "500 years"),
            (good + "tollgate_plans {plans}; tollgate_plan q throttle=fast;", '"tollgate_plan"', "plans.q.throttle"),
            (good + "tollgate_plans {plans}; tollgate_pepper a:b {folder}/nginx.conf;", '"tollgate_pepper"', "a:b"),
            (good + "tollgate_plans {folder}/none;", "none", "No such file"),
            (good + "tollgate_pepper a {plans};", "tollgate_pepper", "at least 16"),
            (limiter("key=a plan=p"), "tollgate", "zone=NAME"),
            (limiter("zone=api"), "tollgate", "key="),
            (limiter("zone=api key= plan=p"), "key=", "key=$http_x_api_key"),
            (limiter("zone=other key=a plan=p"), '"other"', "tollgate_zone"),
            (limiter("zone=api key=a plan=q"), "plan=q", "tollgate_plan"),
            (limiter("zone=api key=a unknown_key=plan=q"), "plan=q", "tollgate_plan"),
            (limiter("zone=api key=a plan=p unknown_key=pass"), "plan=p", "unknown_key="),
            (limiter("zone=api key=a unknown_key=maybe"), "unknown_key=maybe", "unknown_key=pass"),
            (limiter("zone=api key=a zone_full=maybe"), "zone_full=maybe", "zone_full=pass"),
            (limiter("zone=api key=a prefix=129"), "prefix=129", "1 to 128"),
            (limiter("zone=api key=a settle=tokens"), "settle=tokens", "settle=bytes"),
            (limiter("zone=api key=a speed=1"), "speed=1", "stage="),
            (limiter("zone=api key=a settle=bytes; tollgate zone=api key=b cost=5"), "cost=5", "settle=bytes"),
            (limiter("zone=api key=a cost=$arg_c; tollgate zone=api key=b settle=bytes"), "cost=", "settle=bytes"),
            (limiter("zone=api key=a plan=p; tollgate zone=b key=a plan=p") + "tollgate_zone zone=b:8m;", '"b"', '"api"'),
            (limiter("zone=api key=a plan=p; tollgate_status 200"), "tollgate_status", '"200"', "400 to 599"),
            (limiter("zone=api key=a plan=p; tollgate_key_status 429"), "tollgate_key_status", "401 or 403"),
            (limiter("zone=api key=a plan=p; tollgate_headers new"), "tollgate_headers", '"new"', "off, draft, legacy"),
            (limiter("zone=api key=a plan=p; tollgate_status_page xml"), "tollgate_status_page", '"xml"', "json, prometheus"),
            (limiter("zone=api key=a plan=p; tollgate_log_level loud"), "tollgate_log_level", '"loud"', "warn, error"),
            (limiter("zone=api key=a plan=p; tollgate_dry_run maybe"), "tollgate_dry_run", '"maybe"', '"on" or "off"'),
            (limiter(";".join(["zone=api key=a plan=p"] + ["tollgate zone=api key=a plan=p"] * 16)), "at most 16"),
        ]:
            with self.subTest(http=http):
                server = self.nginx(http)
                good_one, said = server.test()
                self.assertFalse(good_one)
                emerg = [line for line in said.splitlines() if "[emerg]" in line]
                self.assertEqual(len(emerg), 1, said)
                for word in words:
                    self.assertIn(word, emerg[0])

    def test_a_plan_file_names_line_and_field(self):
        http = http_of("quota=5/day", more="tollgate_plans {plans};")
        for plans, *words in [
            ('[plans.q]\nthrottle = { rate = "1/s", burst = 0 }\n', "plans.q.throttle", "burst"),
            ("[plans.q]\nspeed = 3\n", "line 2", "speed"),
            ('[subjects.a]\nplans = ["none"]\nkeys = [{ id = "1", value = "top-secret" }]\n', "subjects.a.plans", "none"),
            ('[subjects.a]\nplans = []\nkeys = [{ id = "1", value = "top-secret", enabled = 3 }]\n', "line 3"),
        ]:
            server = self.nginx(http, plans=plans)
            good, said = server.test()
            self.assertFalse(good)
            for word in ["tollgate_plans", *words]:
                self.assertIn(word, said)
            self.assertNotIn("top-secret", said)

    def test_no_use_of_it_is_no_error(self):
        server = self.started("server { listen 127.0.0.1:{port}; add_header X-Status $tollgate_status; }")
        answer = server.get()
        self.assertEqual(answer.status, 200)
        self.assertNotIn("X-Status", answer.headers)


if __name__ == "__main__":
    unittest.main()
