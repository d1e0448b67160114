/* A wall clock that is wrong by as many seconds as the file SKEW says at this moment: preloaded into
 * a process, it reads the file again whenever it is asked for the time.  Clocks that only count on
 * are left alone, as NTP leaves them. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static long skew(void)
{
    char text[32] = "";
    const char *path = getenv("SKEW");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0)
        return 0;
    if (read(file, text, sizeof text - 1) < 0)
        text[0] = 0;
    close(file);
    return atol(text);
}

int clock_gettime(clockid_t which, struct timespec *into)
{
    static int (*real)(clockid_t, struct timespec *);
    if (!real)
        real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int answer = real(which, into);
    if (!answer && which == CLOCK_REALTIME)
        into->tv_sec += skew();
    return answer;
}
