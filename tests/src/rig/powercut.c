/*
 * A power cut for one process, preloaded into it. Files and folders under POWERCUT_FOLDER are
 * watched; when a line "SEED KEEP_PERCENT" arrives in the FIFO POWERCUT_TRIGGER, everything is
 * brought to a state in which a disk could be after the power went, and the process ends at once.
 *
 * Content: fsync and fdatasync of a file make its content durable, and nothing else does; in
 * particular sync_file_range does not. Of what was written since, each sector of 512 bytes is kept
 * with KEEP_PERCENT in a hundred, or goes back to what was durable; the length is the present one
 * or the durable one.
 *
 * Names: creating, renaming and removing are kept in the order in which they happened, as a journal
 * keeps them. fsync of a folder makes all of them so far durable. Of the later ones a random number
 * of the first is kept, and the rest is undone from the end.
 *
 * POWERCUT_FAULTS names a file of three ints, shared with the test, which may change them at any
 * moment: milliseconds by which every sync is slower; the errno with which writing, making and renaming
 * fail, 0 for none; the errno with which syncs fail, 0 for none.
 *
 * With POWERCUT_DEAF set, fsync and fdatasync do not count, as with a disk that lies: with it a
 * test can show that it would notice the loss.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum { PAGE = 4096, SECTOR = 512, EXIT_STATUS = 137 };

struct file {
    dev_t device;
    ino_t inode;
    int fd;                 /* our own, for reading and writing */
    off_t durable_size;
    unsigned char **before; /* by page: its durable content, or NULL while it is unchanged */
    size_t pages;
    struct file *next;
};

enum operation { MADE_FILE, MADE_FOLDER, RENAMED, REMOVED };

struct entry {
    enum operation operation;
    char path[PATH_MAX];   /* the name after the operation, or the one removed */
    char from[PATH_MAX];   /* RENAMED: the name before it */
    char backup[PATH_MAX]; /* a second link to what was removed or replaced; empty for none */
    struct entry *earlier;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct file *files;
static struct entry *journal;
static unsigned long backups;
static char folder[PATH_MAX / 2], spare[PATH_MAX / 2 + 16];
static size_t folder_length;
static int deaf;
static volatile struct { int sync_delay_ms, error, sync_error; } *faults;

#define REAL(name) ((__typeof__(&name))real(#name))

static void *real(const char *name) {
    void *found = dlsym(RTLD_NEXT, name);
    if (!found) abort();
    return found;
}

static int watched(const char *path) {
    return folder_length && !strncmp(path, folder, folder_length) &&
           (path[folder_length] == '/' || !path[folder_length]);
}

/* ---- content ---- */

static struct file *file_of(int fd) {
    struct stat status;
    if (!folder_length || fstat(fd, &status) || !S_ISREG(status.st_mode)) return NULL;
    for (struct file *file = files; file; file = file->next)
        if (file->inode == status.st_ino && file->device == status.st_dev) return file;
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return NULL;
    path[length] = 0;
    if (!watched(path)) return NULL;
    int own = REAL(open)(link, O_RDWR | O_CLOEXEC);
    if (own < 0) return NULL;
    struct file *file = calloc(1, sizeof *file);
    file->device = status.st_dev;
    file->inode = status.st_ino;
    file->fd = own;
    file->durable_size = status.st_size;
    file->next = files;
    return files = file;
}

/* Keeps the durable content of the pages from `start` to before `end`. */
static void keep(struct file *file, off_t start, off_t end) {
    if (end <= start) return;
    size_t first = start / PAGE, last = (end - 1) / PAGE;
    if (last >= file->pages) {
        size_t pages = last + 1024;
        file->before = realloc(file->before, pages * sizeof *file->before);
        memset(file->before + file->pages, 0, (pages - file->pages) * sizeof *file->before);
        file->pages = pages;
    }
    for (size_t page = first; page <= last; page++) {
        if (file->before[page]) continue;
        unsigned char *content = calloc(1, PAGE);
        if (pread(file->fd, content, PAGE, (off_t)page * PAGE) < 0) abort();
        file->before[page] = content;
    }
}

static void forget(struct file *file) {
    for (size_t page = 0; page < file->pages; page++) {
        free(file->before[page]);
        file->before[page] = NULL;
    }
    struct stat status;
    fstat(file->fd, &status);
    file->durable_size = status.st_size;
}

static off_t position(int fd) {
    if (fcntl(fd, F_GETFL) & O_APPEND) {
        struct stat status;
        fstat(fd, &status);
        return status.st_size;
    }
    return lseek(fd, 0, SEEK_CUR);
}

static void revert(struct file *file, int keep_percent) {
    struct stat status;
    if (fstat(file->fd, &status)) return;
    for (size_t page = 0; page < file->pages; page++) {
        if (!file->before[page]) continue;
        for (int at = 0; at < PAGE; at += SECTOR) {
            off_t where = (off_t)page * PAGE + at;
            if (rand() % 100 < keep_percent || where >= status.st_size) continue;
            size_t length = status.st_size - where < SECTOR ? status.st_size - where : SECTOR;
            if (REAL(pwrite64)(file->fd, file->before[page] + at, length, where) < 0) abort();
        }
    }
    int shrank = status.st_size < file->durable_size;
    if (status.st_size != file->durable_size && (shrank || rand() % 100 >= keep_percent)) {
        if (REAL(ftruncate64)(file->fd, file->durable_size)) abort();
        /* What a truncation took away comes back whole. */
        for (size_t page = 0; shrank && page < file->pages; page++) {
            off_t where = (off_t)page * PAGE;
            if (!file->before[page] || where + PAGE <= status.st_size) continue;
            if (where >= file->durable_size) continue;
            size_t length = file->durable_size - where < PAGE ? file->durable_size - where : PAGE;
            if (REAL(pwrite64)(file->fd, file->before[page], length, where) < 0) abort();
        }
    }
}

/* ---- names ---- */

static int absolute(int at, const char *path, char *into) {
    if (path[0] == '/') return snprintf(into, PATH_MAX, "%s", path) < PATH_MAX;
    char base[PATH_MAX];
    if (at == AT_FDCWD) {
        if (!getcwd(base, sizeof base)) return 0;
    } else {
        char link[64];
        snprintf(link, sizeof link, "/proc/self/fd/%d", at);
        ssize_t length = readlink(link, base, sizeof base - 1);
        if (length < 0) return 0;
        base[length] = 0;
    }
    return snprintf(into, PATH_MAX, "%s/%s", base, path) < PATH_MAX;
}

static int exists(const char *path) {
    struct stat status;
    return !lstat(path, &status);
}

static struct entry *noted(enum operation operation, const char *path) {
    struct entry *entry = calloc(1, sizeof *entry);
    entry->operation = operation;
    strcpy(entry->path, path);
    entry->earlier = journal;
    return journal = entry;
}

/* A second link to a file that is about to lose its name. */
static void back_up(const char *path, char *backup) {
    struct stat status;
    if (lstat(path, &status) || !S_ISREG(status.st_mode)) return;
    snprintf(backup, PATH_MAX, "%s/%lu", spare, backups++);
    if (link(path, backup)) backup[0] = 0;
}

static void commit_names(void) {
    while (journal) {
        struct entry *entry = journal;
        journal = entry->earlier;
        if (entry->backup[0]) REAL(unlink)(entry->backup);
        free(entry);
    }
}

static void undo(struct entry *entry) {
    switch (entry->operation) {
    case MADE_FILE: REAL(unlink)(entry->path); break;
    case MADE_FOLDER: rmdir(entry->path); break;
    case RENAMED:
        REAL(rename)(entry->path, entry->from);
        /* fall through */
    case REMOVED:
        if (entry->backup[0]) REAL(rename)(entry->backup, entry->path);
    }
}

static void undo_names(int keep_percent) {
    int count = 0;
    for (struct entry *entry = journal; entry; entry = entry->earlier) count++;
    int kept = keep_percent && count ? rand() % (count + 1) : 0;
    for (int left = count; left > kept; left--) {
        undo(journal);
        journal = journal->earlier;
    }
}

/* ---- the cut ---- */

static void *wait_for_the_cut(void *trigger) {
    char line[64] = "";
    int fd = REAL(open)(trigger, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || read(fd, line, sizeof line - 1) <= 0) return NULL;
    unsigned seed = 0;
    int keep_percent = 0;
    sscanf(line, "%u %d", &seed, &keep_percent);
    pthread_mutex_lock(&lock);
    srand(seed);
    size_t pages = 0;
    for (struct file *file = files; file; file = file->next) {
        for (size_t page = 0; page < file->pages; page++) pages += file->before[page] != NULL;
        revert(file, keep_percent);
    }
    undo_names(keep_percent);
    char text[160];
    int length = snprintf(text, sizeof text, "power cut: %zu pages were not durable\n", pages);
    if (REAL(write)(2, text, length) < 0) abort();
    _exit(EXIT_STATUS);
}

__attribute__((constructor)) static void start(void) {
    const char *name = getenv("POWERCUT_FOLDER"), *trigger = getenv("POWERCUT_TRIGGER");
    if (!name || !trigger) return;
    snprintf(folder, sizeof folder, "%s", name);
    snprintf(spare, sizeof spare, "%s.powercut", name);
    REAL(mkdir)(spare, 0700);
    folder_length = strlen(folder);
    deaf = getenv("POWERCUT_DEAF") != NULL;
    const char *shared = getenv("POWERCUT_FAULTS");
    int fd = shared ? REAL(open)(shared, O_RDWR | O_CLOEXEC) : -1;
    if (fd >= 0) {
        void *mapped = mmap(NULL, sizeof *faults, PROT_READ, MAP_SHARED, fd, 0);
        if (mapped != MAP_FAILED) faults = mapped;
        close(fd);
    }
    pthread_t thread;
    if (pthread_create(&thread, NULL, wait_for_the_cut, (void *)trigger)) abort();
}

/* ---- what is interposed ---- */

#define WITH_LOCK(type, expression) \
    pthread_mutex_lock(&lock);      \
    type result = (expression);     \
    int error = errno;              \
    pthread_mutex_unlock(&lock);    \
    errno = error;                  \
    return result

static int refused(int fd);
static int refused_name(const char *path);

static int truncate_locked(int fd, off_t length) {
    if (refused(fd)) return -1;
    struct file *file = file_of(fd);
    if (file) {
        struct stat status;
        fstat(fd, &status);
        keep(file, length, status.st_size);
    }
    return REAL(ftruncate64)(fd, length);
}

static int open_locked(int at, const char *path, int flags, mode_t mode) {
    char name[PATH_MAX];
    int ours = absolute(at, path, name) && watched(name);
    if (!ours) return REAL(openat)(at, path, flags, mode);
    int made = (flags & O_CREAT) && !exists(name);
    int writes = made || (flags & O_ACCMODE) != O_RDONLY;
    if (writes && (made || (faults && faults->error == EROFS)) && refused_name(name)) return -1;
    int fd = REAL(openat)(at, path, flags & ~O_TRUNC, mode);
    if (fd < 0) return fd;
    if (made) noted(MADE_FILE, name);
    if ((flags & O_ACCMODE) != O_RDONLY) file_of(fd);
    if (flags & O_TRUNC && truncate_locked(fd, 0)) return -1;
    return fd;
}

#define MODE(flags)                             \
    mode_t mode = 0;                            \
    if ((flags) & (O_CREAT | O_TMPFILE)) {      \
        va_list list;                           \
        va_start(list, flags);                  \
        mode = va_arg(list, mode_t);            \
        va_end(list);                           \
    }

int open(const char *path, int flags, ...) { MODE(flags) WITH_LOCK(int, open_locked(AT_FDCWD, path, flags, mode)); }
int open64(const char *path, int flags, ...) { MODE(flags) WITH_LOCK(int, open_locked(AT_FDCWD, path, flags, mode)); }
int openat(int at, const char *path, int flags, ...) { MODE(flags) WITH_LOCK(int, open_locked(at, path, flags, mode)); }
int openat64(int at, const char *path, int flags, ...) { MODE(flags) WITH_LOCK(int, open_locked(at, path, flags, mode)); }

/* Whether a fault makes a change of a watched file fail; errno says why. */
static int refused(int fd) {
    if (!faults || !faults->error || !file_of(fd)) return 0;
    errno = faults->error;
    return 1;
}

static int refused_name(const char *path) {
    if (!faults || !faults->error || !watched(path)) return 0;
    errno = faults->error;
    return 1;
}

static void keep_written(int fd, off_t at, size_t length) {
    struct file *file = file_of(fd);
    if (file) keep(file, at, at + (off_t)length);
}

static size_t length_of(const struct iovec *parts, int count) {
    size_t length = 0;
    for (int part = 0; part < count; part++) length += parts[part].iov_len;
    return length;
}

static int is_regular(int fd) {
    struct stat status;
    return folder_length && !fstat(fd, &status) && S_ISREG(status.st_mode);
}

ssize_t write(int fd, const void *bytes, size_t length) {
    if (!is_regular(fd)) return REAL(write)(fd, bytes, length);
    WITH_LOCK(ssize_t, refused(fd) ? -1 : (keep_written(fd, position(fd), length), REAL(write)(fd, bytes, length)));
}
ssize_t writev(int fd, const struct iovec *parts, int count) {
    if (!is_regular(fd)) return REAL(writev)(fd, parts, count);
    WITH_LOCK(ssize_t, refused(fd) ? -1 : (keep_written(fd, position(fd), length_of(parts, count)), REAL(writev)(fd, parts, count)));
}
ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t at) {
    WITH_LOCK(ssize_t, refused(fd) ? -1 : (keep_written(fd, at, length), REAL(pwrite64)(fd, bytes, length, at)));
}
ssize_t pwrite(int fd, const void *bytes, size_t length, off_t at) { return pwrite64(fd, bytes, length, at); }
ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t at) {
    WITH_LOCK(ssize_t, refused(fd) ? -1 : (keep_written(fd, at, length_of(parts, count)), REAL(pwritev64)(fd, parts, count, at)));
}
ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t at) { return pwritev64(fd, parts, count, at); }
int ftruncate64(int fd, off64_t length) { WITH_LOCK(int, truncate_locked(fd, length)); }
int ftruncate(int fd, off_t length) { return ftruncate64(fd, length); }

/* Copies go through write, which is seen here. */
ssize_t copy_file_range(int in, off64_t *from, int out, off64_t *to, size_t length, unsigned flags) {
    if (is_regular(out)) { errno = ENOSYS; return -1; }
    return REAL(copy_file_range)(in, from, out, to, length, flags);
}

/* Before the lock is taken: a slow disk keeps nobody from writing. */
static void wait_for_a_slow_disk(int fd) {
    if (!faults || !faults->sync_delay_ms) return;
    pthread_mutex_lock(&lock);
    int ours = file_of(fd) != NULL;
    pthread_mutex_unlock(&lock);
    if (ours) usleep(1000 * faults->sync_delay_ms);
}

static int sync_locked(int fd, int (*sync)(int)) {
    if (faults && faults->sync_error && file_of(fd)) {
        errno = faults->sync_error;
        return -1;
    }
    int failed = sync(fd);
    if (failed || deaf || !folder_length) return failed;
    struct stat status;
    if (!fstat(fd, &status) && S_ISDIR(status.st_mode)) {
        char path[PATH_MAX];
        if (absolute(fd, ".", path) && watched(path)) commit_names();
        return 0;
    }
    struct file *file = file_of(fd);
    if (file) forget(file);
    return 0;
}
int fsync(int fd) { wait_for_a_slow_disk(fd); WITH_LOCK(int, sync_locked(fd, REAL(fsync))); }
int fdatasync(int fd) { wait_for_a_slow_disk(fd); WITH_LOCK(int, sync_locked(fd, REAL(fdatasync))); }

static int rename_locked(int from_at, const char *from, int to_at, const char *to, unsigned flags) {
    char source[PATH_MAX], target[PATH_MAX], backup[PATH_MAX] = "";
    int ours = absolute(from_at, from, source) && absolute(to_at, to, target) && watched(target);
    if (ours && refused_name(target)) return -1;
    if (ours) back_up(target, backup);
    int failed = REAL(renameat2)(from_at, from, to_at, to, flags);
    if (!ours) return failed;
    if (failed) {
        int error = errno;
        if (backup[0]) REAL(unlink)(backup);
        errno = error;
        return failed;
    }
    struct entry *entry = noted(RENAMED, target);
    strcpy(entry->from, source);
    strcpy(entry->backup, backup);
    return 0;
}
int rename(const char *from, const char *to) { WITH_LOCK(int, rename_locked(AT_FDCWD, from, AT_FDCWD, to, 0)); }
int renameat(int a, const char *from, int b, const char *to) { WITH_LOCK(int, rename_locked(a, from, b, to, 0)); }
int renameat2(int a, const char *from, int b, const char *to, unsigned flags) { WITH_LOCK(int, rename_locked(a, from, b, to, flags)); }

static int remove_locked(int at, const char *path, int flags) {
    char name[PATH_MAX], backup[PATH_MAX] = "";
    int ours = absolute(at, path, name) && watched(name) && !(flags & AT_REMOVEDIR);
    if (ours) back_up(name, backup);
    int failed = REAL(unlinkat)(at, path, flags);
    if (ours && !failed) strcpy(noted(REMOVED, name)->backup, backup);
    return failed;
}
int unlink(const char *path) { WITH_LOCK(int, remove_locked(AT_FDCWD, path, 0)); }
int unlinkat(int at, const char *path, int flags) { WITH_LOCK(int, remove_locked(at, path, flags)); }

static int make_folder_locked(int at, const char *path, mode_t mode) {
    char name[PATH_MAX];
    int ours = absolute(at, path, name) && watched(name);
    if (ours && refused_name(name)) return -1;
    int failed = REAL(mkdirat)(at, path, mode);
    if (!failed && ours) noted(MADE_FOLDER, name);
    return failed;
}
int mkdir(const char *path, mode_t mode) { WITH_LOCK(int, make_folder_locked(AT_FDCWD, path, mode)); }
int mkdirat(int at, const char *path, mode_t mode) { WITH_LOCK(int, make_folder_locked(at, path, mode)); }
