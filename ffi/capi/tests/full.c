/* Somebody else fills the disk under a node: on a small one of the tests' own, which `cargo xtask test` mounts and names. */
#include "nodes.h"

static const char *disk;

/* Takes all the room that there is. A disk with more than a gigabyte is not meant. */
static int fill(const char *path) {
    static const char piece[1 << 20] = {1};
    FILE *file = fopen(path, "wb");
    int full = 0;
    if (file == NULL) {
        return 0;
    }
    setvbuf(file, NULL, _IONBF, 0);
    for (int i = 0; i < 1024 && !full; i++) {
        full = fwrite(piece, 1, sizeof piece, file) < sizeof piece;
    }
    fclose(file);
    return full;
}

/* Whether all is there that was acknowledged before the disk was full, nothing that was refused, and what is kept is what the history gives. */
static int is_whole(kith_context *context) {
    uint8_t key[32];
    kith_buffer value = {NULL, 0};
    kith_verification report;
    int absent;
    make_key("refused", key);
    absent = kith_context_get(context, key, KITH_TENTATIVE, &value) == KITH_NOT_FOUND;
    kith_buffer_free(&value);
    return absent && holds(context, "before", "acknowledged") && kith_context_verify(context, &report) == KITH_OK &&
           report.part == KITH_PART_NONE;
}

/* scenario: disk_full */
static void a_full_disk_is_named_and_costs_nothing(void) {
    kith_node *node = NULL, *another = NULL;
    kith_context *context = NULL, *none = NULL;
    uint8_t id[32], key[32];
    int64_t now = 0;
    char filler[1024];
    snprintf(filler, sizeof filler, "%s/filler", disk);
    make_key("counted", key);
    CHECK_OK(open_in(disk, "node", &node));
    CHECK_OK(kith_node_create_context(node, NULL, NULL, 0, NULL, &context));
    CHECK_OK(put_text(context, "before", "acknowledged"));
    CHECK_OK(kith_context_add(context, key, 1, NULL));

    CHECK(fill(filler));
    CHECK_STATUS(KITH_STORAGE_FULL, put_text(context, "refused", "x"));
    CHECK_SAYS("free space");
    CHECK_STATUS(KITH_STORAGE_FULL, kith_context_add(context, key, 1, NULL));
    CHECK_STATUS(KITH_STORAGE_FULL, kith_node_create_context(node, NULL, NULL, 0, NULL, &none));
    CHECK_STATUS(KITH_STORAGE_FULL, open_in(disk, "another", &another));
    CHECK(none == NULL && another == NULL && is_whole(context));

    CHECK(remove(filler) == 0);
    CHECK_OK(put_text(context, "after", "room again"));
    CHECK_OK(kith_context_add(context, key, 1, &now));
    CHECK(now == 2);
    CHECK_OK(kith_context_id(context, id));
    close_both(node, context);
    CHECK_OK(open_in(disk, "node", &node));
    CHECK_OK(kith_node_context(node, id, &context));
    CHECK(is_whole(context) && holds(context, "after", "room again"));
    CHECK_OK(kith_context_add(context, key, 1, &now));
    CHECK(now == 3);
    close_both(node, context);
}

int main(void) {
    disk = getenv("KITH_TEST_SMALL_DISK");
    if (disk == NULL) {
        SKIP(a_full_disk_is_named_and_costs_nothing, "KITH_TEST_SMALL_DISK names no small disk");
    } else {
        RUN(a_full_disk_is_named_and_costs_nothing);
    }
    return check_finish();
}
