//! Every public call of a node against every kind of error: each cell of `docs/errors.md` is a case that produced that kind there, or a
//! reason why it cannot be. A case that did not run, a cell that is empty or filled twice, a call that the table does not know, and a page
//! that is not what the table gives all fail. `cargo xtask errors` writes the page.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod cannot;
mod closing;
mod faulty;
mod inviting;
#[path = "../network/common.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod network;
#[path = "../nodes/mod.rs"]
mod nodes;
mod opening;
mod page;
mod readonly;
mod roles;
mod sizes;
mod suspended;
mod table;
mod unwell;

use table::Table;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_cell_is_shown_or_has_a_reason() {
    let mut table = Table::default();
    let hanging = tokio::spawn(closing::hanging());
    let suspending = tokio::spawn(suspended::hanging());
    sizes::shapes_and_sizes(&mut table).await;
    sizes::an_application_of_the_hosts_own(&mut table).await;
    sizes::what_is_not_there_yet(&mut table).await;
    roles::too_little_of_a_role(&mut table).await;
    roles::what_does_not_exist(&mut table).await;
    roles::who_was_removed(&mut table).await;
    inviting::bad_tokens(&mut table).await;
    inviting::what_members_answer(&mut table).await;
    inviting::nobody_to_reach(&mut table).await;
    opening::bad_options(&mut table).await;
    opening::directories(&mut table).await;
    suspended::directories(&mut table).await;
    suspended::a_store_that_cannot_be_closed(&mut table).await;
    unwell::full_disk(&mut table).await;
    unwell::failing_store(&mut table).await;
    unwell::damaged_records(&mut table).await;
    unwell::a_round_that_fails_for_all(&mut table).await;
    unwell::applying_stands_still(&mut table).await;
    unwell::a_copied_directory(&mut table).await;
    closing::after_shutdown(&mut table).await;
    closing::after_leaving(&mut table).await;
    table.case("a thread that hangs");
    table.shows("Node::shutdown", kith_core::ErrorKind::Timeout, hanging.await.unwrap());
    for (call, outcome) in suspending.await.unwrap() {
        table.shows(call, kith_core::ErrorKind::Timeout, outcome);
    }
    page::check(&table);
}
