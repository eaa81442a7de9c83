/*
 * Preloaded into a process that writes: notes every call that changes what is below one directory, in order and with its
 * data, and lets chosen calls fail. One lock around each call and its note makes the order of the notes the order of the calls.
 *
 * KITH_POWER_ROOT   the directory, absolute and without symbolic links
 * KITH_POWER_LOG    where the notes go (appended)
 * KITH_POWER_MARKS  a file outside of the directory: what is written to it becomes a note ("mark") and is not written.
 *                   The mark "space" ends a fault of space.
 * KITH_POWER_FAULT  space:N  from the N-th call on that takes space, all of them fail with ENOSPC; the first one, if it is a
 *                            write, has written a half before
 *                   sync:N   the N-th call that makes durable fails with EIO, and does nothing
 *
 * Calls are made by number, so nothing here can call itself. What is not modelled is noted as strange, and fails the test.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { WRITE = 1, LENGTH, SYNC, SYNC_DIRECTORY, CREATE, MAKE_DIRECTORY, RENAME, REMOVE, REMOVE_DIRECTORY, MARK, RANGE, STRANGE, FAULT };

struct note {
    uint32_t kind;
    int32_t error;
    uint64_t file;
    uint64_t at;
    uint64_t length;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char root[PATH_MAX];
static size_t root_length;
static char marks[PATH_MAX];
static int log_file = -1;
enum { NO_FAULT, NO_SPACE, NO_SYNC };
static int fault;
static long fault_at;
static long fault_count;

static void fatal(const char *what) {
    fprintf(stderr, "recorder: %s: %s\n", what, strerror(errno));
    abort();
}

__attribute__((constructor)) static void begin(void) {
    const char *where = getenv("KITH_POWER_ROOT"), *log = getenv("KITH_POWER_LOG"), *mark = getenv("KITH_POWER_MARKS");
    const char *wanted = getenv("KITH_POWER_FAULT");
    unsetenv("LD_PRELOAD");
    if (!where || !log || !mark) return;
    if (strlen(where) >= sizeof root || strlen(mark) >= sizeof marks) fatal("a path is too long");
    strcpy(root, where);
    strcpy(marks, mark);
    root_length = strlen(root);
    log_file = (int)syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (log_file < 0) fatal(log);
    if (wanted && sscanf(wanted, "space:%ld", &fault_at) == 1) fault = NO_SPACE;
    if (wanted && sscanf(wanted, "sync:%ld", &fault_at) == 1) fault = NO_SYNC;
}

/* A call of another thread that is under way when the process ends gets its note; after it none is made. */
__attribute__((destructor)) static void end(void) {
    if (log_file >= 0) pthread_mutex_lock(&lock);
}

static void all(const void *bytes, size_t length) {
    const char *from = bytes;
    while (length > 0) {
        long written = syscall(SYS_write, log_file, from, length);
        if (written < 0 && errno == EINTR) continue;
        if (written <= 0) fatal("writing the log");
        from += written;
        length -= (size_t)written;
    }
}

/* Keeps errno as the call has left it. */
static void note(uint32_t kind, int error, uint64_t file, uint64_t at, const void *bytes, size_t length) {
    int before = errno;
    struct note head = {kind, error, file, at, length};
    all(&head, sizeof head);
    if (length > 0) all(bytes, length);
    errno = before;
}

static void strange(const char *what) { note(STRANGE, 0, 0, 0, what, strlen(what)); }

static int below(const char *path) {
    return root_length > 0 && strncmp(path, root, root_length) == 0 && (path[root_length] == '/' || path[root_length] == 0);
}

/* The part of a path below the root. */
static const char *inside(const char *path) { return path[root_length] == '/' ? path + root_length + 1 : path + root_length; }

static int path_of(int fd, char *path) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    long length = syscall(SYS_readlinkat, AT_FDCWD, link, path, PATH_MAX - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return 1;
}

static int resolve(int directory, const char *name, char *path) {
    char base[PATH_MAX];
    if (name[0] == '/') {
        snprintf(path, PATH_MAX, "%s", name);
    } else {
        if (directory == AT_FDCWD ? !getcwd(base, sizeof base) : !path_of(directory, base)) return 0;
        if (strlen(base) + strlen(name) + 2 > PATH_MAX) return 0;
        sprintf(path, "%s/%s", base, name);
    }
    if (below(path) && (strstr(path, "/../") || strstr(path, "/./") || strstr(path, "//"))) strange(path);
    return below(path);
}

/* Whether the descriptor is of something below the root; its inode, and whether it is a directory. */
static int known(int fd, uint64_t *inode, int *directory) {
    char path[PATH_MAX];
    struct stat found;
    int before = errno;
    int is = log_file >= 0 && path_of(fd, path) && below(path) && fstat(fd, &found) == 0;
    errno = before;
    if (!is) return 0;
    *inode = found.st_ino;
    *directory = S_ISDIR(found.st_mode);
    return 1;
}

static uint64_t inode_at(const char *path) {
    struct stat found;
    return fstatat(AT_FDCWD, path, &found, AT_SYMLINK_NOFOLLOW) == 0 ? found.st_ino : 0;
}

/* Whether this call is to fail: 1 for the first one, 2 for a later one. */
static int fails(int which) {
    if (fault != which) return 0;
    fault_count++;
    if (which == NO_SYNC ? fault_count != fault_at : fault_count < fault_at) return 0;
    note(FAULT, which == NO_SYNC ? EIO : ENOSPC, 0, (uint64_t)fault_count, NULL, 0);
    return fault_count == fault_at ? 1 : 2;
}

static int no_space(void) {
    if (!fails(NO_SPACE)) return 0;
    errno = ENOSPC;
    return 1;
}

#define LOCKED(type, body)            \
    pthread_mutex_lock(&lock);        \
    type result = (body);             \
    pthread_mutex_unlock(&lock);      \
    return result

/* ------------------------------------------------------------------------------------------------------------ writing */

static ssize_t gathered(const struct iovec *parts, int count, char **bytes) {
    size_t length = 0, at = 0;
    for (int i = 0; i < count; i++) length += parts[i].iov_len;
    *bytes = malloc(length ? length : 1);
    if (!*bytes) fatal("memory");
    for (int i = 0; i < count; i++) {
        memcpy(*bytes + at, parts[i].iov_base, parts[i].iov_len);
        at += parts[i].iov_len;
    }
    return (ssize_t)length;
}

static int is_marks(int fd) {
    char path[PATH_MAX];
    int before = errno;
    int is = log_file >= 0 && path_of(fd, path) && strcmp(path, marks) == 0;
    errno = before;
    return is;
}

/* At a place, or at the descriptor's own if that is negative. */
static ssize_t put(int fd, const void *bytes, size_t length, off_t place) {
    uint64_t inode;
    int directory;
    if (is_marks(fd)) {
        note(MARK, 0, 0, 0, bytes, length);
        if (length >= 5 && memcmp(bytes, "space", 5) == 0) fault = NO_FAULT;
        return (ssize_t)length;
    }
    if (!known(fd, &inode, &directory)) {
        return place < 0 ? syscall(SYS_write, fd, bytes, length) : syscall(SYS_pwrite64, fd, bytes, length, place);
    }
    if (length > 0) {
        int failing = fails(NO_SPACE);
        if (failing == 1 && length > 1) {
            length /= 2;
        } else if (failing) {
            errno = ENOSPC;
            return -1;
        }
    }
    off_t at = place;
    if (place < 0) {
        struct stat found;
        int flags = fcntl(fd, F_GETFL);
        at = flags & O_APPEND ? (fstat(fd, &found) == 0 ? found.st_size : -1) : lseek(fd, 0, SEEK_CUR);
        if (at < 0) fatal("where a write goes");
    }
    ssize_t written = place < 0 ? syscall(SYS_write, fd, bytes, length) : syscall(SYS_pwrite64, fd, bytes, length, place);
    if (written > 0) note(WRITE, 0, inode, (uint64_t)at, bytes, (size_t)written);
    return written;
}

static ssize_t put_parts(int fd, const struct iovec *parts, int count, off_t place) {
    char *bytes;
    ssize_t length = gathered(parts, count, &bytes);
    ssize_t written = put(fd, bytes, (size_t)length, place);
    free(bytes);
    return written;
}

ssize_t write(int fd, const void *bytes, size_t length) { LOCKED(ssize_t, put(fd, bytes, length, -1)); }
ssize_t pwrite(int fd, const void *bytes, size_t length, off_t at) { LOCKED(ssize_t, put(fd, bytes, length, at)); }
ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t at) { LOCKED(ssize_t, put(fd, bytes, length, at)); }
ssize_t writev(int fd, const struct iovec *parts, int count) { LOCKED(ssize_t, put_parts(fd, parts, count, -1)); }
ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t at) { LOCKED(ssize_t, put_parts(fd, parts, count, at)); }
ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t at) { LOCKED(ssize_t, put_parts(fd, parts, count, at)); }

/* Whoever copies inside of the system falls back to reading and writing. */
ssize_t copy_file_range(int from, off64_t *from_at, int to, off64_t *to_at, size_t length, unsigned flags) {
    uint64_t inode;
    int directory;
    if (known(to, &inode, &directory)) {
        errno = EXDEV;
        return -1;
    }
    return syscall(SYS_copy_file_range, from, from_at, to, to_at, length, flags);
}

ssize_t sendfile(int to, int from, off_t *at, size_t length) {
    uint64_t inode;
    int directory;
    if (known(to, &inode, &directory)) {
        errno = EINVAL;
        return -1;
    }
    return syscall(SYS_sendfile, to, from, at, length);
}

ssize_t sendfile64(int to, int from, off64_t *at, size_t length) { return sendfile(to, from, at, length); }

static int cut(int fd, off_t length) {
    uint64_t inode;
    int directory;
    if (!known(fd, &inode, &directory)) return (int)syscall(SYS_ftruncate, fd, length);
    struct stat found;
    if (fstat(fd, &found) == 0 && found.st_size < length && no_space()) return -1;
    int result = (int)syscall(SYS_ftruncate, fd, length);
    if (result == 0) note(LENGTH, 0, inode, (uint64_t)length, NULL, 0);
    return result;
}

int ftruncate(int fd, off_t length) { LOCKED(int, cut(fd, length)); }
int ftruncate64(int fd, off64_t length) { LOCKED(int, cut(fd, length)); }

static int reserve(int fd, int mode, off_t at, off_t length) {
    uint64_t inode;
    int directory;
    if (known(fd, &inode, &directory)) strange("fallocate");
    return (int)syscall(SYS_fallocate, fd, mode, at, length);
}

int fallocate(int fd, int mode, off_t at, off_t length) { LOCKED(int, reserve(fd, mode, at, length)); }
int fallocate64(int fd, int mode, off64_t at, off64_t length) { LOCKED(int, reserve(fd, mode, at, length)); }
int posix_fallocate(int fd, off_t at, off_t length) { LOCKED(int, reserve(fd, 0, at, length) ? errno : 0); }
int posix_fallocate64(int fd, off64_t at, off64_t length) { LOCKED(int, reserve(fd, 0, at, length) ? errno : 0); }

static void *map(void *at, size_t length, int protection, int flags, int fd, off_t from) {
    uint64_t inode;
    int directory;
    if (fd >= 0 && (flags & MAP_SHARED) && (protection & PROT_WRITE) && known(fd, &inode, &directory)) strange("mmap");
    return (void *)syscall(SYS_mmap, at, length, protection, flags, fd, from);
}

void *mmap(void *at, size_t length, int protection, int flags, int fd, off_t from) { return map(at, length, protection, flags, fd, from); }
void *mmap64(void *at, size_t length, int protection, int flags, int fd, off64_t from) { return map(at, length, protection, flags, fd, from); }

/* ------------------------------------------------------------------------------------------------------- making durable */

static int durable(int fd, long call) {
    uint64_t inode;
    int directory;
    if (!known(fd, &inode, &directory)) return (int)syscall(call, fd);
    int result = -1;
    if (fails(NO_SYNC)) errno = EIO;
    else result = (int)syscall(call, fd);
    note(directory ? SYNC_DIRECTORY : SYNC, result == 0 ? 0 : errno, inode, 0, NULL, 0);
    return result;
}

int fsync(int fd) { LOCKED(int, durable(fd, SYS_fsync)); }
int fdatasync(int fd) { LOCKED(int, durable(fd, SYS_fdatasync)); }

/* Makes nothing durable: neither the length of the file nor what the device still holds back. */
static int range(int fd, off64_t at, off64_t length, unsigned flags) {
    uint64_t inode;
    int directory;
    if (known(fd, &inode, &directory)) {
        int failing = fails(NO_SYNC);
        note(RANGE, failing ? EIO : 0, inode, 0, NULL, 0);
        if (failing) {
            errno = EIO;
            return -1;
        }
    }
    return (int)syscall(SYS_sync_file_range, fd, at, length, flags);
}

int sync_file_range(int fd, off64_t at, off64_t length, unsigned flags) { LOCKED(int, range(fd, at, length, flags)); }

/* --------------------------------------------------------------------------------------------------------- directories */

static int open_at(int directory, const char *name, int flags, mode_t mode) {
    char path[PATH_MAX];
    int before = errno;
    if (log_file < 0 || !(flags & (O_CREAT | O_TRUNC | O_TMPFILE)) || !resolve(directory, name, path)) {
        errno = before;
        return (int)syscall(SYS_openat, directory, name, flags, mode);
    }
    if ((flags & O_TMPFILE) == O_TMPFILE) strange("a file without a name");
    uint64_t there = inode_at(path);
    errno = before;
    if ((flags & O_CREAT) && there == 0 && no_space()) return -1;
    int fd = (int)syscall(SYS_openat, directory, name, flags, mode);
    if (fd >= 0 && (flags & O_CREAT) && there == 0) note(CREATE, 0, inode_at(path), 0, inside(path), strlen(inside(path)));
    else if (fd >= 0 && (flags & O_TRUNC)) note(LENGTH, 0, there, 0, NULL, 0);
    return fd;
}

static mode_t mode_of(int flags, va_list rest) {
    return (flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE ? (mode_t)va_arg(rest, int) : 0;
}

#define OPEN(directory)                      \
    va_list rest;                            \
    va_start(rest, flags);                   \
    mode_t mode = mode_of(flags, rest);      \
    va_end(rest);                            \
    LOCKED(int, open_at(directory, name, flags, mode))

int open(const char *name, int flags, ...) { OPEN(AT_FDCWD); }
int open64(const char *name, int flags, ...) { OPEN(AT_FDCWD); }
int openat(int directory, const char *name, int flags, ...) { OPEN(directory); }
int openat64(int directory, const char *name, int flags, ...) { OPEN(directory); }
int creat(const char *name, mode_t mode) { LOCKED(int, open_at(AT_FDCWD, name, O_CREAT | O_WRONLY | O_TRUNC, mode)); }

static int make_directory(int directory, const char *name, mode_t mode) {
    char path[PATH_MAX];
    int is = resolve(directory, name, path);
    if (is && inode_at(path) == 0 && no_space()) return -1;
    int result = (int)syscall(SYS_mkdirat, directory, name, mode);
    if (is && result == 0) note(MAKE_DIRECTORY, 0, inode_at(path), 0, inside(path), strlen(inside(path)));
    return result;
}

int mkdir(const char *name, mode_t mode) { LOCKED(int, make_directory(AT_FDCWD, name, mode)); }
int mkdirat(int directory, const char *name, mode_t mode) { LOCKED(int, make_directory(directory, name, mode)); }

static int move(int from_directory, const char *from, int to_directory, const char *to, unsigned flags) {
    char old[PATH_MAX], new[PATH_MAX], both[2 * PATH_MAX];
    int out = resolve(from_directory, from, old), in = resolve(to_directory, to, new);
    if (out != in) strange("a rename over the border of the directory");
    if (in && flags) strange("a rename with flags");
    if (in && no_space()) return -1;
    int result = (int)syscall(SYS_renameat2, from_directory, from, to_directory, to, flags);
    if (in && out && result == 0) {
        size_t length = (size_t)sprintf(both, "%s", inside(old)) + 1;
        length += (size_t)sprintf(both + length, "%s", inside(new));
        note(RENAME, 0, 0, 0, both, length);
    }
    return result;
}

int rename(const char *from, const char *to) { LOCKED(int, move(AT_FDCWD, from, AT_FDCWD, to, 0)); }
int renameat(int a, const char *from, int b, const char *to) { LOCKED(int, move(a, from, b, to, 0)); }
int renameat2(int a, const char *from, int b, const char *to, unsigned flags) { LOCKED(int, move(a, from, b, to, flags)); }

static int drop(int directory, const char *name, int flags) {
    char path[PATH_MAX];
    int is = resolve(directory, name, path);
    int result = (int)syscall(SYS_unlinkat, directory, name, flags);
    if (is && result == 0) note(flags & AT_REMOVEDIR ? REMOVE_DIRECTORY : REMOVE, 0, 0, 0, inside(path), strlen(inside(path)));
    return result;
}

int unlink(const char *name) { LOCKED(int, drop(AT_FDCWD, name, 0)); }
int rmdir(const char *name) { LOCKED(int, drop(AT_FDCWD, name, AT_REMOVEDIR)); }
int unlinkat(int directory, const char *name, int flags) { LOCKED(int, drop(directory, name, flags)); }

static int linked(int a, const char *from, int b, const char *to, int flags) {
    char path[PATH_MAX];
    if (resolve(b, to, path)) strange("a link");
    return (int)syscall(SYS_linkat, a, from, b, to, flags);
}

int link(const char *from, const char *to) { LOCKED(int, linked(AT_FDCWD, from, AT_FDCWD, to, 0)); }
int linkat(int a, const char *from, int b, const char *to, int flags) { LOCKED(int, linked(a, from, b, to, flags)); }
