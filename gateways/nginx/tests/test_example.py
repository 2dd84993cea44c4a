"""The example is a configuration that works, as it stands but for its paths and ports."""

import pathlib
import re
import unittest

from harness import MODULE, Case, free_port

EXAMPLE = pathlib.Path(__file__).parent.parent / "example"


class Example(Case):
    def test_it_runs(self):
        server = self.nginx("")
        text = (EXAMPLE / "nginx.conf").read_text()
        site, status = server.port, free_port()
        for pattern, to, times in [
            (r"modules/ngx_http_tollgate_module\.so", MODULE, 1),
            (r"/run/nginx\.pid", f"{server.folder}/nginx.pid", 1),
            (r"/var/log/nginx/", f"{server.folder}/logs/", 2),
            (r"listen +80\b", f"listen 127.0.0.1:{site}", 2),
            (r"127\.0\.0\.1:8080", f"127.0.0.1:{status}", 1),
            (r"127\.0\.0\.1:8081", f"127.0.0.1:{status}", 1),
            (r"/var/www/html", str(server.root), 1),
            (r"worker_processes auto", "worker_processes 1", 1),
            (r"http \{\n", f"http {{ access_log {server.folder}/logs/access.log; "
                           f"proxy_temp_path {server.folder}/proxy; client_body_temp_path {server.folder}/body;\n", 1),
        ]:
            text, found = re.subn(pattern, to, text)
            self.assertEqual(found, times, pattern)
        (server.folder / "nginx.conf").write_text(text)
        (server.folder / "tollgate.toml").write_text((EXAMPLE / "tollgate.toml").read_text())
        server.start()
        # The site: a burst of 20, then delays.
        self.assertEqual(server.get("/").body, b"hello")
        # A login of a visitor: 5 a minute. (There is no upstream but nginx itself, which knows no /login.)
        self.assertEqual(server.statuses(6, "/login"), [404] * 5 + [429])
        # "password", as the SHA-256 in the file says.
        api = {"Host": "api.example.com"}
        self.assertEqual(server.get("/pets/", key="password", headers=api).status, 404)
        answer = server.get("/pets/", key="guessed", headers=api)
        self.assertEqual((answer.status, answer.body), (403, b'{"title":"forbidden","detail":"key_unknown"}'))
        answer = server.get("/exports/", key="password", headers=api)
        self.assertEqual(answer.status, 403)
        refused = [server.get("/pets/", key="password", headers=api) for _ in range(14)][-1]
        self.assertEqual(refused.status, 429)
        self.assertIn(b'"detail":"throttled"', refused.body)
        self.assertIn("RateLimit-Policy", refused.headers)
        logged = (server.folder / "logs" / "api.log").read_text()
        self.assertIn("PASSED hobbyist hobbyist-1 free left=9/10", logged)
        server.port = status
        self.assertEqual(server.get("/tollgate").status, 200)
        self.assertIn(b'outcome="key_unknown"} 1\n', server.get("/metrics").body)
        server.port = site


if __name__ == "__main__":
    unittest.main()
