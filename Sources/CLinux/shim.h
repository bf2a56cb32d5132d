/* What Swift's Glibc module leaves out of the C library. */
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>

/* prctl() is variadic: Swift does not import it. */
static inline void remora_name_thread(const char *name) { prctl(PR_SET_NAME, name, 0, 0, 0); }
