"""nginx with the module, started and stopped by the tests, every port on loopback."""

import http.client
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import unittest

MODULE = os.environ["TOLLGATE_MODULE"]
NGINX = os.environ.get("NGINX", "/usr/sbin/nginx")
# Of an instrumented module: nginx itself knows nothing of the sanitizer.
PRELOAD = os.environ.get("TOLLGATE_PRELOAD", "")

_next_port = 18600 + os.getpid() % 500 * 20


def free_port():
    global _next_port
    while True:
        _next_port += 1
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", _next_port))
                return _next_port
            except OSError:
                continue


def wait_until(what, seconds=10.0):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = what()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"waited {seconds} s in vain")


class Answer:
    def __init__(self, response, body):
        self.status = response.status
        self.headers = response.headers
        self.body = body


class Nginx:
    """`http` and `main` are configuration text; `{port}` and `{root}` stand for the port and the folder of files."""

    def __init__(self, http, workers=1, main="", plans=""):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="tollgate-nginx-"))
        os.chmod(self.folder, 0o755)
        self.port = free_port()
        self.workers, self.main = workers, main
        self.root = self.folder / "root"
        self.root.mkdir()
        (self.root / "index.html").write_text("hello")
        (self.root / "big").write_bytes(b"x" * 100_000)
        for name in ("logs", "body", "proxy", "fastcgi", "uwsgi", "scgi"):
            (self.folder / name).mkdir()
            shutil.chown(self.folder / name, "www-data") if os.getuid() == 0 else None
        self.plans_file = self.folder / "plans.toml"
        self.plans_file.write_text(plans)
        self.write(http)
        self.process = None

    def write(self, http):
        http = http.replace("{root}", str(self.root)).replace("{port}", str(self.port))
        http = http.replace("{plans}", str(self.plans_file)).replace("{folder}", str(self.folder))
        (self.folder / "nginx.conf").write_text(f"""
            load_module {MODULE};
            {"user www-data;" if os.getuid() == 0 else ""}
            worker_processes {self.workers};
            pid {self.folder}/nginx.pid;
            error_log {self.folder}/logs/error.log info;
            {self.main}
            {'env LD_PRELOAD; env ASAN_OPTIONS;' if PRELOAD else ''}
            events {{ worker_connections 1024; }}
            http {{
                access_log {self.folder}/logs/access.log;
                client_body_temp_path {self.folder}/body;
                proxy_temp_path {self.folder}/proxy;
                fastcgi_temp_path {self.folder}/fastcgi;
                uwsgi_temp_path {self.folder}/uwsgi;
                scgi_temp_path {self.folder}/scgi;
                root {self.root};
                {http}
            }}
        """)

    def command(self, *more):
        return [NGINX, "-p", str(self.folder), "-c", str(self.folder / "nginx.conf"), *more]

    def environment(self):
        return {**os.environ, "LD_PRELOAD": PRELOAD} if PRELOAD else None

    def test(self):
        """`nginx -t`: whether it likes the configuration, and what it says."""
        done = subprocess.run(self.command("-t"), capture_output=True, text=True, env=self.environment())
        return done.returncode == 0, done.stderr

    def start(self):
        with open(self.folder / "logs" / "stderr", "a") as stderr:
            self.process = subprocess.Popen(
                self.command("-g", "daemon off;"), stderr=stderr, stdout=stderr, env=self.environment()
            )
        wait_until(lambda: self.process.poll() is not None or len(self.pids()) == self.workers, 30)
        if self.process.poll() is not None:
            raise AssertionError(f"nginx did not start: {self.said()}{self.log()}")
        wait_until(self.answers)
        return self

    def answers(self):
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
            return True
        except OSError:
            return False

    def stop(self, how=signal.SIGQUIT):
        if self.process and self.process.poll() is None:
            self.process.send_signal(how)
            self.process.wait(20)
        self.process = None

    def close(self):
        self.stop()
        shutil.rmtree(self.folder)

    def pids(self):
        """The workers that are not on their way out."""
        listed = subprocess.run(
            ["ps", "-o", "pid=,args=", "--ppid", str(self.process.pid)], capture_output=True, text=True
        ).stdout
        found = re.findall(r"^ *(\d+) nginx: worker process\s*$", listed, re.M)
        return [int(pid) for pid in found]

    def reload(self):
        """Until the new workers are there; an [emerg] instead is returned."""
        before, logged = set(self.pids()), len(self.log())
        self.process.send_signal(signal.SIGHUP)

        def done():
            emerg = [line for line in self.log()[logged:].splitlines() if "[emerg]" in line]
            if emerg:
                return emerg[0]
            now = set(self.pids())
            return len(now) == self.workers and not now & before
        found = wait_until(done)
        if found is not True:
            return found
        return None

    def log(self):
        path = self.folder / "logs" / "error.log"
        return path.read_text() if path.exists() else ""

    def said(self):
        return (self.folder / "logs" / "stderr").read_text()

    def access(self):
        return (self.folder / "logs" / "access.log").read_text()

    def get(self, path="/", key=None, method="GET", body=None, headers=None, timeout=20):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        headers = dict(headers or {})
        if key is not None:
            headers["X-Api-Key"] = key
        try:
            connection.request(method, path, body=body, headers=headers)
            response = connection.getresponse()
            return Answer(response, response.read())
        finally:
            connection.close()

    def pipeline(self, paths):
        """The statuses of many requests, one after the other on one connection, none of them waiting for an answer."""
        requests = [f"GET {path} HTTP/1.1\r\nHost: pipeline\r\n\r\n".encode() for path in paths]
        statuses = []
        # nginx ends a connection after a thousand requests.
        for at in range(0, len(requests), 500):
            batch = requests[at:at + 500]
            batch[-1] = batch[-1].replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
            with socket.create_connection(("127.0.0.1", self.port), 20) as client:
                sender = threading.Thread(target=client.sendall, args=(b"".join(batch),))
                sender.start()
                answers = b""
                while more := client.recv(1 << 16):
                    answers += more
                sender.join()
            found = [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", answers)]
            assert len(found) == len(batch), (len(found), len(batch))
            statuses += found
        return statuses

    def statuses(self, count, *args, **kwargs):
        return [self.get(*args, **kwargs).status for _ in range(count)]


class Case(unittest.TestCase):
    """Whatever a test does, nginx logs no [alert], no sanitizer speaks up, and nobody crashes."""

    ALERTS = ()

    def nginx(self, http, **kwargs):
        server = Nginx(http, **kwargs)
        self.addCleanup(self._end, server)
        return server

    def started(self, http, **kwargs):
        return self.nginx(http, **kwargs).start()

    def _end(self, server):
        server.stop()
        log, said = server.log(), server.said() if (server.folder / "logs" / "stderr").exists() else ""
        server.close()
        alerts = [line for line in log.splitlines() if "[alert]" in line]
        alerts = [line for line in alerts if not any(allowed in line for allowed in self.ALERTS)]
        self.assertEqual(alerts, [])
        self.assertNotRegex(said, "AddressSanitizer|LeakSanitizer|panicked|runtime error")
