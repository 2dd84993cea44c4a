/* A server: four threads, an epoll each, one engine. GET anything with "X-Api-Key: made-up". Minimal HTTP: a request
 * is what one read gives.
 *
 *     ./server 8080        or with a number of requests after which it ends: ./server 8080 100
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <tollgate.h>

enum { THREADS = 4 };

static const char plans[] =
    "[plans.free]\n"
    "throttle = { rate = \"6/m\", burst = 5 }\n"
    "quotas = [{ limit = 1000, per = \"day\" }]\n"
    "[subjects.acme]\n"
    "plans = [\"free\"]\n"
    "keys = [{ id = \"acme-1\", value = \"made-up\" }]\n";

static tollgate_engine *engine;
static unsigned short port;
static atomic_long left = -1;

/* Decides about a request and writes the answer. */
static int answer(char *in, char *out, size_t cap)
{
    tollgate_request request = TOLLGATE_REQUEST_INIT;
    tollgate_report report = TOLLGATE_REPORT_INIT;
    char headers[512] = "", *space = strchr(in, ' '), *end, *key = strcasestr(in, "\r\nX-Api-Key: ");
    tollgate_status status;
    int http;

    if (!space || !(end = strpbrk(space + 1, " \r")))
        return snprintf(out, cap, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
    request.route.data = in; /* "GET /path" */
    request.route.len = (size_t)(end - in);
    if (key) {
        request.key.data = key + 13;
        request.key.len = strcspn(key + 13, "\r\n");
    }
    report.fields = TOLLGATE_FIELDS_DRAFT;
    report.headers.data = headers;
    report.headers.cap = sizeof headers;
    status = tollgate_check_report(engine, &request, &report);
    /* An engine that could not decide does not stop the service: this server fails open. */
    http = status < 0 ? 200 : (int)tollgate_http_status(status);
    return snprintf(out, cap, "HTTP/1.1 %d %s\r\n%sContent-Length: 0\r\n\r\n", http,
                    http == 200 ? "OK" : tollgate_status_name(status), headers);
}

static void *serve(void *unused)
{
    struct sockaddr_in here = { .sin_family = AF_INET, .sin_port = htons(port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int one = 1, polled = epoll_create1(0);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    struct epoll_event event = { .events = EPOLLIN, .data.fd = listener }, events[64];

    (void)unused;
    setsockopt(listener, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
    if (bind(listener, (struct sockaddr *)&here, sizeof here) || listen(listener, 128)
        || epoll_ctl(polled, EPOLL_CTL_ADD, listener, &event)) {
        perror("listen");
        exit(1);
    }
    while (left != 0) {
        int n = epoll_wait(polled, events, 64, 100);
        for (int i = 0; i < n; i++) {
            char in[4096], out[1024];
            int fd = events[i].data.fd;
            if (fd == listener) {
                event.data.fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
                if (event.data.fd >= 0)
                    epoll_ctl(polled, EPOLL_CTL_ADD, event.data.fd, &event);
                continue;
            }
            ssize_t got = read(fd, in, sizeof in - 1);
            in[got > 0 ? got : 0] = 0;
            int length = got > 0 ? answer(in, out, sizeof out) : 0;
            if (got <= 0 || write(fd, out, (size_t)length) != length)
                close(fd);
            for (long n = left; n > 0 && !atomic_compare_exchange_weak(&left, &n, n - 1);)
                ;
        }
        tollgate_maintain(engine, 0, 16, NULL);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    tollgate_changes changes = TOLLGATE_CHANGES_INIT;
    tollgate_error error;
    pthread_t threads[THREADS];

    port = (unsigned short)(argc > 1 ? atoi(argv[1]) : 8080);
    left = argc > 2 ? atol(argv[2]) : -1;
    changes.toml.data = plans;
    changes.toml.len = sizeof plans - 1;
    if (tollgate_create(NULL, &changes, &engine, &error) != TOLLGATE_OK)
        return fprintf(stderr, "%s\n", error.message), 1;
    for (int i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, serve, NULL);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    tollgate_destroy(engine);
    return 0;
}
