"""What becomes of requests on their way: delays, slots, settlements, redirects, subrequests, HTTP/2, the log."""

import json
import re
import socket
import subprocess
import threading
import time
import unittest

from harness import Case, wait_until

ZONE = "tollgate_zone zone=api:8m; tollgate_plans {plans};"
STATUS = "location = /status { tollgate_status_page json; }"


def counts(server, kind="requests"):
    return json.loads(server.get("/status").body)["zones"][0][kind]


def server_of(locations, plan, more=""):
    return f"""
        {ZONE} {plan} {more}
        server {{ listen 127.0.0.1:{{port}}; client_max_body_size 100m; {STATUS} {locations} }}"""


def in_parallel(count, what):
    results, threads = [None] * count, []
    for n in range(count):
        def run(n=n):
            results[n] = what(n)
        threads.append(threading.Thread(target=run))
        threads[-1].start()
    for thread in threads:
        thread.join()
    return results


class Delays(Case):
    PLAN = "tollgate_plan slow throttle=5/s burst=1 delay=900ms;"
    LOCATION = "location / { tollgate zone=api key=$arg_k plan=slow; add_header X-Status $tollgate_status always; %s }"

    def test_requests_are_spread_and_the_worker_goes_on(self):
        server = self.started(server_of(self.LOCATION % "" + "location = /free { empty_gif; }", self.PLAN))
        begun = time.monotonic()

        def timed(n):
            if n == 6:
                time.sleep(0.1)
                answer = server.get("/free")
            else:
                answer = server.get("/?k=a")
            return answer.status, time.monotonic() - begun, answer.headers["X-Status"]
        results = in_parallel(7, timed)
        self.assertLess(results[6][1], 0.19)
        done = sorted(results[:6], key=lambda result: result[1])
        passed = [at for status, at, _ in done if status == 200]
        # The first at once, the others 200 ms apart, none later than 900 ms.
        self.assertEqual(len(passed), 5)
        for n, at in enumerate(passed):
            self.assertGreaterEqual(at, 0.2 * n - 0.005)
            self.assertLess(at, 0.2 * n + 0.15)
        self.assertEqual(sorted(word for _, _, word in done), ["DELAYED"] * 4 + ["PASSED", "REJECTED"])
        self.assertIn('delaying request, excess:', server.log())
        self.assertRegex(server.log(), r"\[warn\].* delaying request, excess: \d\.\d{3}, by zone \"api\", client")

    def test_a_large_body_waits(self):
        # The upstream answers with the length of what it got.
        locations = self.LOCATION % "proxy_pass http://127.0.0.1:{port}/up?n=$content_length;" \
            + "location = /up { client_body_in_file_only clean; proxy_pass http://127.0.0.1:{port}/got; }" \
            + "location = /got { return 200 $content_length; }"
        server = self.started(server_of(locations, self.PLAN))
        body = b"x" * 8_000_000
        results = in_parallel(3, lambda n: (server.get("/?k=a", method="POST", body=body), time.monotonic()))
        self.assertEqual([answer.status for answer, _ in results], [200] * 3)
        self.assertEqual([answer.body for answer, _ in results], [b"8000000"] * 3)
        self.assertEqual(counts(server)["delayed"], 2)

    def test_a_client_that_leaves_while_it_waits(self):
        server = self.started(server_of(self.LOCATION % "", self.PLAN))
        self.assertEqual(server.get("/?k=a").status, 200)
        for request in (b"GET /?k=a HTTP/1.1\r\nHost: a\r\n\r\n",
                        b"POST /?k=a HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nsome"):
            with socket.create_connection(("127.0.0.1", server.port)) as client:
                client.sendall(request)
                time.sleep(0.05)
        wait_until(lambda: len(re.findall(r"client prematurely closed connection|client .* closed", server.log())) >= 2)
        wait_until(lambda: " 499 " in server.access())
        self.assertEqual(counts(server)["delayed"], 2)
        # What they took stays taken: now is refused who would wait longer than allowed.
        self.assertEqual(server.access().count(" 499 "), 2)

    def test_dry_run(self):
        server = self.started(server_of(self.LOCATION % "tollgate_dry_run on;", self.PLAN))
        begun = time.monotonic()
        words = [server.get("/?k=a").headers["X-Status"] for _ in range(3)]
        self.assertLess(time.monotonic() - begun, 0.15)
        self.assertEqual(words, ["PASSED", "DELAYED_DRY_RUN", "DELAYED_DRY_RUN"])
        self.assertIn("delaying request, dry run, excess", server.log())
        self.assertEqual(counts(server, "dry_run")["delayed"], 2)

    def test_http2_streams_wait_each_for_itself(self):
        http = server_of(self.LOCATION % "", self.PLAN).replace("{port};", "{port} http2;")
        server = self.started(http.replace(STATUS, ""))
        begun = time.monotonic()
        urls = [f"http://127.0.0.1:{server.port}/?k=a&n={n}" for n in range(7)]
        done = subprocess.run(["nghttp", "-v", *urls], capture_output=True, text=True)
        took = time.monotonic() - begun
        self.assertEqual(sorted(re.findall(r":status: (\d+)", done.stdout)), ["200"] * 5 + ["429"] * 2)
        self.assertGreater(took, 0.79)
        self.assertLess(took, 2)
        self.assertIn("retry-after: 1", done.stdout)


class Slots(Case):
    PLAN = "tollgate_plan two concurrency=2;"
    # A location that is busy for as long as its client reads.
    LOCATION = "location / { tollgate zone=api key=$arg_k plan=two; limit_rate 50k; %s }"

    def test_slots_are_freed_at_the_end_of_requests(self):
        server = self.started(server_of(self.LOCATION % "", self.PLAN), workers=1)
        for _ in range(3):
            statuses = in_parallel(4, lambda n: server.get("/big?k=a").status)
            self.assertEqual(sorted(statuses), [200, 200, 429, 429])
        self.assertEqual(server.statuses(5, "/?k=a"), [200] * 5)
        self.assertEqual(counts(server)["concurrency_exceeded"], 6)

    def test_slots_are_freed_when_clients_leave(self):
        server = self.started(server_of(self.LOCATION % "", self.PLAN), workers=2)
        for _ in range(3):
            clients = []
            for _ in range(2):
                client = socket.create_connection(("127.0.0.1", server.port))
                client.sendall(b"GET /big?k=a HTTP/1.1\r\nHost: a\r\n\r\n")
                self.assertIn(b"200 OK", client.recv(100))
                clients.append(client)
            self.assertEqual(server.get("/?k=a").status, 429)
            for client in clients:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                client.close()
            wait_until(lambda: server.get("/?k=a").status == 200, 5)
        self.assertEqual(server.statuses(2, "/?k=a"), [200, 200])

    def test_several_limiters_free_theirs_together(self):
        location = "location / { tollgate zone=api key=$arg_k plan=two; tollgate zone=api key=all plan=five; }"
        server = self.started(server_of(location, self.PLAN + "tollgate_plan five concurrency=5 quota=30/day;"))
        self.assertEqual(server.statuses(30, "/?k=a"), [200] * 30)
        self.assertEqual(server.get("/?k=b").status, 429)
        self.assertEqual(counts(server)["concurrency_exceeded"], 0)

    def test_a_refused_dry_run_holds_no_slot(self):
        server = self.started(server_of(self.LOCATION % "tollgate_dry_run on;", self.PLAN))
        self.assertEqual(in_parallel(4, lambda n: server.get("/big?k=a").status), [200] * 4)
        self.assertEqual(counts(server, "dry_run")["concurrency_exceeded"], 2)
        self.assertEqual(server.statuses(3, "/?k=a"), [200] * 3)
        self.assertEqual(counts(server, "dry_run")["concurrency_exceeded"], 2)


class Watched(Case):
    """A plan that only watches beside one that enforces: where the former would refuse, the latter is settled all the same."""

    PLANS = """
        [plans.watched]
        observe = true
        quotas = [{ limit = 1, per = "day" }]
        [plans.bytes]
        quotas = [{ limit = 1000000, per = "day", unit = "bytes" }]
    """

    def test_slots_and_bytes(self):
        locations = """
            location / { tollgate zone=api key=$arg_k plan=watched; tollgate zone=api key=$arg_k plan=one; }
            location /big { tollgate zone=api key=$arg_k plan=watched; tollgate zone=api key=$arg_k plan=bytes settle=bytes; }
            location = /left { tollgate zone=api key=$arg_k plan=bytes; tollgate_headers legacy; empty_gif; }
        """
        server = self.started(server_of(locations, "tollgate_plan one concurrency=1 lease=1h;"), plans=self.PLANS)
        self.assertEqual(server.statuses(4, "/?k=a"), [200] * 4)
        self.assertEqual(counts(server, "dry_run")["quota_exceeded"], 3)
        self.assertEqual(server.statuses(3, "/big?k=b"), [200] * 3)
        left = int(server.get("/left?k=b").headers["X-RateLimit-Remaining"])
        self.assertTrue(698_000 < left < 700_000, left)


class Settlements(Case):
    PLANS = """
        [plans.bytes]
        quotas = [{ name = "bytes", limit = 250000, per = "day", unit = "bytes" }, { name = "calls", limit = 6, per = "day" }]
    """

    def test_bytes_are_charged_once_they_were_sent(self):
        location = "location / { tollgate zone=api key=$arg_k plan=bytes settle=bytes; tollgate_headers draft; }"
        server = self.started(server_of(location, ""), plans=self.PLANS)
        left = lambda answer: [int(n) for n in re.findall(r"r=(\d+)", answer.headers["RateLimit"])]
        answer = server.get("/big?k=a")
        self.assertEqual(left(answer), [249_999, 5])
        answer = server.get("/big?k=a")
        sent = 250_000 - 1 - left(answer)[0]
        self.assertTrue(100_000 < sent < 100_800, sent)
        logged = re.findall(r'"GET /big\?k=a HTTP/1.1" 200', server.access())
        self.assertEqual(len(logged), 2)
        self.assertEqual(server.get("/big?k=a").status, 200)
        # 250,000 are gone: the fourth is refused.
        answer = server.get("/big?k=a")
        self.assertEqual((answer.status, left(answer)[0]), (429, 0))
        # Requests were counted as ever.
        self.assertEqual(left(answer)[1], 3)


class Redirects(Case):
    PLAN = "tollgate_plan three quota=3/day; tollgate_plan one quota=1/day;"

    def test_a_request_is_decided_once(self):
        locations = """
            tollgate zone=api key=$arg_k plan=three;
            add_header X-Status $tollgate_status always;
            location / { try_files /none @named; }
            location @named { error_page 404 = /index.html; root /nowhere; try_files $uri =404; }
            location = /index.html { root {root}; }
        """
        server = self.started(server_of(locations, self.PLAN))
        answers = [server.get("/?k=a") for _ in range(4)]
        self.assertEqual([a.status for a in answers], [200, 200, 200, 429])
        self.assertEqual(answers[0].headers["X-Status"], "PASSED")
        self.assertEqual(sum(counts(server).values()), 4)

    def test_error_pages_keep_the_fields(self):
        locations = """
            location / { tollgate zone=api key=$arg_k plan=one; tollgate_headers draft; error_page 429 /sorry; }
            location = /sorry { tollgate zone=api key=all plan=one; internal; add_header X-Status $tollgate_status always;
                                add_header X-Reason $tollgate_reason always; default_type text/plain; alias {root}/index.html; }
            location = /gone { tollgate zone=api key=$arg_k plan=one; error_page 429 =503 @elsewhere; }
            location @elsewhere { return 503 later; }
        """
        server = self.started(server_of(locations, self.PLAN))
        self.assertEqual(server.get("/?k=a").status, 200)
        for _ in range(2):
            answer = server.get("/?k=a")
            self.assertEqual((answer.status, answer.body), (429, b"hello"))
            self.assertEqual((answer.headers["X-Status"], answer.headers["X-Reason"]), ("REJECTED", "quota_exceeded"))
            self.assertGreater(int(answer.headers["Retry-After"]), 0)
            self.assertIn('"day";r=0', answer.headers["RateLimit"])
            self.assertEqual(len(answer.headers.get_all("RateLimit")), 1)
        answer = server.get("/gone?k=a")
        self.assertEqual((answer.status, answer.body), (503, b"later"))
        self.assertIn("Retry-After", answer.headers)

    def test_subrequests_are_not_counted_again(self):
        locations = """
            location / { tollgate zone=api key=$arg_k plan=three; auth_request /auth; ssi on; }
            location = /auth { tollgate zone=api key=$arg_k plan=three; proxy_pass http://127.0.0.1:{port}/yes; }
            location = /yes { return 204; }
            location = /part { tollgate zone=api key=$arg_k plan=one; alias {root}/index.html; }
        """
        server = self.nginx(server_of(locations, self.PLAN))
        (server.root / "page.html").write_text('<!--# include virtual="/part?k=a" -->,<!--# include virtual="/part?k=a" -->'
                                               '<!--# echo var="tollgate_remaining" -->')
        server.start()
        answers = [server.get("/page.html?k=a") for _ in range(4)]
        self.assertEqual([a.status for a in answers], [200, 200, 200, 429])
        self.assertEqual(answers[0].body, b"hello,hello2")

    def test_the_refusal_of_a_subrequest_is_not_the_clients(self):
        locations = """
            location / { mirror /copy; }
            location = /copy { internal; tollgate zone=api key=all plan=one; empty_gif; }
            location = /guarded { auth_request /auth; alias {root}/index.html; }
            location = /auth { tollgate zone=api key=all plan=one; tollgate_status 403; empty_gif; }
        """
        server = self.started(server_of(locations, self.PLAN))
        for _ in range(3):
            answer = server.get("/")
            self.assertEqual((answer.status, answer.headers["Retry-After"]), (200, None))
        answer = server.get("/guarded")
        self.assertEqual(answer.status, 403)
        self.assertGreater(int(answer.headers["Retry-After"]), 0)

    def test_old_fields_are_those_of_the_scarcest_limiter(self):
        limiter = "tollgate zone=api key=$arg_k plan=%s;"
        for plans in (("three", "one"), ("one", "three")):
            location = "location / { %s tollgate_headers legacy; }" % "".join(limiter % plan for plan in plans)
            server = self.started(server_of(location, self.PLAN))
            for _ in range(2):
                answer = server.get("/?k=a")
                self.assertEqual(answer.headers.get_all("X-RateLimit-Limit"), ["1"])
                self.assertEqual(answer.headers.get_all("X-RateLimit-Remaining"), ["0"])
                self.assertEqual(len(answer.headers.get_all("X-RateLimit-Reset")), 1)

    def test_a_subrequest_of_a_request_that_nobody_limits(self):
        locations = """
            location / { auth_request /auth; }
            location = /auth { tollgate zone=api key=$arg_k plan=one; tollgate_status 403; empty_gif; }
        """
        http = server_of(locations.replace("$arg_k", "all"), self.PLAN)
        server = self.started(http)
        self.assertEqual(server.statuses(3, "/"), [200, 403, 403])

    def test_rewrite_comes_first(self):
        locations = "location / { tollgate zone=api key=all plan=one; return 200 early; }"
        server = self.started(server_of(locations, self.PLAN))
        self.assertEqual(server.statuses(3), [200] * 3)

    def test_inheritance(self):
        locations = """
            tollgate zone=api key=all plan=one; tollgate_status 420; tollgate_headers legacy;
            location / { }
            location /own { tollgate zone=api key=$arg_k plan=three; tollgate_status 430; empty_gif; }
        """
        server = self.started(server_of(locations, self.PLAN))
        self.assertEqual(server.statuses(2), [200, 420])
        self.assertEqual(server.statuses(4, "/own?k=a"), [200] * 3 + [430])
        self.assertEqual(server.get("/own?k=a").headers["X-RateLimit-Limit"], "3")


class Http2(Case):
    def test_streams_of_one_connection(self):
        location = "location / { tollgate zone=api key=all plan=four; tollgate_headers draft; }"
        http = server_of(location, "tollgate_plan four quota=4/day;").replace("{port};", "{port} http2;")
        server = self.started(http, workers=2)
        urls = [f"http://127.0.0.1:{server.port}/?n={n}" for n in range(10)]
        done = subprocess.run(["nghttp", "-v", *urls], capture_output=True, text=True)
        self.assertEqual(sorted(re.findall(r":status: (\d+)", done.stdout)), ["200"] * 4 + ["429"] * 6)
        self.assertEqual(len(re.findall(r'ratelimit: "day";r=\d;t=\d+', done.stdout)), 10)


class Log(Case):
    PLANS = """
        [plans.one]
        quotas = [{ limit = 1, per = "day" }]
        [subjects.a]
        plans = ["one"]
        keys = [{ id = "a-1", value = "secret-of-a" }]
    """

    def test_at_most_one_line_per_key_and_second(self):
        location = "location / { tollgate zone=api key=$http_x_api_key; }"
        server = self.started(server_of(location, ""), plans=self.PLANS, workers=2)
        begun = time.time()
        statuses = in_parallel(2, lambda n: server.statuses(200, key="secret-of-a"))
        seconds = int(time.time()) - int(begun) + 1
        self.assertEqual(sum(statuses, []).count(200), 1)
        lines = re.findall(r"limiting requests, excess: (\S+) by zone \"api\", client: 127.0.0.1, server: ", server.log())
        self.assertTrue(1 <= len(lines) <= seconds, (len(lines), seconds))
        self.assertEqual(set(lines), {"1.000"})
        for guess in ("guess-1", "guess-2", "guess-3"):
            server.statuses(3, key=guess)
        self.assertRegex(server.log(), r"\[error\].* limiting requests, excess: 1.000 by zone \"api\", unknown key, client")
        everything = server.log() + server.access() + server.said()
        for key in ("secret-of-a", "guess-1"):
            self.assertNotIn(key, everything)

    def test_level(self):
        location = "location / { tollgate zone=api key=$http_x_api_key; tollgate_log_level notice; }"
        server = self.started(server_of(location, "", "error_log {folder}/logs/error.log notice;"), plans=self.PLANS)
        server.statuses(3, key="secret-of-a")
        self.assertIn("[notice]", [line for line in server.log().splitlines() if "limiting requests" in line][0])
        http = server_of(location.replace("notice", "info"), "", "error_log {folder}/logs/error.log notice;")
        server = self.started(http, plans=self.PLANS)
        self.assertEqual(server.statuses(3, key="secret-of-a")[-1], 429)
        self.assertNotIn("limiting requests", server.log())


if __name__ == "__main__":
    unittest.main()
