/* NULL in the place of everything, function by function: nothing crashes, and what is needed is asked for. The tests of the library's build
 * compare this table with the header: a function that is not in it fails them. */
#include "check.h"

static void what_is_needed_is_asked_for(void) {
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_node_register(NULL, NULL, NULL));
    CHECK_STATUS(KITH_OK, kith_last_error(NULL, 0, NULL));
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_call_answer(NULL, NULL, 0));
    CHECK_STATUS(KITH_REJECTED, kith_call_reject(NULL, NULL));
    CHECK_STATUS(KITH_BLOCKED, kith_call_fault(NULL, NULL));
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_state_get(NULL, NULL, NULL));
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_state_put(NULL, NULL, NULL, 0));
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_state_delete(NULL, NULL));
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_state_entries(NULL, NULL, 0, NULL, 0, NULL));
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_state_emit(NULL, NULL, NULL, 0));
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_cancel_new(NULL));
    CHECK_STATUS(KITH_OK, kith_cancel_bind(NULL));
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_cancel_fire(NULL));
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_context_id(NULL, NULL));
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_context_me(NULL, NULL));
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_context_role(NULL, NULL));
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_context_application(NULL, NULL));
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_context_name(NULL, NULL));
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_context_execute(NULL, NULL, NULL, 0, NULL, NULL));
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_context_query(NULL, NULL, NULL, 0, NULL));
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_context_get(NULL, NULL, 0, NULL));
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_context_entries(NULL, NULL, 0, NULL, 0, 0, NULL));
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_entries_at(NULL, 0, NULL, NULL, NULL));
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_context_transaction(NULL, NULL, NULL));
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_context_history(NULL, NULL, NULL, 0, NULL));
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_context_commitment(NULL, NULL));
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_context_status(NULL, NULL));
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_context_wait_synced(NULL, 0));
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_context_events(NULL, NULL, NULL));
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_events_next(NULL, 0, NULL));
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_node_join_with(NULL, NULL, NULL, NULL));
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_state_key_of(NULL, NULL, NULL));
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_state_key_collection(NULL, NULL));
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_state_key_random(NULL));
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_context_put(NULL, NULL, NULL, 0, NULL));
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_context_delete(NULL, NULL, NULL));
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_context_add(NULL, NULL, 0, NULL));
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_context_compare_and_set(NULL, NULL, NULL, 0, NULL, 0, NULL));
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_context_append(NULL, NULL, NULL, 0, NULL));
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_batch_new(NULL));
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_batch_put(NULL, NULL, NULL, 0));
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_batch_delete(NULL, NULL));
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_batch_add(NULL, NULL, 0));
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_batch_compare_and_set(NULL, NULL, NULL, 0, NULL, 0));
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_batch_append(NULL, NULL, NULL, 0));
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_context_batch(NULL, NULL, NULL));
    CHECK_STATUS(KITH_OK, kith_log_set(0, NULL, NULL, NULL));
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_context_members(NULL, NULL, 0, NULL));
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_context_set_role(NULL, NULL, 0, NULL));
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_context_set_name(NULL, NULL, NULL));
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_context_set_display_name(NULL, NULL, NULL));
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_context_remove(NULL, NULL, NULL));
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_context_leave(NULL));
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_context_invite(NULL, NULL, NULL));
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_context_invitations(NULL, NULL, 0, NULL));
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_context_revoke(NULL, NULL, NULL));
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_context_skip(NULL, NULL, NULL));
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_context_rotate_keys(NULL));
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_invitation_addresses(NULL, NULL));
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_invitation_qr(NULL, NULL));
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_node_open(NULL, NULL, NULL));
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_node_shutdown(NULL));
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_node_id(NULL, NULL));
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_node_addresses(NULL, NULL));
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_node_status(NULL, NULL));
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_node_connect(NULL, NULL));
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_node_create_context(NULL, NULL, NULL, 0, NULL, NULL));
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_node_inspect(NULL, NULL, NULL));
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_node_join(NULL, NULL, 0, NULL));
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_node_contexts(NULL, NULL));
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_node_context_infos(NULL, NULL, 0, NULL));
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_node_context(NULL, NULL, NULL));
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_default_directory(NULL, NULL));
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_context_receipt(NULL, NULL, NULL));
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_receipt_transaction(NULL, NULL));
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_receipt_emitted_at(NULL, 0, NULL, NULL, NULL));
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_context_on_event(NULL, NULL, NULL, NULL, NULL, NULL));
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_hub_new(NULL));
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_test_nodes(NULL, NULL));
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_hub_partition(NULL, NULL, NULL));
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_hub_heal(NULL, NULL, NULL));
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_node_change_storage_key(NULL, NULL, NULL));
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_node_export(NULL, NULL, NULL, NULL, NULL));
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_node_import(NULL, NULL, NULL, NULL, NULL, NULL));
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_node_adopt(NULL, NULL, NULL));
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_node_create_context_with(NULL, NULL, NULL));
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_context_security(NULL, NULL));
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_node_suspend(NULL, 0));
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_node_resume(NULL));
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_node_is_suspended(NULL, NULL));
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_node_sync_once(NULL, 0, NULL, NULL, NULL));
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_context_verify(NULL, NULL));
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_context_explain(NULL, NULL, NULL, NULL, 0, NULL));
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_invitation_id(NULL, NULL));
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_invitation_to_bytes(NULL, NULL));
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_invitation_from_bytes(NULL, 0, NULL));
}

static void frees_and_inits_do_nothing(void) {
    kith_application_init(NULL);
    kith_buffer_free(NULL);
    kith_cancel_free(NULL);
    kith_context_free(NULL);
    kith_entries_free(NULL);
    kith_events_free(NULL);
    kith_event_free(NULL);
    kith_join_options_init(NULL);
    kith_batch_free(NULL);
    kith_node_free(NULL);
    kith_node_options_init(NULL);
    kith_invite_options_init(NULL);
    kith_application_init_sized(NULL, 0);
    kith_join_options_init_sized(NULL, 1);
    kith_node_options_init_sized(NULL, SIZE_MAX);
    kith_invite_options_init_sized(NULL, sizeof(kith_invite_options));
    kith_create_options_init_sized(NULL, 0);
    kith_import_options_init_sized(NULL, 0);
    /* The functions themselves, which have macros of the same names in front of them. */
    (kith_application_init)(NULL);
    (kith_join_options_init)(NULL);
    (kith_node_options_init)(NULL);
    (kith_invite_options_init)(NULL);
    kith_receipt_free(NULL);
    kith_subscription_free(NULL);
    kith_hub_free(NULL);
}

static void accessors_give_nothing(void) {
    CHECK(kith_call_method(NULL, NULL) != NULL);
    CHECK(!kith_call_is(NULL, NULL));
    CHECK(kith_call_arguments(NULL, NULL) != NULL);
    CHECK(kith_call_member(NULL) == NULL);
    CHECK(kith_call_role(NULL) == 0);
    CHECK(kith_call_transaction(NULL) == NULL);
    CHECK(kith_call_timestamp(NULL) == 0);
    CHECK(!kith_cancel_fired(NULL));
    CHECK(kith_entries_count(NULL) == 0);
    CHECK(kith_event_kind(NULL) == 0);
    CHECK(kith_event_cursor(NULL) == 0);
    CHECK(kith_event_transaction(NULL) == NULL);
    CHECK(kith_event_other_transaction(NULL) == NULL);
    CHECK(kith_event_member(NULL) == NULL);
    CHECK(kith_event_role(NULL) == 0);
    CHECK(!kith_event_again(NULL));
    CHECK(kith_event_keys(NULL, NULL) != NULL);
    CHECK(kith_event_text(NULL) != NULL);
    CHECK(strcmp(kith_event_reason(NULL), "") == 0);
    CHECK(kith_event_data(NULL, NULL) != NULL);
    CHECK(kith_event_done(NULL) == 0);
    CHECK(kith_event_total(NULL) == 0);
    CHECK(kith_receipt_method(NULL) != NULL);
    CHECK(kith_receipt_arguments(NULL, NULL) != NULL);
    CHECK(kith_receipt_answer(NULL, NULL) != NULL);
    CHECK(*kith_receipt_reason(NULL) == '\0');
    CHECK(kith_receipt_emitted_count(NULL) == 0);
}

int main(void) {
    RUN(what_is_needed_is_asked_for);
    RUN(frees_and_inits_do_nothing);
    RUN(accessors_give_nothing);
    return check_finish();
}
