"""Who is let in, who is refused, and what they are told."""

import hashlib
import time
import unittest

from harness import Case

PLANS = """
[plans.gold]
throttle = { rate = "1/m", burst = 5 }
quotas   = [{ limit = 1000, per = "day" }]
[plans.small]
stages   = ["pets/prod"]
quotas   = [{ name = "daily", limit = 3, per = "day" }]
[plans.routed]
quotas   = [{ limit = 100, per = "day" }]
[plans.routed.routes."GET /slow/*"]
throttle = { rate = "1/m", burst = 1 }
[subjects.acme]
plans = ["gold"]
keys  = [{ id = "acme-1", value = "key-of-acme" }, { id = "acme-2", value = "second-of-acme" }]
[subjects.tiny]
plans = ["small"]
keys  = [{ id = "tiny-1", value = "key-of-tiny" }]
[subjects.walker]
plans = ["routed"]
keys  = [{ id = "walker-1", value = "key-of-walker" }]
[subjects.sleeper]
plans = ["gold"]
keys  = [
  { id = "off-1", value = "switched-off", enabled = false },
  { id = "old-1", value = "expired-key", expires = "2001-01-01T00:00:00Z" },
]
"""


def location(limiters, more=""):
    return f"""
        tollgate_zone zone=api:8m;
        tollgate_plans {{plans}};
        tollgate_plan visitor throttle=1/m burst=2;
        server {{ listen 127.0.0.1:{{port}};
            location / {{ {limiters} {more} }}
        }}"""


KEYED = "tollgate zone=api key=$http_x_api_key;"


class Admission(Case):
    def test_burst_then_refusal_over_all_workers(self):
        for workers in (1, 2):
            server = self.started(location("tollgate zone=api key=$remote_addr plan=visitor;"), workers=workers)
            self.assertEqual(server.statuses(5), [200, 200, 429, 429, 429])

    def test_a_key_has_the_plan_of_its_subject(self):
        server = self.started(location(KEYED + "tollgate_headers draft;"), plans=PLANS)
        answer = server.get(key="key-of-acme")
        self.assertEqual(answer.status, 200)
        self.assertIn('"throttle";q=5;w=300', answer.headers["RateLimit-Policy"])
        # Both keys are the same subject's.
        self.assertEqual(server.statuses(5, key="second-of-acme"), [200] * 4 + [429])
        # Another plan, which does not cover requests without a stage.
        self.assertEqual(server.get(key="key-of-tiny").status, 403)

    def test_quota_of_a_stage(self):
        server = self.started(
            location("tollgate zone=api key=$http_x_api_key stage=pets/prod; tollgate_headers legacy;"), plans=PLANS
        )
        self.assertEqual(server.statuses(3, key="key-of-tiny"), [200] * 3)
        answer = server.get(key="key-of-tiny")
        self.assertEqual(answer.status, 429)
        left = 86_400 - time.time() % 86_400
        self.assertAlmostEqual(int(answer.headers["Retry-After"]), left, delta=5)
        self.assertEqual(answer.headers["X-RateLimit-Limit"], "3")
        self.assertEqual(answer.headers["X-RateLimit-Remaining"], "0")
        self.assertAlmostEqual(int(answer.headers["X-RateLimit-Reset"]), left, delta=5)

    def test_stage_of_a_variable(self):
        server = self.started(location("tollgate zone=api key=$http_x_api_key stage=$arg_stage;"), plans=PLANS)
        self.assertEqual(server.get("/?stage=pets/prod", key="key-of-tiny").status, 200)
        self.assertEqual(server.get("/?stage=pets/test", key="key-of-tiny").status, 403)

    def test_routes(self):
        server = self.started(location(KEYED, "try_files /index.html =404;"), plans=PLANS)
        self.assertEqual(server.statuses(2, "/slow/a?x=1", key="key-of-walker"), [200, 429])
        self.assertEqual(server.statuses(2, "/slow/a", key="key-of-walker", method="HEAD"), [200, 200])
        self.assertEqual(server.statuses(2, "/fast", key="key-of-walker"), [200, 200])

    def test_route_of_a_variable(self):
        limiter = 'tollgate zone=api key=$http_x_api_key "route=GET /slow/$arg_x";'
        server = self.started(location(limiter), plans=PLANS)
        self.assertEqual(server.statuses(2, "/?x=1", key="key-of-walker"), [200, 429])

    def test_states_of_keys(self):
        more = "tollgate_headers draft; add_header X-Status $tollgate_status always;"
        server = self.started(location(KEYED, more), plans=PLANS)
        for key, status in [
            (None, "KEY_MISSING"),
            ("", "KEY_MISSING"),
            ("guessed", "UNKNOWN_KEY"),
            ("x" * 5000, "UNKNOWN_KEY"),
            ("switched-off", "KEY_DISABLED"),
            ("expired-key", "KEY_EXPIRED"),
            ("key-of-tiny", "NO_PLAN_FOR_STAGE"),
        ]:
            answer = server.get(key=key)
            self.assertEqual((answer.status, answer.headers["X-Status"]), (403, status))
            self.assertNotIn("Retry-After", answer.headers)
            self.assertNotIn("RateLimit", answer.headers)

    def test_key_status(self):
        server = self.started(location(KEYED, "tollgate_key_status 401; tollgate_status 503;"), plans=PLANS)
        self.assertEqual(server.get(key="guessed").status, 401)
        self.assertEqual(server.statuses(6, key="key-of-acme")[-1], 503)

    def test_empty_key(self):
        # With a plan the limiter is not for this request; without one it is a key that is missing.
        server = self.started(location("tollgate zone=api key=$http_x_api_key plan=visitor;"), plans=PLANS)
        self.assertEqual(server.statuses(5), [200] * 5)
        self.assertEqual(server.statuses(3, key="a"), [200, 200, 429])

    def test_unknown_key(self):
        server = self.started(location("tollgate zone=api key=$http_x_api_key unknown_key=pass;"), plans=PLANS)
        self.assertEqual(server.statuses(9, key="guessed"), [200] * 9)
        self.assertEqual(server.get().status, 403)
        self.assertEqual(server.get(key="switched-off").status, 403)
        server = self.started(
            location("tollgate zone=api key=$http_x_api_key unknown_key=plan=visitor;"), plans=PLANS
        )
        self.assertEqual(server.statuses(3, key="guessed"), [200, 200, 429])
        self.assertEqual(server.statuses(6, key="key-of-acme"), [200] * 5 + [429])

    def test_several_limiters_are_one_decision(self):
        limiters = "tollgate zone=api key=$http_x_api_key stage=pets/prod;" \
            "tollgate zone=api key=$arg_user plan=visitor; tollgate_headers draft;"
        server = self.started(location(limiters), plans=PLANS)
        # The user's third is refused, and takes nothing of the key's three.
        self.assertEqual(server.statuses(4, "/?user=a", key="key-of-tiny"), [200, 200, 429, 429])
        answer = server.get("/?user=b", key="key-of-tiny")
        self.assertEqual(answer.status, 200)
        policies = answer.headers.get_all("RateLimit-Policy")
        self.assertEqual(policies, ['"daily";q=3;w=86400', '"throttle";q=2;w=120'])
        self.assertEqual(server.statuses(2, "/?user=c", key="key-of-tiny"), [429, 429])
        # ... and the key's refusal nothing of the user's.
        self.assertEqual(server.get("/?user=c", key="guessed").status, 403)

    def test_cost(self):
        server = self.started(location("tollgate zone=api key=$http_x_api_key cost=$arg_cost;"), plans=PLANS)
        self.assertEqual(server.get("/?cost=4", key="key-of-acme").status, 200)
        self.assertEqual(server.get("/?cost=2", key="key-of-acme").status, 429)
        self.assertEqual(server.get("/?cost=6", key="key-of-acme").status, 429)
        # More than a number can say is more than there is.
        self.assertEqual(server.get("/?cost=99999999999999999999", key="key-of-acme").status, 429)
        self.assertEqual(server.statuses(2, "/?cost=0", key="key-of-acme"), [200, 200])
        # What is no number, or is none at all, costs one.
        self.assertEqual(server.get("/?cost=-1", key="key-of-acme").status, 200)
        self.assertEqual(server.get("/", key="key-of-acme").status, 429)

    def test_prefix_of_addresses(self):
        limiter = "tollgate zone=api key=$http_x_address plan=visitor prefix=64;"
        server = self.started(location(limiter))
        get = lambda address: server.get(headers={"X-Address": address}).status
        same = ["2001:db8:1:2::1", "2001:db8:1:2:ffff::9", "2001:0db8:0001:0002::3"]
        self.assertEqual([get(address) for address in same], [200, 200, 429])
        self.assertEqual(get("2001:db8:1:3::1"), 200)
        self.assertEqual([get("::ffff:192.0.2.1"), get("::ffff:192.0.2.2")], [200, 200])
        self.assertEqual([get("192.0.2.9") for _ in range(3)], [200, 200, 429])
        self.assertEqual([get("192.0.2.8") for _ in range(3)], [200, 200, 429])
        # Four bytes are an IPv4 address, also those that read like "::12" and "::13".
        binary = "set_real_ip_from 127.0.0.1; real_ip_header X-Address;"
        binary += "tollgate zone=api key=$binary_remote_addr plan=visitor prefix=64;"
        server = self.started(location(binary))
        same, other = "58.58.49.50", "58.58.49.51"
        self.assertEqual([get(address) for address in (same, same, same, other)], [200, 200, 429, 200])

    def test_headers(self):
        server = self.started(location("tollgate zone=api key=$remote_addr plan=visitor; tollgate_headers draft;"))
        first, second, third = (server.get() for _ in range(3))
        self.assertEqual(first.headers["RateLimit-Policy"], '"throttle";q=2;w=120')
        self.assertEqual(first.headers["RateLimit"], '"throttle";r=1;t=60')
        self.assertNotIn("Retry-After", second.headers)
        self.assertEqual(third.status, 429)
        self.assertEqual(third.headers["RateLimit-Policy"], '"throttle";q=2;w=120')
        self.assertRegex(third.headers["RateLimit"], '"throttle";r=0;t=1[12]')
        self.assertIn(third.headers["Retry-After"], ("59", "60"))
        server = self.started(location("tollgate zone=api key=$remote_addr plan=visitor;"))
        first, _, third = (server.get() for _ in range(3))
        self.assertNotIn("RateLimit", first.headers)
        self.assertNotIn("RateLimit", third.headers)
        self.assertIn(third.headers["Retry-After"], ("59", "60"))

    def test_variables(self):
        more = """
            add_header X-All "$tollgate_status/$tollgate_reason/$tollgate_plan/$tollgate_subject/$tollgate_key_id" always;
            add_header X-Numbers "$tollgate_limit/$tollgate_remaining/$tollgate_reset/$tollgate_retry_after" always;
        """
        server = self.started(location("tollgate zone=api key=$http_x_api_key;", more), plans=PLANS)
        answer = server.get(key="key-of-acme")
        self.assertEqual(answer.headers["X-All"], "PASSED/ok/gold/acme/acme-1")
        self.assertEqual(answer.headers["X-Numbers"], "5/4/60/")
        server.statuses(4, key="second-of-acme")
        answer = server.get(key="second-of-acme")
        self.assertEqual(answer.headers["X-All"], "REJECTED/throttled/gold/acme/acme-2")
        self.assertRegex(answer.headers["X-Numbers"], "^5/0/(300|299)/(60|59)$")
        self.assertEqual(server.get(key="guessed").headers["X-All"], "UNKNOWN_KEY/key_unknown///")

    def test_digests_and_peppers(self):
        digest = hashlib.sha256(b"a-key-by-digest").hexdigest()
        import hmac
        peppered = hmac.new(b"0123456789abcdef", b"a-peppered-key", "sha256").hexdigest()
        plans = f"""
            [plans.p]
            quotas = [{{ limit = 1, per = "day" }}]
            [subjects.a]
            plans = ["p"]
            keys = [{{ id = "a", sha256 = "{digest}" }}, {{ id = "b", hmac = "one:{peppered}" }}]
        """
        http = location(KEYED, "").replace("tollgate_plans", "tollgate_pepper one {folder}/pepper; tollgate_plans", 1)
        server = self.nginx(http, plans=plans)
        (server.folder / "pepper").write_text("0123456789abcdef\n")
        server.start()
        self.assertEqual(server.get(key="a-key-by-digest").status, 200)
        self.assertEqual(server.get(key="a-peppered-key").status, 429)
        self.assertEqual(server.get(key="another").status, 403)

    def test_plans_as_json(self):
        http = location(KEYED).replace("{plans}", "{folder}/plans.json")
        server = self.nginx(http)
        (server.folder / "plans.json").write_text(
            '{"plans": {"p": {"quotas": [{"limit": 1, "per": "day"}]}},'
            ' "subjects": {"a": {"plans": ["p"], "keys": [{"id": "a", "value": "made-up"}]}}}'
        )
        server.start()
        self.assertEqual(server.statuses(2, key="made-up"), [200, 429])

    def test_dry_run(self):
        more = "tollgate_dry_run on; add_header X-Status $tollgate_status always; tollgate_headers draft;"
        server = self.started(location("tollgate zone=api key=$http_x_api_key plan=visitor;", more))
        answers = [server.get(key="a") for _ in range(3)]
        self.assertEqual([a.status for a in answers], [200] * 3)
        self.assertEqual([a.headers["X-Status"] for a in answers], ["PASSED", "PASSED", "REJECTED_DRY_RUN"])
        self.assertNotIn("Retry-After", answers[2].headers)
        self.assertRegex(server.log(), r'\[error\].* limiting requests, dry run, excess: \d+\.\d{3} by zone "api", client')

    def test_a_plan_that_observes_hides_no_delay(self):
        limiters = "tollgate zone=api key=$http_x_api_key plan=watched; tollgate zone=api key=all plan=paced;"
        plans = "tollgate_plan watched throttle=1/m dry_run; tollgate_plan paced throttle=5/s burst=1 delay=2s;"
        server = self.started(plans + location(limiters))
        begun = time.monotonic()
        self.assertEqual(server.statuses(4, key="a"), [200] * 4)
        # Three emission intervals.
        self.assertGreater(time.monotonic() - begun, 0.5)

    def test_a_plan_that_observes(self):
        limiter = "tollgate zone=api key=$http_x_api_key plan=watched; add_header X-Status $tollgate_status;"
        server = self.started("tollgate_plan watched throttle=1/m dry_run;" + location(limiter))
        answers = [server.get(key="a") for _ in range(2)]
        self.assertEqual([a.headers["X-Status"] for a in answers], ["PASSED", "REJECTED_DRY_RUN"])
        self.assertEqual([a.status for a in answers], [200, 200])
        self.assertIn("limiting requests, dry run, excess: 1.000 by zone", server.log())


if __name__ == "__main__":
    unittest.main()
