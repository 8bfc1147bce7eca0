/* Makes every sync a no-op in the process that it is preloaded into: what durability costs is what
   this saves. For benchmarks only; a collector that runs with it loses what it acknowledged. */
#include <sys/types.h>

int fsync(int fd) { (void)fd; return 0; }
int fdatasync(int fd) { (void)fd; return 0; }
int msync(void *start, size_t length, int flags) { (void)start; (void)length; (void)flags; return 0; }
int sync_file_range(int fd, off_t from, off_t length, unsigned flags) {
    (void)fd; (void)from; (void)length; (void)flags;
    return 0;
}
