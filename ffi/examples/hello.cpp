// One plan, one key; names found once; a reservation; an error with its field.
#include <iostream>

#include <tollgate.hpp>

int main() try {
    using namespace std::chrono_literals;

    auto engine = tollgate::engine::from_toml(R"(
        [plans.free]
        throttle = { rate = "3/m", burst = 3 }
        routes = { "POST /export" = { quotas = [{ limit = 1, per = "day" }] } }

        [subjects.acme]
        plans = ["free"]
        keys = [{ id = "acme-1", value = "made-up" }]
    )");
    const auto upload = engine.intern("POST /export");

    for (int i = 0; i < 2; i++) {
        const auto decision = engine.check(tollgate::request("made-up").route(upload));
        std::cout << decision.name() << ", HTTP " << decision.http();
        if (const auto wait = decision.retry_after(); wait && !decision.allowed())
            std::cout << ", again in " << std::chrono::duration<double>(*wait).count() << " s";
        std::cout << '\n';
    }

    const auto reserved = engine.reserve(tollgate::request("made-up").id("job-1").cost(2), 1min);
    if (reserved.allowed()) engine.settle("job-1", 1);

    try {
        tollgate::engine::from_toml("[plans.bad]\nthrottle = { rate = \"fast\", burst = 1 }\n");
    } catch (const tollgate::error &error) {
        std::cout << error.field() << ": refused\n";
    }
    return 0;
} catch (const tollgate::error &error) {
    std::cerr << error.what() << '\n';
    return 1;
}
