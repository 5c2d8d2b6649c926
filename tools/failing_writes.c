/* Lets calls that write below a folder fail: `gcc -shared -fPIC failing_writes.c -o failing_writes.so -ldl`, and
   LD_PRELOAD. A process arms it with arm(); processes that it forks count with it. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

struct state {
    char folder[PATH_MAX];
    long count;   /* calls so far */
    long failing; /* the first that fails; 0: none */
    int number;   /* errno */
    int lasting;  /* whether all after it fail as well, as on a disk that is full */
};
static struct state *state;

__attribute__((constructor)) static void begin(void) {
    state = mmap(NULL, sizeof *state, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}

void arm(const char *folder, long failing, int number, int lasting) {
    snprintf(state->folder, sizeof state->folder, "%s", folder);
    state->count = 0;
    state->failing = failing;
    state->number = number;
    state->lasting = lasting;
}

long calls(void) { return state->count; }

static int counted(const char *path, int always_room) {
    size_t length = state == MAP_FAILED ? 0 : strlen(state->folder);
    if (length == 0 || strncmp(path, state->folder, length) != 0) return 0;
    long count = __sync_add_and_fetch(&state->count, 1);
    if (state->failing == 0 || count < state->failing || (count > state->failing && (!state->lasting || always_room))) return 0;
    errno = state->number;
    return 1;
}

static int fails(int file) {
    char link[64], path[PATH_MAX];
    int before = errno;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    errno = before;
    if (length <= 0) return 0;
    path[length] = 0;
    return counted(path, 0);
}

static int fails_at(int folder, const char *name, int always_room) {
    char link[64], path[2 * PATH_MAX];
    int before = errno;
    ssize_t length = 0;
    if (name[0] != '/') {
        if (folder == AT_FDCWD) snprintf(link, sizeof link, "/proc/self/cwd");
        else snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
        length = readlink(link, path, PATH_MAX - 1);
        errno = before;
        if (length <= 0) return 0;
        path[length++] = '/';
    }
    snprintf(path + length, PATH_MAX, "%s", name);
    return counted(path, always_room);
}

#define REAL(type, name, ...) \
    static type (*real)(__VA_ARGS__); \
    if (!real) real = (type (*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name)
#define OF_FILE(type, name, parameters, arguments, ...) \
    type name parameters { REAL(type, name, __VA_ARGS__); return fails(file) ? -1 : real arguments; }

OF_FILE(ssize_t, write, (int file, const void *data, size_t size), (file, data, size), int, const void *, size_t)
OF_FILE(ssize_t, writev, (int file, const struct iovec *parts, int number), (file, parts, number), int,
        const struct iovec *, int)
OF_FILE(ssize_t, pwrite, (int file, const void *data, size_t size, off_t at), (file, data, size, at), int, const void *,
        size_t, off_t)
OF_FILE(ssize_t, pwrite64, (int file, const void *data, size_t size, off_t at), (file, data, size, at), int,
        const void *, size_t, off_t)
OF_FILE(int, fsync, (int file), (file), int)
OF_FILE(int, fdatasync, (int file), (file), int)
OF_FILE(int, ftruncate, (int file, off_t size), (file, size), int, off_t)
OF_FILE(int, ftruncate64, (int file, off_t size), (file, size), int, off_t)

#define OPENING(name) \
    int name(const char *path, int flags, ...) { \
        va_list rest; \
        va_start(rest, flags); \
        mode_t mode = va_arg(rest, mode_t); \
        va_end(rest); \
        REAL(int, name, const char *, int, ...); \
        return (flags & O_ACCMODE) != O_RDONLY && fails_at(AT_FDCWD, path, 0) ? -1 : real(path, flags, mode); \
    }
OPENING(open)
OPENING(open64)

#define OPENING_AT(name) \
    int name(int folder, const char *path, int flags, ...) { \
        va_list rest; \
        va_start(rest, flags); \
        mode_t mode = va_arg(rest, mode_t); \
        va_end(rest); \
        REAL(int, name, int, const char *, int, ...); \
        return (flags & O_ACCMODE) != O_RDONLY && fails_at(folder, path, 0) ? -1 : real(folder, path, flags, mode); \
    }
OPENING_AT(openat)
OPENING_AT(openat64)

#define OPENING_STREAM(name) \
    FILE *name(const char *path, const char *mode) { \
        REAL(FILE *, name, const char *, const char *); \
        return strpbrk(mode, "wa+") && fails_at(AT_FDCWD, path, 0) ? NULL : real(path, mode); \
    }
OPENING_STREAM(fopen)
OPENING_STREAM(fopen64)

size_t fwrite(const void *data, size_t size, size_t number, FILE *stream) {
    REAL(size_t, fwrite, const void *, size_t, size_t, FILE *);
    return fails(fileno(stream)) ? 0 : real(data, size, number, stream);
}

/* A full disk has room for a new name in place of another. */
int rename(const char *from, const char *to) {
    REAL(int, rename, const char *, const char *);
    return fails_at(AT_FDCWD, to, 1) ? -1 : real(from, to);
}

int mkdir(const char *path, mode_t mode) {
    REAL(int, mkdir, const char *, mode_t);
    return fails_at(AT_FDCWD, path, 0) ? -1 : real(path, mode);
}
