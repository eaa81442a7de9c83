/* The header alone is valid C++, and its functions have C linkage. */
#include "kith.h"

extern "C" const char *kith_version(void);

static_assert(KITH_OK == 0, "success is zero");
static_assert(sizeof(kith_buffer) == sizeof(void *) + sizeof(size_t), "no hidden members");
