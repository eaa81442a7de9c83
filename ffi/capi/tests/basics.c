/* What needs no node: versions, statuses, texts of failures, buffers. */
#include "check.h"

static void header_and_library_agree(void) {
    char version[32];
    CHECK(strcmp(kith_version(), KITH_VERSION) == 0);
    snprintf(version, sizeof version, "%d.%d.%d", KITH_VERSION_MAJOR, KITH_VERSION_MINOR, KITH_VERSION_PATCH);
    CHECK(strncmp(version, KITH_VERSION, strlen(version)) == 0);
    CHECK(kith_abi_version() == KITH_ABI_VERSION);
}

static void statuses_have_names(void) {
    CHECK(strcmp(kith_status_name(KITH_OK), "KITH_OK") == 0);
    CHECK(strcmp(kith_status_name(KITH_INTERNAL), "KITH_INTERNAL") == 0);
    CHECK(strcmp(kith_status_name(KITH_INTERNAL + 1), "KITH_UNKNOWN") == 0);
    CHECK(strcmp(kith_status_name(UINT32_MAX), "KITH_UNKNOWN") == 0);
}

static void null_to_a_free_does_nothing(void) {
    kith_buffer empty = {NULL, 0};
    kith_buffer_free(NULL);
    kith_buffer_free(&empty);
    kith_buffer_free(&empty);
    CHECK(empty.data == NULL && empty.length == 0);
}

static void texts_of_failures_fit_the_room(void) {
    char text[8] = "unused!";
    size_t needed = 0;
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_last_error(NULL, 1, NULL));
    CHECK(kith_last_error(NULL, 0, &needed) == KITH_OK);
    CHECK(needed >= 1);
    CHECK(kith_last_error(text, 1, NULL) == KITH_OK);
    CHECK(text[0] == '\0' && text[1] == 'n');
}

int main(void) {
    RUN(header_and_library_agree);
    RUN(statuses_have_names);
    RUN(null_to_a_free_does_nothing);
    RUN(texts_of_failures_fit_the_room);
    return check_finish();
}
