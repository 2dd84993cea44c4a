// tollgate.hpp - tollgate.h for C++17: an engine that destroys itself, strings for strings, exceptions for errors of
// configuration. Decisions are values: a refusal throws nothing.
#ifndef TOLLGATE_HPP
#define TOLLGATE_HPP

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include "tollgate.h"

namespace tollgate {

/// A call that could not be done; `status()` is TOLLGATE_ERR_...
class error : public std::runtime_error {
public:
    error(tollgate_status status, const std::string &message, std::string field = {})
        : std::runtime_error(message), status_(status), field_(std::move(field)) {}
    tollgate_status status() const noexcept { return status_; }
    /// Where the fault is, such as "plans.gold.throttle.rate"; may be empty.
    const std::string &field() const noexcept { return field_; }

private:
    tollgate_status status_;
    std::string field_;
};

inline tollgate_str str(std::string_view text) noexcept { return { text.data(), text.size() }; }

/// Throws what is not a success.
inline void must(tollgate_status status) {
    if (status != TOLLGATE_OK) throw error(status, tollgate_status_message(status));
}

/// What is asked, with an API key. The texts are borrowed. Refine `raw` for all else.
struct request {
    tollgate_request raw = TOLLGATE_REQUEST_INIT;

    explicit request(std::string_view key) noexcept { raw.key = str(key); }
    request &stage(std::string_view stage) noexcept { raw.stage = str(stage); return *this; }
    request &stage(tollgate_name stage) noexcept { raw.stage_name = stage; return *this; }
    request &route(std::string_view route) noexcept { raw.route = str(route); return *this; }
    request &route(tollgate_name route) noexcept { raw.route_name = route; return *this; }
    request &cost(std::uint64_t units) noexcept { raw.cost = units; return *this; }
    request &id(std::string_view id) noexcept { raw.id = str(id); return *this; }
    request &at(std::uint64_t now_ns) noexcept { raw.now_ns = now_ns; return *this; }
    /// `key` is an anonymous subject of this plan.
    request &anonymous(tollgate_name plan) noexcept {
        raw.plan = plan;
        raw.flags |= TOLLGATE_ANONYMOUS;
        return *this;
    }
};

/// What was decided.
struct decision {
    tollgate_decision raw = TOLLGATE_DECISION_INIT;

    tollgate_status status() const noexcept { return raw.status; }
    /// Go ahead, after `delay()`.
    bool allowed() const noexcept { return raw.status == TOLLGATE_OK; }
    /// The engine could not decide: fail open or closed, as you choose.
    bool failed() const noexcept { return raw.status < 0; }
    std::chrono::nanoseconds delay() const noexcept { return nanoseconds(raw.delay_ns); }
    /// Empty if no wait helps.
    std::optional<std::chrono::nanoseconds> retry_after() const noexcept {
        if (raw.retry_after_ns == TOLLGATE_NEVER) return std::nullopt;
        return nanoseconds(raw.retry_after_ns);
    }
    const char *name() const noexcept { return tollgate_status_name(raw.status); }
    int http() const noexcept { return static_cast<int>(tollgate_http_status(raw.status)); }

private:
    /// The longest that there is, for what is longer.
    static std::chrono::nanoseconds nanoseconds(std::uint64_t ns) noexcept {
        const auto most = static_cast<std::uint64_t>(std::chrono::nanoseconds::max().count());
        return std::chrono::nanoseconds(ns < most ? ns : most);
    }
};

/// An engine; moved, not copied. Any thread may use it; who destroys or moves it is alone.
class engine {
public:
    explicit engine(const tollgate_changes &changes, const tollgate_config *config = nullptr) {
        tollgate_engine *made = nullptr;
        tollgate_error why;
        raise(tollgate_create(config, &changes, &made, &why), why);
        handle_.reset(made);
    }

    static engine from_toml(std::string_view text) {
        tollgate_changes changes = TOLLGATE_CHANGES_INIT;
        changes.toml = str(text);
        return engine(changes);
    }

    static engine from_file(std::string_view path) {
        tollgate_changes changes = TOLLGATE_CHANGES_INIT;
        changes.path = str(path);
        return engine(changes);
    }

    void apply(const tollgate_changes &changes) {
        tollgate_error why;
        raise(tollgate_apply(get(), &changes, 0, &why), why);
    }

    tollgate_name intern(std::string_view text) {
        tollgate_name name = 0;
        must(tollgate_intern(get(), text.data(), text.size(), &name));
        return name;
    }

    decision check(const request &asked) noexcept {
        decision made;
        made.raw.status = tollgate_check(get(), &asked.raw, &made.raw);
        return made;
    }

    /// Asks for the memory that a decision about this request will need.
    void prepare(const request &asked) noexcept { (void)tollgate_prepare(get(), &asked.raw); }

    decision peek(const request &asked) noexcept {
        decision made;
        made.raw.status = tollgate_peek(get(), &asked.raw, &made.raw);
        return made;
    }

    /// Reserves the request's cost under its id.
    decision reserve(const request &asked, std::chrono::nanoseconds ttl) noexcept {
        decision made;
        tollgate_request raw = asked.raw;
        raw.ttl_ns = static_cast<std::uint64_t>(ttl.count());
        made.raw.status = tollgate_reserve(get(), &raw, &made.raw);
        return made;
    }

    tollgate_settlement settle(std::string_view id, std::uint64_t actual) {
        tollgate_settlement settled;
        must(tollgate_settle(get(), id.data(), id.size(), nullptr, 0, actual, 0, &settled));
        return settled;
    }

    /// For everything else in tollgate.h.
    tollgate_engine *get() const noexcept { return handle_.get(); }

private:
    struct destroy {
        void operator()(tollgate_engine *handle) const noexcept { tollgate_destroy(handle); }
    };

    static void raise(tollgate_status status, const tollgate_error &why) {
        if (status != TOLLGATE_OK) throw error(status, why.message, why.field);
    }

    std::unique_ptr<tollgate_engine, destroy> handle_;
};

} // namespace tollgate

#endif
