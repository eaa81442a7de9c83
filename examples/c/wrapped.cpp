// An application of a class, by kith.hpp: everybody adds to one list, and nobody twice.
#include <iostream>
#include <kith.hpp>

class guests final : public kith::application {
    kith::bytes execute(const kith::call &call, kith::state &state) override {
        if (!call.is("sign")) {
            throw kith::rejected("there is only sign");
        }
        const kith::state_key key = kith::state_key::of("guests", std::string(call.arguments().text()));
        if (state.get(key)) {
            throw kith::rejected("signed already");
        }
        state.put(key, call.arguments());
        return {};
    }
};

int main() {
    kith::check_version();
    auto [one, other] = kith::node::for_tests();
    one.register_application("guests", std::make_shared<guests>());
    other.register_application("guests", std::make_shared<guests>());
    kith::context mine = one.create_context("guests"), theirs = other.join(mine.invite());
    kith::events news = theirs.events();
    mine.execute("sign", "anna");
    for (const kith::event &event : news) {
        if (event.kind() == KITH_EVENT_CHANGED) break; // it has come
    }
    theirs.execute("sign", "ben");
    try {
        theirs.execute("sign", "anna");
        return 1;
    } catch (const kith::error &refused) {
        std::cout << refused.name() << ": " << refused.what() << '\n';
    }
    std::size_t count = 0;
    theirs.each_entry(kith::state_key::collection("guests"), [&](const kith::entry &guest) {
        std::cout << guest.value.text() << '\n';
        count++;
    });
    one.shutdown();
    other.shutdown();
    return count == 2 ? 0 : 1;
}
