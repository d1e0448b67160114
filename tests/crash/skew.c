/* Clocks that are wrong, preloaded into a process: the wall clock by as many seconds as the file SKEW
 * says at this moment, the one that only counts on by as many as the file STEADY says.  Both are read
 * again whenever the time is asked for; without its file a clock is left alone.
 *
 * Who waits until a moment of the clock that counts on is woken when the file is put beyond it. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <semaphore.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define LOOK_NS 100000000L

static long skew(const char *name)
{
    char text[32] = "";
    const char *path = getenv(name);
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0)
        return 0;
    if (read(file, text, sizeof text - 1) < 0)
        text[0] = 0;
    close(file);
    return atol(text);
}

static int real_gettime(clockid_t which, struct timespec *into)
{
    static int (*real)(clockid_t, struct timespec *);
    if (!real)
        real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    return real(which, into);
}

int clock_gettime(clockid_t which, struct timespec *into)
{
    int answer = real_gettime(which, into);
    if (!answer && which == CLOCK_REALTIME)
        into->tv_sec += skew("SKEW");
    if (!answer && which == CLOCK_MONOTONIC)
        into->tv_sec += skew("STEADY");
    return answer;
}

/* The real moment until which to wait now; 0: there is nothing left to wait for. */
static int next_look(const struct timespec *until, struct timespec *look)
{
    struct timespec now;
    real_gettime(CLOCK_MONOTONIC, &now);
    long seconds = until->tv_sec - skew("STEADY") - now.tv_sec;
    long left_ns = until->tv_nsec - now.tv_nsec;
    if (seconds < 0 || (seconds == 0 && left_ns <= 0))
        return 0;
    long step_ns = LOOK_NS;
    if (seconds < 2 && seconds * 1000000000L + left_ns < step_ns)
        step_ns = seconds * 1000000000L + left_ns;
    look->tv_sec = now.tv_sec + (now.tv_nsec + step_ns) / 1000000000L;
    look->tv_nsec = (now.tv_nsec + step_ns) % 1000000000L;
    return 1;
}

int sem_clockwait(sem_t *sem, clockid_t clock, const struct timespec *until)
{
    static int (*real)(sem_t *, clockid_t, const struct timespec *);
    if (!real)
        real = (int (*)(sem_t *, clockid_t, const struct timespec *))dlsym(RTLD_NEXT, "sem_clockwait");
    if (clock != CLOCK_MONOTONIC || !getenv("STEADY"))
        return real(sem, clock, until);
    struct timespec look;
    while (next_look(until, &look)) {
        int answer = real(sem, clock, &look);
        if (answer == 0 || errno != ETIMEDOUT)
            return answer;
    }
    if (sem_trywait(sem) == 0)
        return 0;
    errno = ETIMEDOUT;
    return -1;
}

int clock_nanosleep(clockid_t clock, int flags, const struct timespec *until, struct timespec *left)
{
    static int (*real)(clockid_t, int, const struct timespec *, struct timespec *);
    if (!real)
        real = (int (*)(clockid_t, int, const struct timespec *, struct timespec *))dlsym(
            RTLD_NEXT, "clock_nanosleep");
    if (clock != CLOCK_MONOTONIC || flags != TIMER_ABSTIME || !getenv("STEADY"))
        return real(clock, flags, until, left);
    struct timespec look;
    while (next_look(until, &look)) {
        int answer = real(clock, flags, &look, left);
        if (answer)
            return answer;
    }
    return 0;
}
