/* kith.hpp: what it holds is given back once, what fails throws its kind, and no exception crosses into C. */
#include <kith.hpp>

#include <atomic>
#include <condition_variable>
#include <thread>
#include <type_traits>

#include "check.h"

using namespace std::chrono_literals;

/* Nothing that is held can be copied, and everything can be moved. */
template <class T> constexpr bool moves_only =
    std::is_nothrow_move_constructible_v<T> && std::is_nothrow_move_assignable_v<T> && !std::is_copy_constructible_v<T> &&
    !std::is_copy_assignable_v<T>;
static_assert(moves_only<kith::node> && moves_only<kith::context> && moves_only<kith::events> && moves_only<kith::event> &&
              moves_only<kith::entries> && moves_only<kith::receipt> && moves_only<kith::batch> && moves_only<kith::hub> &&
              moves_only<kith::cancel> && moves_only<kith::subscription>);

static std::string scratch;
static const kith::state_key milk = kith::state_key::of("shopping", "milk");

/* The kind of what a call throws; KITH_OK if it throws nothing. */
template <class Body> static kith_status kind_of(Body body) {
    try {
        body();
        return KITH_OK;
    } catch (const kith::error &failed) {
        return std::string_view(failed.what()).empty() ? KITH_INTERNAL : failed.kind();
    }
}

static kith::node_options alone() {
    kith::node_options options;
    options.listen.emplace();
    options.discovery = false;
    return options;
}

static kith::event next_of_kind(kith::events &stream, std::uint32_t kind) {
    for (;;) {
        kith::event event = stream.next(60s);
        if (event.kind() == kind) {
            return event;
        }
    }
}

template <class Condition> static bool until(Condition condition) {
    for (int tries = 0; tries < 6000; tries++) {
        if (condition()) {
            return true;
        }
        std::this_thread::sleep_for(10ms);
    }
    return false;
}

static void versions_and_views() {
    kith::check_version();
    CHECK(kith::version() == KITH_VERSION && kith::abi_version() == KITH_ABI_VERSION);
    CHECK(kith::bytes_view("abc") == kith::bytes_view(std::string("abc")));
    CHECK(kith::bytes_view("abc") != kith::bytes_view("abd") && kith::bytes_view().empty());
    CHECK(kith::bytes_view(kith::bytes_view("abc").copy()).text() == "abc");
    CHECK(kith::state_key::random() != kith::state_key::random());
    const auto prefix = kith::state_key::collection("shopping");
    CHECK(std::equal(prefix.begin(), prefix.end(), milk.begin()));
    CHECK(kith::default_directory("notes").find("notes") != std::string::npos);
    CHECK(kind_of([] { kith::default_directory(".."); }) == KITH_INVALID_ARGUMENT);
}

static void errors_have_kind_name_and_text() {
    try {
        kith::invitation_addresses("kith1nonsense");
        CHECK(false);
    } catch (const kith::error &failed) {
        CHECK(failed.kind() == KITH_INVITATION_INVALID);
        CHECK(std::string_view(failed.name()) == "KITH_INVITATION_INVALID" && std::strlen(failed.what()) > 0);
    }
}

static void a_directory_is_held_by_one_and_given_back() {
    kith::node node = kith::node::open(scratch + "/held", alone());
    kith::context context = node.create_context("kv", {}, "home");
    const kith::id id = context.id();
    CHECK(context.name() == "home" && context.application() == "kv" && context.role() == kith::role::admin);
    context.put(milk, "2 litres");
    CHECK(kind_of([] { kith::node::open(scratch + "/held", alone()); }) == KITH_BUSY);
    kith::node moved = std::move(node);
    moved.shutdown();
    moved.shutdown();
    CHECK(kind_of([&] { context.get(milk); }) == KITH_CLOSED);
    kith::node again = kith::node::open(scratch + "/held", alone());
    CHECK(again.contexts().size() == 1 && again.contexts()[0].name == "home" && !again.contexts()[0].joining);
    CHECK(again.context_ids() == std::vector<kith::id>{id});
    CHECK(kith::bytes_view(again.context_by_id(id).get(milk).value()).text() == "2 litres");
    CHECK(kind_of([&] { again.context_by_id(kith::id{}); }) == KITH_NOT_FOUND);
    CHECK(again.status().front() == '{' && again.addresses().empty() && !again.id().empty());
    again.shutdown();
}

static void the_whole_of_kv() {
    kith::node node = kith::node::in_memory(alone());
    kith::context context = node.create_context();
    CHECK(!context.get(milk) && !context.transaction(kith::id{}) && !context.receipt(kith::id{}));
    const kith::id id = context.put(milk, "");
    CHECK(context.get(milk).value().empty());
    CHECK(context.transaction(id)->outcome == kith::outcome::accepted && context.transaction(id)->author == context.me());
    CHECK(context.receipt(id)->method() == "put" && context.receipt(id)->reason().empty());
    CHECK(context.receipt(id)->emitted().empty() && context.receipt(id)->transaction().id == id);
    context.erase(milk);
    CHECK(!context.get(milk));
    CHECK(kind_of([&] { context.compare_and_set(milk, "x", "y"); }) == KITH_REJECTED);
    /* An empty value is not absence. */
    context.compare_and_set(milk, std::nullopt, "");
    CHECK(kind_of([&] { context.compare_and_set(milk, std::nullopt, "x"); }) == KITH_REJECTED);
    context.compare_and_set(milk, kith::bytes_view(), "one;");
    context.append(milk, "two;");
    CHECK(kith::bytes_view(*context.get(milk)).text() == "one;two;");
    const kith::state_key count = kith::state_key::of("numbers", "count");
    CHECK(context.add(count, 5) == 5 && context.add(count, -7) == -2);
    kith::batch batch;
    batch.put(milk, "a").append(milk, "b").add(count, 2).compare_and_set(milk, "ab", "c").erase(milk);
    context.carry_out(batch);
    CHECK(!context.get(milk) && context.add(count, 0) == 0);
    batch.compare_and_set(milk, "never", "x");
    CHECK(kind_of([&] { context.carry_out(batch); }) == KITH_REJECTED);
    CHECK(kind_of([&] { context.get(milk, kith::level::final); }) == KITH_UNSUPPORTED);
    context.rotate_keys();
    CHECK(kind_of([&] { context.skip(kith::id{}); }) != KITH_INTERNAL);
    const auto before = context.commitment();
    for (int number = 0; number < 1100; number += 50) {
        kith::batch many;
        for (int one = number; one < number + 50; one++) {
            many.put(kith::state_key::of("many", std::to_string(one)), std::to_string(one));
        }
        context.carry_out(many);
    }
    CHECK(context.commitment() != before && context.status().front() == '{');
    const auto prefix = kith::state_key::collection("many");
    std::size_t seen = 0;
    context.each_entry(prefix, [&](const kith::entry &entry) {
        seen += entry.key == kith::state_key::of("many", std::string(entry.value.text()));
    });
    CHECK(seen == 1100);
    const kith::entries page = context.entries(prefix, std::nullopt, 3);
    CHECK(page.size() == 3 && std::distance(page.begin(), page.end()) == 3 && page[2].key != page[0].key);
    CHECK(kind_of([&] { page[3]; }) == KITH_INVALID_ARGUMENT || kind_of([&] { page[3]; }) == KITH_NOT_FOUND);
    const auto first = context.history({}, 1);
    CHECK(first.size() == 1 && context.history(first[0].place).size() == context.history().size() - 1);
}

static void two_members_from_invitation_to_removal() {
    auto [one, other] = kith::node::for_tests();
    kith::context mine = one.create_context("kv", {}, "home");
    kith::invite_options options;
    options.role = kith::role::reader;
    options.note = "for Ben";
    options.expires_in = kith::forever;
    const std::string token = mine.invite(options);
    CHECK(!kith::invitation_addresses(token).empty() && kith::invitation_qr(token).size() > 100);
    const kith::invitation_info info = other.inspect(token);
    CHECK(info.context == mine.id() && info.note == "for Ben" && info.expires_at == 0 && !info.member);
    CHECK(info.role == kith::role::reader && info.application == "kv" && info.inviter == mine.me());
    std::atomic<int> told{0};
    kith::context theirs = other.join(token, 60s, [&](std::uint64_t, std::uint64_t) { told++; });
    CHECK(theirs.id() == mine.id() && theirs.me() != mine.me() && told > 0);
    CHECK(kind_of([&] { theirs.put(milk, "x"); }) == KITH_PERMISSION_DENIED);
    kith::events stream = theirs.events();
    mine.set_role(theirs.me(), kith::role::writer);
    CHECK(next_of_kind(stream, KITH_EVENT_ROLE_CHANGED).role() == kith::role::writer);
    theirs.set_display_name("Ben");
    mine.set_name("flat");
    CHECK(until([&] { return theirs.name() == "flat"; }));
    CHECK(until([&] {
        for (const kith::member &member : mine.members()) {
            if (member.name == "Ben" && member.id == theirs.me() && member.role == kith::role::writer) {
                return true;
            }
        }
        return false;
    }));
    theirs.wait_synced(60s);
    CHECK(mine.invitations().size() == 1 && mine.invitations()[0].uses == 1 && mine.invitations()[0].note == "for Ben");
    mine.revoke(mine.invitations()[0].id);
    CHECK(mine.invitations()[0].revoked);
    /* Removed: the loop ends by itself. */
    kith::events last = mine.events();
    mine.remove(theirs.me());
    std::uint32_t kind = 0;
    for (const kith::event &event : stream) {
        kind = event.kind();
    }
    CHECK(kind == KITH_EVENT_CLOSED && next_of_kind(last, KITH_EVENT_MEMBER_REMOVED).member() == theirs.me());
    const kith::event refused = next_of_kind(last, KITH_EVENT_PEER_DISCONNECTED);
    CHECK(refused.text() == other.id() && refused.reason() == "refused: the member was removed");
    mine.leave();
    CHECK(one.contexts().empty());
    one.shutdown();
    other.shutdown();
}

static void what_a_progress_callback_throws_comes_out_of_join() {
    auto [one, other] = kith::node::for_tests();
    const std::string token = one.create_context().invite();
    bool thrown = false;
    try {
        other.join(token, 60s, [](std::uint64_t, std::uint64_t) { throw std::out_of_range("progress"); });
    } catch (const std::out_of_range &expected) {
        thrown = std::string_view(expected.what()) == "progress";
    }
    CHECK(thrown);
}

static void events_are_pulled_and_told() {
    kith::node node = kith::node::in_memory(alone());
    kith::context context = node.create_context();
    kith::events stream = context.events();
    CHECK(!stream.poll() && kind_of([&] { stream.next(1ms); }) == KITH_TIMEOUT);
    const kith::id id = context.put(milk, "x");
    const kith::event executed = next_of_kind(stream, KITH_EVENT_EXECUTED);
    CHECK(executed.transaction() == id && executed.member() == context.me() && !executed.again());
    CHECK(!executed.other_transaction() && executed.text().empty() && executed.data().empty());
    const kith::event changed = next_of_kind(stream, KITH_EVENT_CHANGED);
    CHECK(changed.keys() == std::vector<kith::state_key>{milk} && changed.done() == 0 && changed.total() == 0);
    /* Told by callback from a cursor on; one that throws is told of nothing more. */
    std::atomic<int> told{0};
    {
        const kith::subscription subscription = context.on_event([&](const kith::event_view &) { told++; }, 0);
        CHECK(until([&] { return told >= 2; }));
        subscription.rethrow();
    }
    const int after = told;
    context.put(milk, "y");
    CHECK(told == after);
    std::atomic<int> calls{0};
    const kith::subscription failing = context.on_event(
        [&](const kith::event_view &) {
            calls++;
            throw std::runtime_error("callback");
        },
        0);
    bool thrown = false;
    CHECK(until([&] {
        try {
            failing.rethrow();
        } catch (const std::runtime_error &expected) {
            thrown = std::string_view(expected.what()) == "callback";
        }
        return thrown;
    }));
    context.put(milk, "z");
    kith::events again = context.events(0);
    next_of_kind(again, KITH_EVENT_CHANGED);
    CHECK(calls == 1);
    node.shutdown();
    CHECK(kind_of([&] {
              for (;;) {
                  stream.next();
              }
          }) == KITH_CLOSED);
}

static void a_thread_is_cancelled_by_another() {
    kith::node node = kith::node::in_memory(alone());
    kith::context context = node.create_context();
    kith::events stream = context.events();
    kith::cancel cancel;
    std::thread firing([&] {
        std::this_thread::sleep_for(10ms);
        cancel.fire();
    });
    kith_status kind;
    {
        const kith::cancel_scope scope(cancel);
        kind = kind_of([&] { stream.next(); });
    }
    firing.join();
    CHECK(kind == KITH_CANCELLED && cancel.fired());
    context.put(milk, "x");
    CHECK(next_of_kind(stream, KITH_EVENT_EXECUTED).kind() == KITH_EVENT_EXECUTED);
}

/* Counts its instances, to see that the library gives it back. */
class ledger final : public kith::application {
public:
    static std::atomic<int> alive;
    ledger() { alive++; }
    ~ledger() override { alive--; }
    void initialise(const kith::call &call, kith::state &state) override {
        if (call.arguments().size() > 8) {
            throw kith::rejected("too much");
        }
        state.put(kith::state_key::of("ledger", "start"), call.arguments());
    }
    kith::bytes execute(const kith::call &call, kith::state &state) override {
        const kith::state_key key = kith::state_key::of("ledger", "sum");
        if (call.is("reject")) throw kith::rejected("on purpose");
        if (call.is("other")) throw std::logic_error("any exception");
        if (call.is("strange")) throw 7;
        if (call.is("undone")) {
            state.put(key, "never");
            throw kith::rejected("after a write");
        }
        if (call.is("fault") && !well) throw kith::local_fault("no disk");
        if (call.is("memory") && !well) throw std::bad_alloc();
        if (call.is("erase")) {
            state.erase(key);
            return {};
        }
        kith::bytes sum = state.get(key).value_or(kith::bytes());
        const kith::bytes_view more = call.arguments();
        sum.insert(sum.end(), more.begin(), more.end());
        state.put(key, sum);
        state.emit("sum", sum);
        if (!call.member() || !call.transaction() || call.timestamp() == 0 || call.role() != kith::role::admin || state.entries().empty()) {
            throw kith::local_fault("a call without its author");
        }
        return sum;
    }
    kith::bytes query(const kith::call &call, kith::state &state) override {
        return call.method() == "sum" ? state.get(kith::state_key::of("ledger", "sum")).value_or(kith::bytes()) : application::query(call, state);
    }
    std::atomic<bool> well{false};
};
std::atomic<int> ledger::alive{0};

static void an_application_of_a_class() {
    {
        const auto application = std::make_shared<ledger>();
        kith::node node = kith::node::in_memory(alone());
        node.register_application("ledger", application);
        CHECK(kind_of([&] { node.register_application("ledger", std::make_shared<ledger>()); }) == KITH_INVALID_ARGUMENT);
        CHECK(ledger::alive == 1);
        CHECK(kind_of([&] { node.create_context("ledger", "far too much"); }) == KITH_REJECTED);
        kith::context context = node.create_context("ledger", "start");
        kith::events stream = context.events();
        const kith::executed done = context.execute("add", "abc");
        CHECK(kith::bytes_view(done.answer).text() == "abc");
        const kith::event emitted = next_of_kind(stream, KITH_EVENT_EMITTED);
        CHECK(emitted.text() == "sum" && emitted.data().text() == "abc" && emitted.transaction() == done.transaction);
        CHECK(context.receipt(done.transaction)->answer().text() == "abc" && context.receipt(done.transaction)->arguments().text() == "abc");
        CHECK(context.receipt(done.transaction)->emitted().at(0).first == "sum");
        for (const char *method : {"reject", "other", "strange", "undone"}) {
            CHECK(kind_of([&] { context.execute(method); }) == KITH_REJECTED);
        }
        CHECK(kith::bytes_view(context.query("sum")).text() == "abc");
        CHECK(kind_of([&] { context.query("difference"); }) == KITH_REJECTED);
        for (const char *method : {"fault", "memory"}) {
            CHECK(kind_of([&] { context.execute(method); }) == KITH_BLOCKED);
        }
        CHECK(kith::bytes_view(context.execute("add", "d").answer).text() == "abcd");
        CHECK(context.execute("erase").answer.empty());
        node.shutdown();
    }
    CHECK(until([] { return ledger::alive == 0; }));
}

static void an_application_of_functions() {
    kith::node node = kith::node::in_memory(alone());
    node.register_application("echo", [](const kith::call &call, kith::state &) { return call.arguments().copy(); });
    CHECK(kind_of([&] { node.register_application("none", kith::application_function()); }) == KITH_INVALID_ARGUMENT);
    CHECK(kind_of([&] { node.create_context("echo", "arguments"); }) == KITH_REJECTED);
    kith::context context = node.create_context("echo");
    CHECK(kith::bytes_view(context.execute("say", "hello").answer).text() == "hello");
    CHECK(kind_of([&] { context.query("say"); }) == KITH_REJECTED);
    /* The library refuses what would wait for itself, as an error that the application lets through. */
    node.register_application("curious", [&](const kith::call &, kith::state &) { return context.get(milk).value_or(kith::bytes()); });
    kith::context curious = node.create_context("curious");
    CHECK(kind_of([&] { curious.execute("look"); }) == KITH_BLOCKED);
}

static void a_node_rests_and_goes_on() {
    kith::node_options options = alone();
    options.storage = KITH_ENGINE_REDB;
    kith::node node = kith::node::open(scratch + "/resting", options);
    kith::context context = node.create_context();
    context.put(milk, "2 litres");
    CHECK(!node.is_suspended());
    node.suspend(60s);
    CHECK(node.is_suspended() && kind_of([&] { context.get(milk); }) == KITH_CLOSED);
    node.resume();
    CHECK(!node.is_suspended() && context.get(milk));
    options.storage = KITH_ENGINE_SLED;
    node.shutdown();
    CHECK(kind_of([&] { kith::node::open(scratch + "/resting", options); }) == KITH_INVALID_ARGUMENT);
    auto [one, other] = kith::node::for_tests();
    kith::context mine = one.create_context(), theirs = other.join(mine.invite());
    const kith::sync_report report = other.sync_once(60s);
    CHECK(report.peers == 1 && report.synced == std::vector<kith::id>{theirs.id()} && report.behind.empty());
}

static void a_context_is_verified_and_explained() {
    kith::node node = kith::node::in_memory(alone());
    kith::context context = node.create_context();
    const kith::id id = context.put(milk, "2 litres");
    const kith::verification seen = context.verify();
    CHECK(!seen.difference && seen.executed >= 1 && seen.keys >= 1 && seen.pending == 0);
    const auto why = context.explain(milk);
    CHECK(why.size() == 1 && why[0].transaction.id == id && why[0].written == KITH_WRITTEN_VALUE && why[0].hash);
    CHECK(context.explain(milk, why[0].transaction.place).empty());
}

static void an_invitation_has_text_bytes_and_id() {
    kith::node node = kith::node::in_memory(alone());
    kith::context context = node.create_context();
    const std::string token = context.invite();
    CHECK(kith::invitation_from_bytes(kith::invitation_to_bytes(token)) == token);
    CHECK(kith::invitation_id(token) == context.invitations().at(0).id);
}

static void directories_and_contexts_are_sealed_as_they_are_told() {
    const kith::storage_key first(std::array<std::byte, 32>{std::byte{1}}), second(std::array<std::byte, 32>{std::byte{2}});
    kith::node_options options = alone();
    options.storage_key = first;
    options.gossip = options.autonat = options.hole_punching = options.through_relays = false;
    kith::create_options create;
    create.name = "sealed";
    create.encryption = kith::encryption::x_wing;
    kith::id context_id;
    {
        kith::node node = kith::node::open(scratch + "/sealed", options);
        kith::context context = node.create_context(create);
        context_id = context.id();
        const kith::security before = context.security();
        CHECK(before.suite == kith::encryption::x_wing && !before.epoch && before.age == 0ms && !before.pending.empty());
        context.put(milk, "2 litres");
        const kith::security now = context.security();
        CHECK(now.epoch && now.pending.empty() && now.members == 1 && now.members_able == 1 && now.violations == 0 && now.unopened == 0);
        context.rotate_keys();
        CHECK(context.security().epoch != now.epoch && context.name() == "sealed");
        CHECK(kind_of([&] { node.change_storage_key(kith::storage_key("")); }) == KITH_INVALID_ARGUMENT);
        node.change_storage_key(second);
        CHECK(kind_of([&] { node.export_to(scratch + "/export", kith::storage_key("")); }) == KITH_INVALID_ARGUMENT);
        const kith::exported done = node.export_to(scratch + "/export", first);
        CHECK(done.records > 0 && done.bytes > done.records && !done.moved);
        node.shutdown();
    }
    CHECK(kind_of([&] { kith::node::open(scratch + "/sealed", options); }) == KITH_KEY_REQUIRED);
    options.storage_key = second;
    kith::node::open(scratch + "/sealed", options).shutdown();
    kith::import_options import;
    import.storage_key = second;
    import.storage = KITH_ENGINE_SLED;
    CHECK(kind_of([&] { kith::node::import_from(scratch + "/export", second, scratch + "/imported", import); }) == KITH_KEY_REQUIRED);
    CHECK(kith::node::import_from(scratch + "/export", first, scratch + "/imported", import).records > 0);
    {
        kith::node node = kith::node::open(scratch + "/imported", options);
        CHECK(kind_of([&] { node.context_by_id(context_id).put(milk, "none"); }) == KITH_BLOCKED);
        node.shutdown();
    }
    CHECK(kind_of([&] { kith::node::adopt(scratch + "/imported"); }) == KITH_KEY_REQUIRED);
    kith::node::adopt(scratch + "/imported", second);
    kith::node node = kith::node::open(scratch + "/imported", options);
    CHECK(kith::bytes_view(*node.context_by_id(context_id).get(milk)).text() == "2 litres");
    node.context_by_id(context_id).put(milk, "none");
    node.shutdown();
    options.relays = {"nowhere"};
    CHECK(kind_of([&] { kith::node::in_memory(options); }) == KITH_INVALID_ARGUMENT);
}

static void nodes_of_a_hub_and_of_sockets_meet() {
    const kith::hub hub;
    kith::node_options options;
    options.hub = &hub;
    options.discovery = false;
    options.event_retention = 10;
    kith::node one = kith::node::in_memory(options), other = kith::node::in_memory(options);
    kith::context mine = one.create_context();
    const std::string token = mine.invite();
    hub.partition(one, other);
    CHECK(kind_of([&] { other.join(token, 100ms); }) != KITH_OK);
    hub.heal(one, other);
    CHECK(other.join(token).role() == kith::role::writer);
    kith::node_options sockets = alone();
    sockets.listen = {"/ip4/127.0.0.1/tcp/0"};
    sockets.durability = KITH_DURABLE_PROCESS;
    kith::node third = kith::node::in_memory(sockets);
    sockets.bootstrap = third.addresses();
    kith::node fourth = kith::node::in_memory(sockets);
    fourth.connect(third.addresses().at(0));
    CHECK(fourth.status().find(third.id()) != std::string::npos);
}

static void logs_are_told_and_what_they_throw_is_dropped() {
    std::mutex mutex;
    std::vector<std::string> said;
    kith::set_log(kith::log_level::trace, [&](kith::log_level, std::string_view target, std::string_view text) {
        const std::lock_guard<std::mutex> lock(mutex);
        said.push_back(std::string(target) + std::string(text));
        throw std::runtime_error("a log that fails");
    });
    /* A join that reaches nobody says so. */
    CHECK(kind_of([] {
              kith::node one = kith::node::in_memory(alone()), other = kith::node::in_memory(alone());
              other.join(one.create_context().invite(), 100ms);
          }) != KITH_OK);
    kith::set_log(kith::log_level::off, {});
    CHECK(!said.empty() && !said.front().empty());
}

int main(int count, char **arguments) {
    scratch = count > 1 ? arguments[1] : ".";
    RUN(versions_and_views);
    RUN(errors_have_kind_name_and_text);
    RUN(a_directory_is_held_by_one_and_given_back);
    RUN(the_whole_of_kv);
    RUN(two_members_from_invitation_to_removal);
    RUN(what_a_progress_callback_throws_comes_out_of_join);
    RUN(events_are_pulled_and_told);
    RUN(a_thread_is_cancelled_by_another);
    RUN(an_application_of_a_class);
    RUN(an_application_of_functions);
    RUN(a_node_rests_and_goes_on);
    RUN(a_context_is_verified_and_explained);
    RUN(an_invitation_has_text_bytes_and_id);
    RUN(directories_and_contexts_are_sealed_as_they_are_told);
    RUN(nodes_of_a_hub_and_of_sockets_meet);
    RUN(logs_are_told_and_what_they_throw_is_dropped);
    return check_finish();
}
